//! What each code means, for those who meet it: `packager check --explain SG101`.

use super::Code;

/// What there is to say about a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Documentation {
    /// What was found.
    pub what: &'static str,
    /// Why it is bad.
    pub why: &'static str,
    /// Where it comes from, by an example.
    pub example: &'static str,
    /// What to do.
    pub fix: &'static str,
}

impl Code {
    /// What there is to say about it.
    #[must_use]
    pub fn documentation(self) -> Documentation {
        match self {
            Self::CoalesceNotFound => COALESCE_NOT_FOUND,
            Self::CoalesceWrongRoute => COALESCE_WRONG_ROUTE,
            Self::CoalesceTlsPolicy => COALESCE_TLS_POLICY,
            Self::CoalescePresumed => COALESCE_PRESUMED,
            Self::ServerDropped => SERVER_DROPPED,
            Self::ListenerRejected => LISTENER_REJECTED,
            Self::HostUnattached => HOST_UNATTACHED,
            Self::CertificateExpired => CERTIFICATE_EXPIRED,
            Self::CertificateMismatch => CERTIFICATE_MISMATCH,
            Self::SecretMissing => SECRET_MISSING,
            Self::CertificateShared => CERTIFICATE_SHARED,
            Self::GuardStale => GUARD_STALE,
            Self::GuardDetached => GUARD_DETACHED,
        }
    }
}

const COALESCE_NOT_FOUND: Documentation = Documentation {
    what: "A client that has a connection for one host may send requests for another over it, and \
           these are answered 404, although the other host is served on connections of its own.",
    why: "Browsers reuse a connection when its certificate is good for both hosts and both have one \
          address. The gateway has the routes of the server that the connection's server name led \
          to, and of no other. Pages fail for some people some of the time.",
    example: "Gateways gw-a (a.example.com) and gw-b (b.example.com) select the same pods and name \
              the Secret w, a certificate for *.example.com.",
    fix: "Serve all hosts of a certificate from one server (packager merge plans how), or install the \
          filter, which answers 421 so that clients ask again on a new connection (packager manifest).",
};

const COALESCE_WRONG_ROUTE: Documentation = Documentation {
    what: "A request on a reused connection meets the routes of another server, which has a virtual \
           host for it with other routes.",
    why: "The request is answered by the wrong backend, with status 200 as likely as not, so that \
          nobody notices.",
    example: "One Gateway has *.example.com with a route for everything, another b.example.com, and \
              one certificate is good for both: requests for b on a connection for x.example.com go \
              to the backend of the wildcard.",
    fix: "Serve both from one server (packager merge plans how), or install the filter (packager \
          manifest).",
};

const COALESCE_TLS_POLICY: Documentation = Documentation {
    what: "A request on a reused connection is served by its own routes, and the client was not \
           asked for the certificate that a connection of its own demands.",
    why: "A client bypasses mutual TLS: it connects with another server name, and sends requests for \
          the host on that connection. It needs no certificate that is good for both hosts.",
    example: "A Gateway with *.example.com and mode SIMPLE has the routes of b.example.com, which \
              another Gateway serves with mode MUTUAL.",
    fix: "The boundary is an AuthorizationPolicy, which denies such requests (packager manifest --kind \
          AuthorizationPolicy), or routes that are bound to the Gateway with mutual TLS alone. The \
          filter (packager manifest) is none: its 421 helps browsers, which then show their \
          certificate on a new connection, and stops no attacker.",
};

const COALESCE_PRESUMED: Documentation = Documentation {
    what: "Two servers name the same credential, whose certificate could not be read. If it is good \
           for the hosts of both, clients reuse connections, and requests fail or go astray.",
    why: "As for SG101, SG102 and SG103.",
    example: "Two Gateways name the Secret wildcard-example-com, which is not in the files that were \
              checked.",
    fix: "Check with the Secrets to be certain; their private keys are not needed. Then as for \
          SG101.",
};

const SERVER_DROPPED: Documentation = Documentation {
    what: "istiod leaves out a whole server, with all of its hosts.",
    why: "Connections for hosts that no other server has are reset.",
    example: "Gateway new has the hosts a.example.com and b.example.com; the older Gateway old, on the \
              same pods and port, has a.example.com: nobody serves b.example.com.",
    fix: "Let each host be in one server. To move a host, extend the older Gateway before the younger \
          one is removed.",
};

const LISTENER_REJECTED: Documentation = Documentation {
    what: "Two filter chains of a listener have one server name, and Envoy refuses the listener.",
    why: "Nothing on that port is updated any more, and after a restart nothing on it is served.",
    example: "Gateway gw-a has team-a/a.example.com, gw-b has team-b/a.example.com: istiod takes them \
              for two hosts, Envoy does not.",
    fix: "Let each host be in one server of the port, whatever its namespace, case and bind.",
};

const HOST_UNATTACHED: Documentation = Documentation {
    what: "A server has a host that no routes are bound for: every request for it is answered 404.",
    why: "Mostly a VirtualService names another Gateway, is not exported to the namespace of the \
          gateway's pods, or differs in its host.",
    example: "The VirtualService of b.example.com in namespace shop has exportTo: [\".\"], and the \
              gateway runs in istio-system.",
    fix: "Bind routes with that host to the Gateway, or remove the host from it.",
};

const CERTIFICATE_EXPIRED: Documentation = Documentation {
    what: "A server shows a certificate that is not valid now.",
    why: "Clients refuse the connection.",
    example: "A Secret that was copied by hand, and not renewed with its original.",
    fix: "Renew the certificate; let cert-manager or the like do so.",
};

const CERTIFICATE_MISMATCH: Documentation = Documentation {
    what: "A server shows a certificate that is good for none of its hosts, that cannot be read, or \
           whose private key is another's.",
    why: "Clients refuse the connection, or Envoy refuses the Secret.",
    example: "The server of shop.example.net names the Secret with the certificate for *.example.com.",
    fix: "Name the right Secret, or have a certificate issued for the hosts.",
};

const SECRET_MISSING: Documentation = Documentation {
    what: "A server names a Secret that is not there, or that it may not use.",
    why: "Connections to it fail. A listener of the Gateway API without a certificate has no filter \
          chain at all.",
    example: "A Gateway in namespace shop runs on pods in istio-system, and its Secret is in shop: \
              istiod looks in the namespace of the pods.",
    fix: "Create the Secret in the namespace of the gateway's pods; for the Gateway API in that of \
          the Gateway, or with a ReferenceGrant.",
};

const CERTIFICATE_SHARED: Documentation = Documentation {
    what: "Several Secrets hold one certificate.",
    why: "That the Secrets differ keeps nobody from reusing connections: clients see certificates. \
          A key that is in many places also leaks from many places.",
    example: "cert-manager issues *.example.com in one namespace, and a controller copies it to all.",
    fix: "Use one certificate for each server where connections are to be apart. Else nothing.",
};

const GUARD_STALE: Documentation = Documentation {
    what: "A filter is installed with a list of servers that is not the gateway's.",
    why: "It lets requests pass that it should answer 421, or answers 421 where it need not.",
    example: "A Gateway was added after packager manifest --from wrote the WasmPlugin.",
    fix: "Write the resource again with packager manifest --from, and apply it.",
};

const GUARD_DETACHED: Documentation = Documentation {
    what: "A filter is installed that runs on no gateway.",
    why: "It looks as if the gateways were guarded, and they are not.",
    example: "A WasmPlugin in namespace shop selects pods that run in istio-system.",
    fix: "Put it into the namespace of the gateway's pods, select these, and name ports that Envoy \
          listens on, which are those of the pods and not of the Service.",
};
