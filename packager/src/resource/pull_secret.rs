//! The Secret with credentials for a private registry. Gateways look up the registry by the key that docker
//! uses, and ignore other keys.

use super::Request;
use crate::image::docker_hub;

/// The command that creates the Secret of a resource; `None` if the resource names none. User and password
/// are placeholders.
pub(crate) fn create_command(request: &Request) -> Option<String> {
    let name = request.image_pull_secret.as_ref()?;
    let namespace = &request.placement.metadata.namespace;
    let registry = request.image.registry();
    // Docker Hub is the only registry whose key differs from its host.
    let key = if docker_hub::is_docker_hub(registry) {
        docker_hub::CONFIG_KEY
    } else {
        registry
    };
    Some(format!(
        "kubectl create secret docker-registry {name} --namespace={namespace} \
         --docker-server={key} --docker-username=USER --docker-password=PASSWORD"
    ))
}
