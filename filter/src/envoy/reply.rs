//! The answer to a misdirected request.

use rule::Misdirection;

use super::abi::{self, Status};

/// It does not repeat the host: the client knows it, and no one else should.
const BODY: &str = "421 Misdirected Request\n\
    This connection belongs to another server. Repeat the request on a new connection.\n";
/// RFC 7540 §9.1.2 let caches keep a 421.
///
/// There is no `connection: close` for HTTP/1.1: Envoy removes it from the answers of Wasm filters
/// and keeps the connection.
const HEADERS: [(&str, &str); 2] = [
    ("content-type", "text/plain; charset=utf-8"),
    ("cache-control", "no-store"),
];
/// UNAVAILABLE, which gRPC clients may retry.
const GRPC_UNAVAILABLE: i32 = 14;
const NO_GRPC_STATUS: i32 = -1;

/// Answers 421, or with the gRPC status UNAVAILABLE. Envoy leaves out the body for HEAD.
pub(crate) fn send(reason: Misdirection, is_grpc: bool) -> Result<(), Status> {
    let grpc_status = if is_grpc {
        GRPC_UNAVAILABLE
    } else {
        NO_GRPC_STATUS
    };
    let details = reason.response_code_details();
    abi::send_local_response(421, details, &HEADERS, BODY, grpc_status)
}
