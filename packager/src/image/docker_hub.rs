//! Docker Hub, whose registry has several names.

/// The key of Docker Hub in docker's configuration and in pull Secrets (go-containerregistry
/// `authn.DefaultAuthKey`).
pub(crate) const CONFIG_KEY: &str = "https://index.docker.io/v1/";

/// Whether a registry in a reference is Docker Hub.
pub(crate) fn is_docker_hub(registry: &str) -> bool {
    matches!(registry, "docker.io" | "index.docker.io")
}
