//! Authorities that no client sends, on a real Envoy.

use tests::envoy::{Envoy, Listener};
use tests::raw::{RawConnection, Version};

/// Which of the odd authorities of the table reach Envoy's routes depends on its version. The newest
/// takes them, so that the table does test them.
#[test]
fn envoy_routes_odd_authorities() {
    let listener = Listener::with_servers("plain", &["a.example.com"], None);
    let envoy = Envoy::start(&[listener]).unwrap();
    let address = envoy.listener("plain").unwrap();
    for authority in ["a.example.com:x", "A.example.com:443x", "a.example.com:-1"] {
        let mut connection =
            RawConnection::open(address, Some("a.example.com"), Version::Http2, None).unwrap();
        let response = connection.get_h2(authority.as_bytes(), &[]).unwrap();
        assert_eq!(response.unwrap().status, 200, "{authority}");
    }
}
