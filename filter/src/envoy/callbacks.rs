//! The calls from Envoy, as Proxy-Wasm 0.2.1 defines them.
//!
//! The SDK exports callbacks under Envoy's names already. These have names of their own, and
//! `packager build` exports them in place of the SDK's: `proxy_on_` for `sni_guard_on_`.

#![expect(
    unsafe_code,
    reason = "an exported name must be the only one of its kind, and these are"
)]

use super::contexts;
use crate::memory;

#[unsafe(no_mangle)]
extern "C" fn sni_guard_on_configure(root: u32, _size: u32) -> u32 {
    contexts::configure(root);
    u32::from(true)
}

#[unsafe(no_mangle)]
extern "C" fn sni_guard_on_tick(root: u32) {
    contexts::on_tick(root);
}

#[unsafe(no_mangle)]
extern "C" fn sni_guard_on_request_headers(_context: u32, _headers: u32, _end: u32) -> u32 {
    contexts::on_request_headers() as u32
}

#[unsafe(no_mangle)]
extern "C" fn sni_guard_on_memory_allocate(size: usize) -> *mut u8 {
    memory::allocate(size)
}
