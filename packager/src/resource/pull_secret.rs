//! The Secret that a private registry is pulled from with. Gateways look its registry up by the
//! key that docker uses, and find nothing under any other.

use super::Request;

/// The key of Docker Hub in a docker configuration (go-containerregistry `authn.DefaultAuthKey`).
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// The command that makes the Secret, where the resource names one. User and password are
/// placeholders.
#[must_use]
pub(crate) fn create_command(request: &Request) -> Option<String> {
    let name = request.image_pull_secret.as_ref()?;
    let namespace = &request.metadata.namespace;
    let key = registry_key(request.image.registry());
    Some(format!(
        "kubectl create secret docker-registry {name} --namespace={namespace} \
         --docker-server={key} --docker-username=USER --docker-password=PASSWORD"
    ))
}

fn registry_key(registry: &str) -> &str {
    match registry {
        "docker.io" | "index.docker.io" => DOCKER_HUB,
        other => other,
    }
}
