//! The answer to a misdirected request.

use proxy_wasm::types::Action;
use rule::{Facts, Misdirection, Protocol};

use crate::abi::{self, Refused};

/// It does not repeat the host: whoever sent that knows it, and nobody else is to.
const BODY: &str = "421 Misdirected Request\n\
    This connection belongs to another server. Repeat the request on a new connection.\n";
/// UNAVAILABLE, which gRPC clients may retry.
const GRPC_UNAVAILABLE: i32 = 14;
const NO_GRPC_STATUS: i32 = -1;

/// Answers 421, or for gRPC its equal. Envoy leaves out the body where there is to be none.
pub(crate) fn send(reason: Misdirection, facts: Facts) -> Result<Action, Refused> {
    let mut headers = vec![
        ("content-type", "text/plain; charset=utf-8"),
        // RFC 7540 §9.1.2 let caches keep a 421.
        ("cache-control", "no-store"),
    ];
    if facts.protocol == Some(Protocol::Http1) {
        headers.push(("connection", "close"));
    }
    let grpc_status = if facts.grpc {
        GRPC_UNAVAILABLE
    } else {
        NO_GRPC_STATUS
    };
    abi::send_local_response(421, details(reason), &headers, BODY, grpc_status)?;
    Ok(Action::Pause)
}

/// `%RESPONSE_CODE_DETAILS%` of the answer.
fn details(reason: Misdirection) -> &'static str {
    match reason {
        Misdirection::NoSni => "sni_guard_no_sni",
        Misdirection::NotEqual => "sni_guard_not_equal",
        Misdirection::Unrouted => "sni_guard_unrouted",
        Misdirection::UnlistedSni => "sni_guard_unlisted_sni",
        Misdirection::OtherServer => "sni_guard_other_server",
    }
}
