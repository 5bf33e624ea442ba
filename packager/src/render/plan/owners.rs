//! What to do about the programs that would revert a plan.

use gateway::merge::{ManagedResources, Owner};
use gateway::shell;
use serde_json::{Value, json};

use crate::render::count::count;

/// How many resources of an owner are named.
const MAX_RESOURCES: usize = 3;

/// The owner with the resources that it manages, and what to change in its source.
pub(super) fn warning(managed: &ManagedResources) -> String {
    let names: Vec<String> = managed
        .resources
        .iter()
        .take(MAX_RESOURCES)
        .map(ToString::to_string)
        .collect();
    let more = managed.resources.len().saturating_sub(MAX_RESOURCES);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!(
        "{} manages {} of the plan: {}{more}; {}",
        owner(&managed.owner),
        count(managed.resources.len(), "resource"),
        names.join(", "),
        change(&managed.owner)
    )
}

/// The same for programs.
pub(super) fn object(managed: &ManagedResources) -> Value {
    let resources: Vec<String> = managed.resources.iter().map(ToString::to_string).collect();
    json!({
        "owner": owner(&managed.owner),
        "resources": resources,
        "change": change(&managed.owner),
    })
}

fn owner(owner: &Owner) -> String {
    match owner {
        Owner::FlaggerCanary { name } => format!("the Canary {name} of Flagger"),
        Owner::Resource { kind, name } => format!("the controller of {kind} {name}"),
        Owner::FluxHelmRelease { namespace, name } => {
            format!("the HelmRelease {namespace}/{name} of Flux")
        }
        Owner::FluxKustomization { namespace, name } => {
            format!("the Kustomization {namespace}/{name} of Flux")
        }
        Owner::ArgoApplication { name } => format!("the Application {name} of Argo CD"),
        Owner::HelmRelease { namespace, name } => format!("the Helm release {namespace}/{name}"),
        Owner::Kustomize => "kustomize".to_owned(),
        Owner::Program { name } => name.clone(),
    }
}

/// What to change in the source, so that the owner does not revert the plan.
fn change(owner: &Owner) -> String {
    match owner {
        // Flagger writes hosts and gateways of the VirtualService from these fields.
        Owner::FlaggerCanary { .. } => {
            "set spec.service.gateways of the Canary to the gateways of each step".to_owned()
        }
        Owner::Resource { kind, .. } => {
            format!("make the change of each step in the {kind}, or it is reverted")
        }
        Owner::FluxHelmRelease { namespace, name } => suspended("helmrelease", namespace, name),
        Owner::FluxKustomization { namespace, name } => suspended("kustomization", namespace, name),
        Owner::ArgoApplication { name } => format!(
            "turn off its automatic sync (argocd app set {} --sync-policy none), and commit the change \
             of each step before it is on again",
            shell::word(name)
        ),
        Owner::HelmRelease { .. } => {
            "make the change of each step in the chart or its values before the next helm upgrade"
                .to_owned()
        }
        Owner::Kustomize => {
            "commit each step as a component, which --into DIR --kustomize writes".to_owned()
        }
        Owner::Program { .. } => "make the change of each step in its source".to_owned(),
    }
}

/// Flux applies its source again and again unless it is suspended.
fn suspended(kind: &str, namespace: &str, name: &str) -> String {
    let name = shell::word(name);
    let namespace = shell::word(namespace);
    format!(
        "suspend it (flux suspend {kind} {name} --namespace {namespace}), and commit the change of each \
         step before it is resumed"
    )
}

#[cfg(test)]
mod tests {
    use gateway::merge::{ManagedResources, Owner};
    use gateway::resources::{Kind, ResourceName};

    use super::warning;

    fn managed(owner: Owner, count: usize) -> ManagedResources {
        let resources = (0..count)
            .map(|number| ResourceName {
                kind: Kind::Gateway,
                namespace: "shop".into(),
                name: format!("gw-{number}"),
            })
            .collect();
        ManagedResources { owner, resources }
    }

    #[test]
    fn an_owner_of_many_resources_has_one_line() {
        let owner = Owner::HelmRelease {
            namespace: "shop".into(),
            name: "edge".into(),
        };
        assert_eq!(
            warning(&managed(owner, 13)),
            "the Helm release shop/edge manages 13 resources of the plan: Gateway shop/gw-0, \
             Gateway shop/gw-1, Gateway shop/gw-2 and 10 more; make the change of each step in the \
             chart or its values before the next helm upgrade"
        );
    }

    #[test]
    fn names_in_commands_are_quoted() {
        let owner = Owner::FluxKustomization {
            namespace: "flux-system".into(),
            name: "a; reboot".into(),
        };
        let warning = warning(&managed(owner, 1));
        assert!(
            warning.contains("flux suspend kustomization 'a; reboot' --namespace flux-system"),
            "{warning}"
        );
    }
}
