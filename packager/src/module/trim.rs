//! Removes exports that cost a gateway time.

use anyhow::{Context, Result};
use wasm_encoder::reencode::{Reencode, utils};
use wasm_encoder::{ExportSection, Module};
use wasmparser::{Export, Parser};

/// The exports of the SDK that the filter needs. The SDK exports every callback of Proxy-Wasm, and Envoy calls
/// every exported callback for each request.
const KEPT: [&str; 2] = ["memory", "_initialize"];

/// The prefix of the filter's own callbacks. They are renamed to Envoy's prefix and replace the callbacks of
/// the SDK.
pub(super) const OWN: &str = "sni_guard_on_";
const ENVOYS: &str = "proxy_on_";

/// The module with only the callbacks that the filter uses.
///
/// # Errors
/// The bytes are not a module.
pub(crate) fn trim_exports(wasm: &[u8]) -> Result<Vec<u8>> {
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
        // The filter's own callbacks replace the SDK's callbacks of the same name.
        if let Some(callback) = export.name.strip_prefix(OWN) {
            let name = format!("{ENVOYS}{callback}");
            return utils::parse_export(
                self,
                exports,
                Export {
                    name: &name,
                    ..export
                },
            );
        }
        // Envoy reads the version of the ABI from the name of an export.
        if KEPT.contains(&export.name) || export.name.starts_with("proxy_abi_version_") {
            return utils::parse_export(self, exports, export);
        }
        Ok(())
    }
}
