//! The filter: asks Envoy about a request, lets [`rule`] decide, and acts on the decision.
//!
//! It runs in front of all the traffic of a gateway. So it never traps, never refuses a configuration
//! (Envoy would answer 500 to everything on every gateway that starts afterwards), and asks Envoy for
//! no more than the decision needs: the calls into Envoy are what a request costs.
//!
//! The module `envoy` makes and receives those calls, and exists in the Wasm module only. The other
//! modules are computations, tested on the machine that builds them.
//!
//! The SDK starts the module. Its objects for configurations and requests are not used: `contexts`
//! says why. `packager build` gives the filter's callbacks the names that Envoy calls.

#[cfg(target_arch = "wasm32")]
mod envoy;
pub mod header_map;
pub mod leases;
pub mod log_limit;
pub mod log_line;
pub mod memory;

#[cfg(target_arch = "wasm32")]
mod entry {
    proxy_wasm::main! {{
        crate::envoy::log_sink::install();
    }}
}
