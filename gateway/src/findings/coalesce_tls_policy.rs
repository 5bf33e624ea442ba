//! SG103: a request on a coalesced connection bypasses mutual TLS. The module `coalesce` finds it.

use super::info::{Info, Severity};

pub(super) const INFO: Info = Info {
    id: "SG103",
    name: "coalesce-tls-policy",
    severity: Severity::Error,
    what: "A client can send requests for a host with mutual TLS over a connection that requires no \
           client certificate. The gateway serves these requests with the routes of the host.",
    why: "A client bypasses mutual TLS: it connects with another SNI, and sends requests for the host \
          on that connection. A browser does this by mistake if the certificate covers both hosts. An \
          attacker does it on purpose with any certificate, and packager manifest --kind \
          AuthorizationPolicy finds these hosts too.",
    example: "A Gateway with *.example.com and TLS mode SIMPLE has the routes of b.example.com. \
              Another Gateway serves b.example.com with TLS mode MUTUAL.",
    fix: "Apply an AuthorizationPolicy that denies such requests (packager manifest --kind \
          AuthorizationPolicy), or bind the routes only to the Gateway with mutual TLS. The filter \
          (packager manifest) does not replace this boundary: its 421 helps browsers, which then send \
          their client certificate on a new connection, but it does not stop an attacker. With \
          the policy the finding is a warning, because browsers get 403, and with the filter too it is an info. A \
          policy counts if it denies the host with every port on all connections that do not demand the certificate.",
    coalesced_answer: Some("no client certificate"),
};
