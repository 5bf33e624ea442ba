//! `packager inspect` accepts a module if Envoy does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use packager::module::host_functions::{self, Signature};
use packager::module::inspect;
use tempfile::TempDir;
use tests::certificate::Certificate;
use tests::envoy::{self, Chain, Filter, Guard, GuardConfig, Listener};
use tests::{module, tools};
use wasm_encoder::{
    CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection,
    Instruction, MemorySection, MemoryType, Module, TypeSection, ValType,
};

/// A module that does nothing, as a list of what it imports and exports.
#[derive(Clone)]
struct Sketch {
    imports: Vec<(String, String, Signature)>,
    functions: Vec<String>,
    memory: bool,
    /// The code of one more function, without parameters and results.
    body: Option<Function>,
}

impl Sketch {
    fn of_abi(version: &str) -> Self {
        let functions = ["_initialize", "proxy_on_memory_allocate"].map(str::to_owned);
        let mut functions = functions.to_vec();
        functions.push(format!("proxy_abi_version_{version}"));
        Self {
            imports: Vec::new(),
            functions,
            memory: true,
            body: None,
        }
    }

    fn importing(mut self, module: &str, name: &str, signature: Signature) -> Self {
        self.imports.push((module.into(), name.into(), signature));
        self
    }

    fn exporting(mut self, function: &str) -> Self {
        self.functions.push(function.into());
        self
    }

    fn without(mut self, function: &str) -> Self {
        self.functions.retain(|name| !name.starts_with(function));
        self
    }

    fn with_body(mut self, instructions: &[Instruction<'_>]) -> Self {
        let mut body = Function::new([]);
        for instruction in instructions {
            body.instruction(instruction);
        }
        self.body = Some(body);
        self
    }

    fn encode(&self) -> Vec<u8> {
        let (mut types, mut imports) = (TypeSection::new(), ImportSection::new());
        for (module, name, (parameters, results)) in &self.imports {
            imports.import(module, name, EntityType::Function(types.len()));
            let types_of = |list: &[wasmparser::ValType]| -> Vec<ValType> {
                list.iter()
                    .map(|kind| ValType::try_from(*kind).unwrap())
                    .collect()
            };
            types.ty().function(types_of(parameters), types_of(results));
        }
        let (mut functions, mut exports) = (FunctionSection::new(), ExportSection::new());
        let mut code = CodeSection::new();
        for name in &self.functions {
            let allocates = name == "proxy_on_memory_allocate";
            exports.export(name, ExportKind::Func, imports.len() + functions.len());
            functions.function(types.len());
            let i32s = if allocates {
                vec![ValType::I32]
            } else {
                vec![]
            };
            types.ty().function(i32s.clone(), i32s);
            let mut body = Function::new([]);
            if allocates {
                body.instructions().i32_const(0);
            }
            body.instructions().end();
            code.function(&body);
        }
        if let Some(body) = &self.body {
            functions.function(types.len());
            types.ty().function([], []);
            code.function(body);
        }
        let mut memories = MemorySection::new();
        let one_page = MemoryType {
            minimum: 1,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        };
        memories.memory(one_page);
        if self.memory {
            exports.export("memory", ExportKind::Memory, 0);
        }
        let mut module = Module::new();
        module
            .section(&types)
            .section(&imports)
            .section(&functions)
            .section(&memories);
        module.section(&exports).section(&code);
        module.finish()
    }
}

/// Whether Envoy takes a configuration with the module.
fn envoy_loads(wasm: &[u8]) -> bool {
    let folder = TempDir::new().unwrap();
    let (module, bootstrap) = (folder.path().join("m.wasm"), folder.path().join("b.json"));
    fs::write(&module, wasm).unwrap();
    let guard = Guard {
        module,
        config: GuardConfig::Inline(None),
    };
    let listener = Listener {
        name: "plain".into(),
        transport: envoy::Transport::Plaintext,
        chains: vec![Chain {
            server_names: vec!["*".into()],
            virtual_hosts: vec![],
        }],
        filters: vec![Filter::Guard(guard)],
    };
    let certificate = Certificate::generate(folder.path(), &["a.example.com"]).unwrap();
    let config = envoy::bootstrap(&[listener], &certificate, Path::new("/dev/null"));
    fs::write(&bootstrap, config.to_string()).unwrap();
    let output = Command::new(tools::envoy(tools::ENVOY_VERSION).unwrap())
        .args(["--mode", "validate", "-c", bootstrap.to_str().unwrap()])
        .output()
        .unwrap();
    output.status.success()
}

#[track_caller]
fn check(what: &str, wasm: &[u8], problem: Option<&str>) {
    let problems = inspect(wasm).unwrap().problems.join("; ");
    match problem {
        None => assert_eq!(problems, "", "{what}"),
        Some(problem) => assert!(problems.contains(problem), "{what}: {problems}"),
    }
    assert_eq!(
        envoy_loads(wasm),
        problem.is_none(),
        "{what}: what Envoy does"
    );
}

#[test]
fn envoy_offers_what_the_table_says() {
    for version in ["0_1_0", "0_2_0", "0_2_1"] {
        let mut sketch = Sketch::of_abi(version);
        for (module, name, signature) in host_functions::all(version) {
            sketch = sketch.importing(module, &name, signature);
        }
        assert!(sketch.imports.len() > 50);
        check(version, &sketch.encode(), None);
    }
}

/// What Envoy loads is no problem, and what was not tried is a note.
#[test]
fn features_after_webassembly_2() {
    let tail_call = [Instruction::ReturnCall(0), Instruction::End];
    let reference = [
        Instruction::I32Const(1),
        Instruction::RefI31,
        Instruction::Drop,
        Instruction::End,
    ];
    for (what, body, is_supported) in [
        ("tail call", tail_call.as_slice(), true),
        ("reference to an i31", &reference, false),
    ] {
        let wasm = Sketch::of_abi("0_2_1").with_body(body).encode();
        let report = inspect(&wasm).unwrap();
        assert_eq!(report.problems, Vec::<String>::new(), "{what}");
        let notes = report.notes;
        assert_eq!(notes.is_empty(), is_supported, "{what}: {notes:?}");
        assert!(!is_supported || envoy_loads(&wasm), "{what}");
    }
    // A module that is valid with no feature is a problem.
    let invalid = [Instruction::Drop, Instruction::End];
    let wasm = Sketch::of_abi("0_2_1").with_body(&invalid).encode();
    let problems = inspect(&wasm).unwrap().problems;
    assert!(problems.join("").contains("not valid"), "{problems:?}");
}

#[test]
fn functions_that_old_releases_do_not_offer_are_a_note() {
    let i32 = wasmparser::ValType::I32;
    let import = |name: &str, parameters: usize| {
        let signature = (vec![i32; parameters], vec![i32]);
        let sketch = Sketch::of_abi("0_2_1").importing(host_functions::WASI, name, signature);
        sketch.encode()
    };
    for (name, is_new) in [("fd_filestat_get", true), ("fd_prestat_get", false)] {
        let wasm = import(name, 2);
        check(name, &wasm, None);
        let notes = inspect(&wasm).unwrap().notes;
        assert_eq!(notes.len(), usize::from(is_new), "{name}: {notes:?}");
    }
    for (name, parameters, problem) in [
        ("proc_raise", 1, "Envoy does not offer"),
        ("path_link", 7, "another signature"),
    ] {
        check(name, &import(name, parameters), Some(problem));
    }
}

#[test]
fn the_built_module_loads() {
    let wasm = fs::read(module::build().unwrap()).unwrap();
    check("the built module", &wasm, None);
    let report = inspect(&wasm).unwrap();
    assert_eq!(report.notes, Vec::<String>::new());
    // Each callback that the module exports costs a call for every request or connection.
    let exports: BTreeSet<&str> = report.exports.iter().map(String::as_str).collect();
    let expected = [
        "_initialize",
        "memory",
        "proxy_abi_version_0_2_1",
        "proxy_on_configure",
        "proxy_on_memory_allocate",
        "proxy_on_request_headers",
        "proxy_on_tick",
    ];
    assert_eq!(exports, BTreeSet::from(expected));
    assert!(report.size <= 120 << 10, "{}", report.size);
}

#[test]
fn what_envoy_refuses_is_a_problem() {
    let sketch = || Sketch::of_abi("0_2_1");
    let i32 = wasmparser::ValType::I32;
    let log = (vec![i32; 3], vec![i32]);
    for (what, sketch, problem) in [
        (
            "misspelt",
            sketch().importing("env", "proxy_lag", log.clone()),
            "Envoy does not offer",
        ),
        (
            "elsewhere",
            sketch().importing("envoy", "proxy_log", log),
            "Envoy does not offer",
        ),
        (
            "signature",
            sketch().importing("env", "proxy_log", (vec![i32; 2], vec![i32])),
            "another signature",
        ),
        (
            "another version's",
            sketch().importing("env", "proxy_clear_route_cache", (vec![], vec![i32])),
            "Envoy does not offer",
        ),
        (
            "no marker",
            sketch().without("proxy_abi"),
            "proxy_abi_version_0_2_1",
        ),
        (
            "a marker of the future",
            Sketch::of_abi("0_3_0"),
            "proxy_abi_version_0_2_1",
        ),
        (
            "no allocator",
            sketch().without("proxy_on_memory"),
            "proxy_on_memory_allocate or malloc",
        ),
    ] {
        check(what, &sketch.encode(), Some(problem));
    }
}

/// What Envoy does not look for: it takes the module, which then cannot work.
#[test]
fn what_could_not_run_is_a_problem() {
    let sketch = || Sketch::of_abi("0_2_1");
    for (sketch, problem) in [
        (
            sketch().without("_initialize"),
            "it cannot start: it exports no function _initialize or _start",
        ),
        (
            Sketch {
                memory: false,
                ..sketch()
            },
            "it does not export one memory",
        ),
        (
            sketch().exporting("sni_guard_on_configure"),
            "it was compiled by cargo only: `packager build` renames the callbacks of the filter",
        ),
    ] {
        let wasm = sketch.encode();
        assert_eq!(inspect(&wasm).unwrap().problems, [problem]);
        assert!(envoy_loads(&wasm), "{problem}: Envoy looks for it now");
    }
}
