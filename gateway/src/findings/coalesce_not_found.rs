//! SG101: a request on a coalesced connection gets a 404. The module `coalesce` finds it.

use super::info::{Info, Severity};

pub(super) const INFO: Info = Info {
    id: "SG101",
    name: "coalesce-not-found",
    severity: Severity::Error,
    what: "A client can send requests for one host over a connection that it opened for another host \
           (connection coalescing). The gateway answers these requests with 404, although it serves \
           the host on a connection of its own. One finding stands for all servers of a listener that \
           break each other by one certificate.",
    why: "Browsers reuse a connection if its certificate covers both hosts and both hosts resolve to \
          the same address. The gateway selects the routes by the SNI of the connection, so it has no \
          route for the other host. Pages fail for some users some of the time.",
    example: "The Gateways gw-a (a.example.com) and gw-b (b.example.com) select the same pods and use \
              the same Secret w, a certificate for *.example.com.",
    fix: "Serve all hosts of a certificate from one server (packager merge plans this), use a certificate \
          for the hosts of each server only, or install the filter (packager manifest writes its \
          resource). The filter answers 421, and clients repeat the request on a new connection. With \
          an installed filter that does so the severity is info.",
    coalesced_answer: Some("404 not found"),
};
