//! Definitions of resources, as API servers read them.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::rules;

const KINDS: [&str; 4] = [
    "WasmPlugin",
    "TrafficExtension",
    "AuthorizationPolicy",
    "EnvoyExtensionPolicy",
];

/// The definition of a kind.
pub(crate) struct Definition {
    pub(crate) kind: String,
    /// The minor version of the Istio that it is of; 0 when it is not Istio's.
    pub(crate) release: u16,
    path: PathBuf,
    api_version: String,
    /// The schema of `spec`.
    schema: Value,
    validator: Validator,
}

/// The definitions at hand: more than none, for each of Istio's kinds.
pub(crate) fn definitions() -> &'static [Definition] {
    static DEFINITIONS: LazyLock<Vec<Definition>> = LazyLock::new(load);
    &DEFINITIONS
}

fn load() -> Vec<Definition> {
    let (files, kinds) = match std::env::var_os("ISTIO_CRDS") {
        Some(folder) => (yaml_files(Path::new(&folder)), &KINDS[..]),
        None => (cached_files(), &KINDS[..3]),
    };
    let definitions: Vec<Definition> = files.iter().flat_map(|path| read(path)).collect();
    for kind in kinds {
        let known = definitions
            .iter()
            .any(|definition| definition.kind == *kind);
        assert!(known, "no definition of {kind} in {files:?}");
    }
    definitions
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("reading $ISTIO_CRDS, {}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    files.sort();
    files
}

/// What set-up keeps of Istio's sources.
fn cached_files() -> Vec<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| std::env::home_dir().unwrap().join(".cache"));
    let entries = fs::read_dir(cache.join("sni-guard")).into_iter().flatten();
    let folders = entries.map(|entry| entry.unwrap().path());
    let folders = folders.filter(|path| path.file_name().is_some_and(is_istio));
    let files: Vec<_> = folders
        .map(|folder| folder.join("crd-all.gen.yaml"))
        .filter(|path| path.is_file())
        .collect();
    assert!(
        !files.is_empty(),
        "no definitions to validate by: run tests/istio/setup, or set ISTIO_CRDS to a folder of them"
    );
    // Past the test harness, which keeps what a passing test prints to itself.
    let note = "ISTIO_CRDS is not set: nothing is validated but by the definitions in";
    std::io::stderr()
        .write_all(format!("{note} {files:?}\n").as_bytes())
        .unwrap();
    files
}

fn is_istio(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with("istio-")
}

fn read(path: &Path) -> Vec<Definition> {
    let text = fs::read_to_string(path).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let documents = documents.into_iter().filter(|document| {
        KINDS
            .iter()
            .any(|kind| document.pointer("/spec/names/kind") == Some(&json!(kind)))
    });
    documents
        .map(|document| Definition::new(path, &document))
        .collect()
}

impl Definition {
    fn new(path: &Path, document: &Value) -> Self {
        let text = |pointer: &str| {
            document
                .pointer(pointer)
                .unwrap()
                .as_str()
                .unwrap()
                .to_owned()
        };
        let (group, kind) = (text("/spec/group"), text("/spec/names/kind"));
        let version = document.pointer("/spec/versions/0").unwrap();
        assert_eq!(version["served"], true);
        let schema = version
            .pointer("/schema/openAPIV3Schema/properties/spec")
            .unwrap()
            .clone();
        let mut closed = schema.clone();
        close(&mut closed);
        let release = if group.ends_with("istio.io") {
            release(path)
        } else {
            0
        };
        Self {
            kind,
            release,
            path: path.to_owned(),
            api_version: format!("{group}/{}", version["name"].as_str().unwrap()),
            schema,
            validator: jsonschema::validator_for(&closed).unwrap(),
        }
    }

    /// Everything that an API server would refuse in a resource.
    pub(crate) fn faults(&self, resource: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        for (key, expected) in [("kind", &self.kind), ("apiVersion", &self.api_version)] {
            if resource[key] != **expected {
                faults.push(format!(
                    "{key}: expected {expected}, found {}",
                    resource[key]
                ));
            }
        }
        let spec = &resource["spec"];
        for error in self.validator.iter_errors(spec) {
            faults.push(format!("spec{}: {error}", error.instance_path()));
        }
        rules::check(&self.schema, spec, "spec", &mut faults);
        faults
    }
}

impl fmt::Display for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.kind, self.path.display())
    }
}

/// The minor version in a path such as `wasmplugin-crd-istio-1.24.0.yaml`. The sources that set-up
/// keeps are of the branch 1.31, whatever they are called.
fn release(path: &Path) -> u16 {
    let path = path.to_string_lossy();
    let minor = path
        .rsplit_once("istio-1.")
        .and_then(|(_, rest)| rest.split('.').next());
    minor.and_then(|minor| minor.parse().ok()).unwrap_or(31)
}

/// Has a schema refuse fields that it does not know, as kubectl has API servers do.
fn close(schema: &mut Value) {
    let open = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(true));
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(close);
        if !open {
            schema["additionalProperties"] = json!(false);
        }
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(inner).filter(|inner| inner.is_object()) {
            close(inner);
        }
    }
}
