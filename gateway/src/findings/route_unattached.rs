//! SG205: routes for a host that their Gateway does not have, or for a Gateway that does not exist.

mod gateway_api;
mod intended_server;
mod virtual_services;

use super::context::Context;
use super::finding::Findings;
use super::info::{Info, Severity};

pub(super) const INFO: Info = Info {
    id: "SG205",
    name: "route-unattached",
    severity: Severity::Warning,
    what: "A VirtualService or a route of the Gateway API has a host that no server of its Gateway has, or its \
           Gateway does not exist.",
    why: "The routes have no effect: the gateway answers 404 for the host, or resets the connection.",
    example: "A VirtualService in namespace shop has gateways: [public], and the Gateway public is in namespace \
              istio-system. A name without a namespace refers to the VirtualService's own.",
    fix: "Refer to the Gateway with its namespace, or add the host to a server of the Gateway.",
    coalesced_answer: None,
};

pub(super) fn find(context: &Context<'_>, findings: &mut Findings<'_>) {
    virtual_services::find(context, findings);
    gateway_api::find(context, findings);
}

#[cfg(test)]
mod tests;
