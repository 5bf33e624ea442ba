//! Hints to change a server in its resource: the field and the command that edits it.

use super::{Remedy, kubectl};
use crate::ServerId;
use crate::server::Entry;

/// A change of the hosts of a server. `text` ends before the field, as in "remove a.example.com from".
pub(super) fn edit_hosts(text: &str, server: &ServerId) -> Remedy {
    edit(&format!("{text} {}", hosts_field(server)), server)
}

/// A change of a server.
pub(super) fn edit(text: &str, server: &ServerId) -> Remedy {
    Remedy::with_command(
        format!("{text} of {}", server.resource),
        kubectl::edit(&server.resource),
    )
}

/// The field with a server.
pub(super) fn entry_field(server: &ServerId) -> String {
    match &server.entry {
        Entry::Server { index, .. } => format!("spec.servers[{index}]"),
        Entry::Listener(name) => format!("listener {name}"),
        Entry::IngressTls(index) => format!("spec.tls[{index}]"),
        Entry::IngressPlain => "spec.rules".to_owned(),
    }
}

/// The field with the hosts of a server.
pub(super) fn hosts_field(server: &ServerId) -> String {
    match &server.entry {
        Entry::Server { .. } | Entry::IngressTls(_) => format!("{}.hosts", entry_field(server)),
        Entry::Listener(name) => format!("the hostname of listener {name}"),
        Entry::IngressPlain => "spec.rules".to_owned(),
    }
}

/// The field that names the Secret of a server.
pub(super) fn secret_field(server: &ServerId) -> String {
    match &server.entry {
        Entry::Server { index, .. } => format!("spec.servers[{index}].tls.credentialName"),
        Entry::Listener(name) => format!("tls.certificateRefs of listener {name}"),
        Entry::IngressTls(index) => format!("spec.tls[{index}].secretName"),
        Entry::IngressPlain => "spec.tls".to_owned(),
    }
}

/// The field with the port of a server.
pub(super) fn port_field(server: &ServerId) -> String {
    match &server.entry {
        Entry::Server { index, .. } => format!("spec.servers[{index}].port"),
        Entry::Listener(name) => format!("the port of listener {name}"),
        // istiod gives every Ingress the ports 80 and 443.
        Entry::IngressTls(_) | Entry::IngressPlain => "the annotations".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::edit_hosts;
    use crate::ServerId;
    use crate::resources::{Kind, ResourceName};
    use crate::server::Entry;

    #[test]
    fn the_field_is_the_one_of_the_resource() {
        let text = |kind, entry| {
            let server = ServerId {
                resource: ResourceName {
                    kind,
                    namespace: "shop".into(),
                    name: "public".into(),
                },
                entry,
            };
            edit_hosts("remove a.example.com from", &server).text
        };
        let entry = Entry::Server {
            index: 2,
            port_name: "https".into(),
        };
        assert_eq!(
            text(Kind::Gateway, entry),
            "remove a.example.com from spec.servers[2].hosts of Gateway shop/public"
        );
        assert_eq!(
            text(Kind::ApiGateway, Entry::Listener("https".into())),
            "remove a.example.com from the hostname of listener https of Gateway shop/public"
        );
        assert_eq!(
            text(Kind::Ingress, Entry::IngressTls(0)),
            "remove a.example.com from spec.tls[0].hosts of Ingress shop/public"
        );
    }
}
