//! The Gateways of the Gateway API that istiod handles, by class (Istio
//! `pilot/pkg/config/kube/gatewaycommon/gatewayclass_collection.go`, `FetchGatewayClass`).

use std::collections::HashMap;

use crate::generated::{Generated, Ignored, IgnoredReason};
use crate::mesh::MeshSettings;
use crate::resources::gateway_api::{ApiGateway, Condition, GatewayClass};
use crate::resources::{Kind, Resources};

/// The controller of istiod on OpenShift, which sets `PILOT_GATEWAY_API_CONTROLLER_NAME` to it.
const OPENSHIFT_CONTROLLER: &str = "openshift.io/gateway-controller/v1";

/// The name that OpenShift documents for its class.
const OPENSHIFT_CLASS: &str = "openshift-default";

/// The controllers of istiod whose Gateways have no listeners for clients outside the mesh: waypoints,
/// gateways between clusters, and gateways of other clusters (Istio `pkg/config/constants`).
const MESH_CONTROLLERS: [&str; 3] = [
    "istio.io/mesh-controller",
    "istio.io/eastwest-controller",
    "istio.io/unmanaged-gateway",
];

/// The classes with these controllers, which need no GatewayClass (Istio `GetBuiltinGatewayClasses`).
const MESH_CLASSES: [&str; 3] = ["istio-waypoint", "istio-east-west", "istio-remote"];

/// The message with which istiod accepts a GatewayClass (Istio
/// `pilot/pkg/config/kube/gatewaycommon/gatewayclass.go`, `GetClassStatus`).
const ACCEPTED_CLASS: &str = "Handled by Istio controller";

/// The message with which istiod accepts a Gateway (Istio `pilot/pkg/config/kube/gatewaycommon/conversion.go`).
const ACCEPTED_GATEWAY: &str = "Resource accepted";

/// The use of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Controller {
    /// istiod, for gateways.
    Istio,
    /// istiod, inside the mesh.
    Mesh,
    Other,
}

/// The Gateways whose class istiod handles. The Gateways of other controllers become ignored resources.
pub(super) fn istio_gateways<'r>(
    resources: &'r Resources,
    settings: &MeshSettings,
    generated: &mut Generated,
) -> Vec<&'r ApiGateway> {
    let classes: HashMap<&str, &GatewayClass> = resources
        .gateway_classes
        .iter()
        .map(|class| (class.metadata.name.as_str(), class))
        .collect();
    let mut gateways = Vec::new();
    for gateway in &resources.api_gateways {
        let class = gateway.spec.gateway_class_name.as_str();
        match controller(gateway, classes.get(class).copied(), settings) {
            Controller::Istio => gateways.push(gateway),
            // A waypoint is no gateway to check, and nothing to report.
            Controller::Mesh => {}
            Controller::Other => generated.ignored.push(Ignored {
                resource: gateway.metadata.resource(Kind::ApiGateway),
                reason: IgnoredReason::Class(class.to_owned()),
            }),
        }
    }
    gateways
}

/// The controller of a Gateway, by its class, which the input need not contain.
fn controller(
    gateway: &ApiGateway,
    class: Option<&GatewayClass>,
    settings: &MeshSettings,
) -> Controller {
    if let Some(class) = class {
        let name = class.spec.controller_name.as_str();
        return if MESH_CONTROLLERS.contains(&name) {
            Controller::Mesh
        } else if name == settings.gateway_controller
            || name == OPENSHIFT_CONTROLLER
            || is_accepted(&class.status.conditions, ACCEPTED_CLASS)
        {
            Controller::Istio
        } else {
            Controller::Other
        };
    }
    // istiod creates its own classes.
    let name = gateway.spec.gateway_class_name.as_str();
    if name == settings.gateway_class || name == OPENSHIFT_CLASS {
        Controller::Istio
    } else if MESH_CLASSES.contains(&name) {
        Controller::Mesh
    } else if is_accepted(&gateway.status.conditions, ACCEPTED_GATEWAY) {
        // Without the class, the status shows that istiod handles it.
        Controller::Istio
    } else {
        Controller::Other
    }
}

fn is_accepted(conditions: &[Condition], message: &str) -> bool {
    conditions.iter().any(|condition| {
        condition.kind == "Accepted" && condition.status == "True" && condition.message == message
    })
}

#[cfg(test)]
mod tests {
    use crate::documents::read;
    use crate::mesh::MeshSettings;
    use crate::{Model, Resources};

    /// Whether istiod handles a Gateway of a class with a status, and how many resources are ignored.
    fn handles(class: &str, status: &str, more: &str) -> (bool, usize) {
        let text = format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n\
             metadata: {{name: public, namespace: shop}}\n\
             spec: {{gatewayClassName: {class}, listeners: [{{name: l, port: 443, protocol: TLS, \
             tls: {{mode: Passthrough}}}}]}}\nstatus: {status}\n---\n{more}"
        );
        let mut resources = Resources::default();
        assert_eq!(read("input.yaml", &text, &mut resources), []);
        let model = Model::new(&resources);
        (!model.workloads.is_empty(), model.ignored.len())
    }

    fn class(controller: &str, message: &str) -> String {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {{name: c}}\n\
             spec: {{controllerName: {controller}}}\nstatus: {{conditions: [{{type: Accepted, \
             status: 'True', message: '{message}'}}]}}\n"
        )
    }

    #[test]
    fn classes_without_a_gateway_class() {
        for (class, expected) in [
            ("istio", (true, 0)),
            ("openshift-default", (true, 0)),
            ("istio-waypoint", (false, 0)),
            ("istio-remote", (false, 0)),
            ("nginx", (false, 1)),
        ] {
            assert_eq!(handles(class, "{}", ""), expected, "{class}");
        }
        let accepted = |message| {
            format!("{{conditions: [{{type: Accepted, status: 'True', message: {message}}}]}}")
        };
        assert_eq!(handles("c", &accepted("Resource accepted"), ""), (true, 0));
        assert_eq!(handles("c", &accepted("Scheduled"), ""), (false, 1));
    }

    #[test]
    fn classes_by_controller() {
        for (controller, message, expected) in [
            ("istio.io/gateway-controller", "", (true, 0)),
            ("openshift.io/gateway-controller/v1", "", (true, 0)),
            ("example.com/mine", "Handled by Istio controller", (true, 0)),
            ("example.com/mine", "Accepted", (false, 1)),
            // istiod accepts the class of waypoints with the same message.
            (
                "istio.io/mesh-controller",
                "Handled by Istio controller",
                (false, 0),
            ),
        ] {
            let found = handles("c", "{}", &class(controller, message));
            assert_eq!(found, expected, "{controller} {message}");
        }
    }

    #[test]
    fn the_environment_of_istiod_names_controller_and_class() {
        let istiod = "apiVersion: apps/v1\nkind: Deployment\n\
            metadata: {name: istiod, namespace: istio-system}\n\
            spec: {template: {metadata: {labels: {app: istiod}}, spec: {containers: [{name: discovery, env: [\
            {name: PILOT_GATEWAY_API_CONTROLLER_NAME, value: example.com/mine}, \
            {name: PILOT_GATEWAY_API_DEFAULT_GATEWAYCLASS_NAME, value: edge}]}]}}}\n---\n";
        assert_eq!(handles("edge", "{}", istiod), (true, 0));
        assert_eq!(handles("istio", "{}", istiod), (false, 1));
        let with = |controller| format!("{istiod}{}", class(controller, ""));
        assert_eq!(handles("c", "{}", &with("example.com/mine")), (true, 0));
        assert_eq!(
            handles("c", "{}", &with("istio.io/gateway-controller")),
            (false, 1)
        );
        assert_eq!(
            MeshSettings::default().gateway_controller,
            "istio.io/gateway-controller"
        );
    }
}
