//! SG202: Envoy refuses a listener.

use super::finding::Findings;
use super::{Code, Finding};
use crate::listener::Duplicate;
use crate::{Listener, Workload};

pub(super) fn find(workload: &Workload, listener: &Listener, findings: &mut Findings<'_>) {
    for Duplicate {
        host,
        first,
        second,
    } in &listener.duplicates
    {
        let chains = (listener.chains.get(*first), listener.chains.get(*second));
        let (Some(first), Some(second)) = chains else {
            continue;
        };
        let (connection, owner) = (&first.server.id, &second.server.id);
        let who = if connection == owner {
            format!("{connection} has it twice")
        } else {
            format!("it is in {connection} and in {owner}")
        };
        let message = format!(
            "Envoy refuses the listener, and with it every host on it: two filter chains have the \
             server name {host}, {who}"
        );
        let hint = format!(
            "remove {host} from one of them; namespaces, case and bind do not tell servers apart for Envoy"
        );
        findings.add(
            [connection, owner],
            Finding {
                sni: Some(host.to_string()),
                ..Finding::new(Code::ListenerRejected, message, hint)
                    .at(workload, listener)
                    .with_connection(connection)
                    .with_owner(owner)
            },
        );
    }
}
