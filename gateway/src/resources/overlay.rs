//! Files over the resources of a cluster, as `kubectl apply` would put them there.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::{Metadata, Resources};

/// The identity of a resource among those of one list.
type ObjectIdentity = (&'static str, String, String);

impl Resources {
    /// Replaces the resources that `files` have too, and adds the others as resources that are created at `now`.
    pub fn apply(&mut self, files: Self, now: DateTime<Utc>) {
        // Without `..`: a new kind does not compile until it is applied here.
        let Self {
            gateways,
            virtual_services,
            api_gateways,
            listener_sets,
            routes,
            reference_grants,
            gateway_classes,
            ingresses,
            ingress_classes,
            services,
            pods,
            has_all_pods: _,
            secrets,
            issued_certificates,
            namespaces,
            tag_webhooks,
            mesh_config_maps,
            has_all_mesh_configs: _,
            given_mesh_config,
            extensions,
            envoy_filters,
            authorization_policies,
            manifests,
        } = files;
        apply(&mut self.gateways, gateways, now, |r| ("", &mut r.metadata));
        apply(&mut self.virtual_services, virtual_services, now, |r| {
            ("", &mut r.metadata)
        });
        apply(&mut self.api_gateways, api_gateways, now, |r| {
            ("", &mut r.metadata)
        });
        apply(&mut self.listener_sets, listener_sets, now, |r| {
            ("", &mut r.metadata)
        });
        apply(&mut self.routes, routes, now, |r| {
            (r.kind.resource_kind().name(), &mut r.metadata)
        });
        apply(&mut self.reference_grants, reference_grants, now, |r| {
            ("", &mut r.metadata)
        });
        apply(&mut self.gateway_classes, gateway_classes, now, |r| {
            ("", &mut r.metadata)
        });
        apply(&mut self.ingresses, ingresses, now, |r| {
            ("", &mut r.metadata)
        });
        apply(&mut self.ingress_classes, ingress_classes, now, |r| {
            ("", &mut r.metadata)
        });
        apply(&mut self.services, services, now, |r| ("", &mut r.metadata));
        apply(&mut self.pods, pods, now, |r| {
            (r.kind.name(), &mut r.metadata)
        });
        apply(
            &mut self.issued_certificates,
            issued_certificates,
            now,
            |r| ("", &mut r.metadata),
        );
        apply(&mut self.mesh_config_maps, mesh_config_maps, now, |r| {
            ("", &mut r.metadata)
        });
        apply(&mut self.envoy_filters, envoy_filters, now, |r| {
            ("", &mut r.metadata)
        });
        apply(
            &mut self.authorization_policies,
            authorization_policies,
            now,
            |r| ("", &mut r.metadata),
        );
        self.given_mesh_config = given_mesh_config.or(self.given_mesh_config.take());
        apply(&mut self.secrets, secrets, now, |r| ("", &mut r.metadata));
        apply(&mut self.namespaces, namespaces, now, |r| {
            ("", &mut r.metadata)
        });
        apply(&mut self.tag_webhooks, tag_webhooks, now, |r| {
            ("", &mut r.metadata)
        });
        apply(&mut self.extensions, extensions, now, |r| {
            (r.kind.name(), &mut r.metadata)
        });
        self.manifests.append(manifests);
    }
}

/// Applies the resources of one list. `parts` returns the kind, for lists with several, and the metadata.
fn apply<T>(
    list: &mut Vec<T>,
    files: Vec<T>,
    now: DateTime<Utc>,
    parts: impl Fn(&mut T) -> (&'static str, &mut Metadata),
) {
    let mut positions: HashMap<ObjectIdentity, usize> = HashMap::new();
    for (position, resource) in list.iter_mut().enumerate() {
        positions.insert(identity(parts(resource)), position);
    }
    for mut file in files {
        let name = identity(parts(&mut file));
        let existing = positions
            .get(&name)
            .and_then(|position| list.get_mut(*position));
        if let Some(existing) = existing {
            // An update keeps the time of creation, which decides between servers with one host.
            let created = parts(existing).1.creation_timestamp;
            parts(&mut file).1.creation_timestamp = created;
            *existing = file;
        } else {
            // A resource without a time is the oldest for istiod's order, but a new one is the youngest.
            parts(&mut file).1.creation_timestamp = Some(now);
            positions.insert(name, list.len());
            list.push(file);
        }
    }
}

fn identity((kind, metadata): (&'static str, &mut Metadata)) -> ObjectIdentity {
    (kind, metadata.namespace.clone(), metadata.name.clone())
}

#[cfg(test)]
mod tests {
    use crate::Resources;
    use crate::documents::read;

    fn resources(text: &str) -> Resources {
        let mut resources = Resources::default();
        assert!(read("input.yaml", text, &mut resources).is_empty());
        resources
    }

    fn gateway(name: &str, created: &str, host: &str) -> String {
        format!(
            "---\n{{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {{name: {name}, \
             namespace: shop{created}}}, spec: {{selector: {{}}, servers: [{{port: {{number: 443, \
             name: https, protocol: HTTPS}}, hosts: [{host}]}}]}}}}\n"
        )
    }

    #[test]
    fn files_replace_resources_and_keep_their_age() {
        let created = ", creationTimestamp: \"2026-01-02T00:00:00Z\"";
        let mut cluster = resources(
            &(gateway("a", created, "a.example.com") + &gateway("b", created, "b.example.com")),
        );
        let files =
            resources(&(gateway("new", "", "n.example.com") + &gateway("a", "", "c.example.com")));
        cluster.apply(files, "2026-03-01T00:00:00Z".parse().unwrap());
        let found: Vec<String> = cluster
            .gateways
            .iter()
            .map(|gateway| {
                let created = gateway.metadata.creation_timestamp.unwrap();
                let hosts = &gateway.spec.servers[0].hosts;
                format!(
                    "{} {} {hosts:?}",
                    gateway.metadata.name,
                    created.date_naive()
                )
            })
            .collect();
        assert_eq!(found.len(), 3);
        assert!(found[0].starts_with("a 2026-01-02 ") && found[0].contains("c.example.com"));
        assert!(found[1].starts_with("b 2026-01-02 ") && found[1].contains("b.example.com"));
        assert!(found[2].starts_with("new 2026-03-01 "), "{found:?}");
    }

    #[test]
    fn a_route_does_not_replace_a_route_of_another_kind() {
        let route = |kind: &str| {
            resources(&format!(
                "{{apiVersion: gateway.networking.k8s.io/v1, kind: {kind}, metadata: {{name: r}}, spec: {{}}}}"
            ))
        };
        let mut cluster = route("HTTPRoute");
        cluster.apply(route("GRPCRoute"), "2026-03-01T00:00:00Z".parse().unwrap());
        assert_eq!(cluster.routes.len(), 2);
        cluster.apply(route("GRPCRoute"), "2026-03-01T00:00:00Z".parse().unwrap());
        assert_eq!(cluster.routes.len(), 2);
    }
}
