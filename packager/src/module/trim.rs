//! Removes the exports that a gateway would only waste time on.

use anyhow::{Context, Result};
use wasm_encoder::reencode::{Reencode, utils};
use wasm_encoder::{ExportSection, Module};
use wasmparser::{Export, Parser};

/// What the filter needs. The SDK exports every callback of Proxy-Wasm, and Envoy calls whatever is
/// exported, for each request. `proxy_on_delete` stays: without it the SDK never forgets a request.
const KEPT: [&str; 7] = [
    "memory",
    "_initialize",
    "proxy_on_memory_allocate",
    "proxy_on_context_create",
    "proxy_on_configure",
    "proxy_on_request_headers",
    "proxy_on_delete",
];

/// The module without the exports of callbacks that the filter does not use.
///
/// # Errors
/// The bytes are no module.
pub fn trim_exports(wasm: &[u8]) -> Result<Vec<u8>> {
    let mut module = Module::new();
    Trim.parse_core_module(&mut module, Parser::new(0), wasm)
        .context("removing unused exports from the module")?;
    Ok(module.finish())
}

struct Trim;

impl Reencode for Trim {
    type Error = std::convert::Infallible;

    fn parse_export(
        &mut self,
        exports: &mut ExportSection,
        export: Export<'_>,
    ) -> Result<(), wasm_encoder::reencode::Error<Self::Error>> {
        let kept = KEPT.contains(&export.name) || export.name.starts_with("proxy_abi_version_");
        if kept { utils::parse_export(self, exports, export) } else { Ok(()) }
    }
}
