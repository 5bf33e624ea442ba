//! Inspects a module with the checks of Envoy.

use std::fmt;

use anyhow::{Result, bail};
use gateway::advice::Advice;
use serde::Serialize;
use wasmparser::{
    BinaryReaderError, CompositeInnerType, ExternalKind, Parser, Payload, TypeRef, Validator,
    WasmFeatures,
};

use super::host_functions;
use super::trim::OWN;
use crate::digest::sha256;

/// The contents of a module, and every reason why Envoy would not load it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The length in octets.
    pub size: usize,
    /// The digest, `sha256:` and 64 hexadecimal digits.
    pub sha256: String,
    /// The versions of the Proxy-Wasm ABI that it declares.
    pub abi_versions: Vec<String>,
    /// The names of the exports. The versions of the ABI are exports too.
    pub exports: Vec<String>,
    /// The imports, as `module.name`.
    pub imports: Vec<String>,
    /// The WebAssembly features that the compiler declares.
    pub features: Vec<String>,
    /// Why Envoy would not load it; empty if it would.
    pub problems: Vec<String>,
    /// Why some releases of Envoy may not load it.
    pub notes: Vec<String>,
}

/// The versions of the ABI that Envoy implements.
const ABI_VERSIONS: [&str; 3] = ["0_1_0", "0_2_0", "0_2_1"];
/// The first octets of a core module of version 1. A component has others.
const CORE_MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";
/// The largest module that a gateway pulls from a registry, in octets (Istio
/// `pkg/wasm/imagefetcher.go`).
pub(crate) const MAX_SIZE: usize = 256 << 20;

/// Inspects a module with the checks of Envoy.
///
/// # Errors
/// The bytes are not a core module. A module that Envoy does not load is a report with problems.
pub fn inspect(wasm: &[u8]) -> Result<Report> {
    if Parser::is_component(wasm) {
        bail!(Advice::new(
            "it is a component",
            "compile a core module, for wasm32-wasip1: Envoy loads no components"
        ));
    }
    if !wasm.starts_with(&CORE_MODULE) {
        bail!("it is not a WebAssembly module");
    }
    let mut inspection = Inspection::default();
    if wasm.len() > MAX_SIZE {
        inspection.problem("it is larger than 256 MiB");
    }
    // Features that nobody tried on Envoy are not errors.
    if let Err(error) = validate(wasm, WasmFeatures::all()) {
        inspection.problem(format!("it is not valid: {error}"));
    } else {
        if let Err(error) = validate(wasm, supported()) {
            inspection.notes.push(format!(
                "it uses a feature of WebAssembly that Envoy may not support: {error}"
            ));
        }
        for payload in Parser::new(0).parse_all(wasm) {
            inspection.section(payload?)?;
        }
        inspection.check_exports();
        inspection.check_imports();
    }
    Ok(inspection.report(wasm))
}

/// The features that Envoy 1.36 and 1.40 load: those of WebAssembly 2.0, and two later ones.
fn supported() -> WasmFeatures {
    WasmFeatures::WASM2 | WasmFeatures::EXTENDED_CONST | WasmFeatures::TAIL_CALL
}

fn validate(wasm: &[u8], features: WasmFeatures) -> Result<(), BinaryReaderError> {
    Validator::new_with_features(features)
        .validate_all(wasm)
        .map(|_| ())
}

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.module, self.name)
    }
}

#[derive(Default)]
struct Inspection {
    types: Vec<host_functions::Signature>,
    exports: Vec<(String, ExternalKind)>,
    imports: Vec<Import>,
    features: Vec<String>,
    problems: Vec<String>,
    notes: Vec<String>,
}

struct Import {
    module: String,
    name: String,
    kind: TypeRef,
}

impl Inspection {
    /// Reads a section, if the checks need it.
    fn section(&mut self, payload: Payload<'_>) -> Result<()> {
        match payload {
            Payload::TypeSection(types) => {
                for group in types {
                    for kind in group?.types() {
                        if let CompositeInnerType::Func(function) = &kind.composite_type.inner {
                            self.types
                                .push((function.params().to_vec(), function.results().to_vec()));
                        }
                    }
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import?;
                    let (module, name) = (import.module.to_owned(), import.name.to_owned());
                    self.imports.push(Import {
                        module,
                        name,
                        kind: import.ty,
                    });
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    self.exports.push((export.name.to_owned(), export.kind));
                }
            }
            Payload::CustomSection(section) if section.name() == "target_features" => {
                self.features = target_features(section.data());
            }
            _ => {}
        }
        Ok(())
    }

    fn check_imports(&mut self) {
        // A module declares one version. Without any, there is a problem already.
        let abi_version = self.abi_versions().into_iter().next().unwrap_or_default();
        let problems: Vec<String> = self
            .imports
            .iter()
            .filter_map(|import| self.problem_of(import, &abi_version))
            .collect();
        self.problems.extend(problems);
        for import in &self.imports {
            if host_functions::is_new(&import.module, &import.name) {
                self.notes.push(format!(
                    "Envoy 1.40 offers the import {import}, but Envoy 1.36 does not"
                ));
            }
        }
    }

    fn problem_of(&self, import: &Import, abi_version: &str) -> Option<String> {
        let TypeRef::Func(index) = import.kind else {
            return Some(format!("import {import} is not a function"));
        };
        // Envoy links imports by module, name and signature.
        let Some(signature) = host_functions::signature(&import.module, &import.name, abi_version)
        else {
            return Some(format!("Envoy does not offer the import {import}"));
        };
        let declared = usize::try_from(index)
            .ok()
            .and_then(|index| self.types.get(index));
        if declared == Some(&signature) {
            return None;
        }
        Some(format!(
            "import {import} has another signature than in Envoy"
        ))
    }

    fn check_exports(&mut self) {
        if !self
            .abi_versions()
            .iter()
            .any(|version| ABI_VERSIONS.contains(&version.as_str()))
        {
            let known = ABI_VERSIONS.map(|version| format!("proxy_abi_version_{version}"));
            self.problem(format!("it exports none of {}", known.join(", ")));
        }
        // Envoy allocates memory in the module for values that it returns.
        if !self.exports_one_of(&["proxy_on_memory_allocate", "malloc"]) {
            self.problem("it exports no function proxy_on_memory_allocate or malloc");
        }
        // Envoy loads a module without these exports, and fails at the first request.
        if self.exported(ExternalKind::Memory).count() != 1 {
            self.problem("it does not export one memory");
        }
        if !self.exports_one_of(&["_initialize", "_start"]) {
            self.problem("it cannot start: it exports no function _initialize or _start");
        }
        // The filter's callbacks have a prefix until `trim_exports` renames them.
        if self.exports.iter().any(|(name, _)| name.starts_with(OWN)) {
            self.problem(
                "it was compiled by cargo only: `packager build` renames the callbacks of the filter",
            );
        }
    }

    fn exports_one_of(&self, functions: &[&str]) -> bool {
        self.exported(ExternalKind::Func)
            .any(|name| functions.contains(&name))
    }

    fn abi_versions(&self) -> Vec<String> {
        self.exported(ExternalKind::Func)
            .filter_map(|name| name.strip_prefix("proxy_abi_version_").map(str::to_owned))
            .collect()
    }

    /// The names of the exports of a kind.
    fn exported(&self, kind: ExternalKind) -> impl Iterator<Item = &str> {
        self.exports
            .iter()
            .filter(move |(_, found)| *found == kind)
            .map(|(name, _)| name.as_str())
    }

    fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    fn report(self, wasm: &[u8]) -> Report {
        Report {
            size: wasm.len(),
            sha256: sha256(wasm),
            abi_versions: self.abi_versions(),
            exports: self.exports.into_iter().map(|(name, _)| name).collect(),
            imports: self.imports.iter().map(Import::to_string).collect(),
            features: self.features,
            problems: self.problems,
            notes: self.notes,
        }
    }
}

/// The features in use of a custom section `target_features`, in the order of the section (WebAssembly
/// tool-conventions, `Linking.md`). Reading stops at the first error.
fn target_features(data: &[u8]) -> Vec<String> {
    let mut reader = wasmparser::BinaryReader::new(data, 0);
    let mut features = Vec::new();
    for _ in 0..reader.read_var_u32().unwrap_or_default() {
        let (Ok(prefix), Ok(name)) = (reader.read_u8(), reader.read_string()) else {
            break;
        };
        if prefix == b'+' {
            features.push(name.to_owned());
        }
    }
    features
}
