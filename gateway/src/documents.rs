//! From text to [`Resources`]: several documents, lists, YAML as kubectl reads it, JSON. What does
//! not parse is a fault of one document; the others are read all the same.

mod kinds;

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::{Options, Spanned, UserMessageFormatter, budget, options};

use super::resources::{Origin, Resources};

/// The largest text that is read, in octets. A cluster's worth of Gateways and routes is far below.
pub const MAX_TEXT: usize = 50 << 20;

/// How deep a document is nested at most; CRDs, which may lie about, are the deepest.
const MAX_DEPTH: usize = 200;

/// How many parts a document has at most, several times what real ones of [`MAX_TEXT`] have. Each costs
/// more memory than the octets that it is written in.
const MAX_PARTS: usize = 10 << 20;

/// How many parts aliases may add, so that a few lines cannot become gigabytes.
const MAX_ALIASED: usize = 1 << 20;

/// Why a document was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentFault {
    pub origin: Origin,
    /// What is wrong, as a fragment.
    pub problem: String,
}

impl fmt::Display for DocumentFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.problem)
    }
}

impl std::error::Error for DocumentFault {}

/// Reads all the documents of a text, which is to be UTF-8, into `resources`. Kinds that have no part
/// in what a gateway serves are left out. The result has one fault per document that could not be
/// read.
pub fn read(file: &str, text: impl AsRef<[u8]>, resources: &mut Resources) -> Vec<DocumentFault> {
    let text = text.as_ref();
    let mut reader = Reader {
        file: file.into(),
        resources,
        faults: Vec::new(),
    };
    if text.len() > MAX_TEXT {
        reader.fault(1, format!("it is larger than {} MiB", MAX_TEXT >> 20));
        return reader.faults;
    }
    for (line, document) in split(text) {
        match std::str::from_utf8(document) {
            Ok(document) => reader.document(line, document),
            Err(error) => {
                let valid = document.get(..error.valid_up_to()).unwrap_or_default();
                reader.fault(line + lines(valid), "it is no UTF-8".into());
            }
        }
    }
    reader.faults
}

/// Adds a resource that is a value already, such as one of an API server.
///
/// # Errors
/// It is not what its kind says.
pub fn add(origin: &Origin, value: Value, resources: &mut Resources) -> Result<(), DocumentFault> {
    kinds::add(resources, origin, value).map_err(|problem| DocumentFault {
        origin: origin.clone(),
        problem,
    })
}

/// The documents of a stream with the lines they begin at. A line that begins with `---` cannot be
/// part of anything else (YAML 1.2 §9.1.2), so that a document that does not parse ends there too.
fn split(text: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut rest = text;
    let mut line = 1;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (document, following) = rest.split_at(document_length(rest));
        let start = line;
        line += lines(document);
        rest = following;
        Some((start, document))
    })
}

/// How many octets go before the next line with a marker, that of the text's own start left aside.
fn document_length(text: &[u8]) -> usize {
    let mut at = 0;
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        if at > 0 && is_marker(line) {
            return at;
        }
        at += line.len();
    }
    at
}

fn is_marker(line: &[u8]) -> bool {
    let rest = line.strip_prefix(b"---");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b' ' | b'\t' | b'\r' | b'\n')))
}

fn lines(text: &[u8]) -> u64 {
    text.split(|octet| *octet == b'\n').skip(1).count() as u64
}

struct Reader<'r> {
    file: Arc<str>,
    resources: &'r mut Resources,
    faults: Vec<DocumentFault>,
}

/// A list, for the lines of its items.
#[derive(Deserialize)]
struct Lines {
    #[serde(default)]
    items: Vec<Spanned<serde::de::IgnoredAny>>,
}

impl Reader<'_> {
    fn document(&mut self, line: u64, text: &str) {
        if text.trim() == "---" {
            return;
        }
        match parse(text) {
            Ok(value) => self.value(line, text, value),
            Err((below, problem)) => self.fault(line + below, problem),
        }
    }

    fn value(&mut self, line: u64, text: &str, mut value: Value) {
        // Comments alone, or what is left of an empty template.
        if value.is_null() {
            return;
        }
        let line = line + leading_lines(text);
        let is_list = value
            .get("kind")
            .and_then(Value::as_str)
            .is_some_and(is_list_kind);
        let Some(Value::Array(items)) = value.get_mut("items").filter(|_| is_list) else {
            return self.resource(line, "", value);
        };
        let lines = item_lines(text);
        for (index, item) in items.iter_mut().enumerate() {
            let below = lines.get(index).copied();
            let at = below.map_or(line, |below| line - leading_lines(text) + below);
            self.resource(at, &format!("items[{index}]"), item.take());
        }
    }

    fn resource(&mut self, line: u64, path: &str, value: Value) {
        let origin = Origin {
            file: Arc::clone(&self.file),
            line,
        };
        if let Err(problem) = kinds::add(self.resources, &origin, value) {
            let dot = if path.is_empty() { "" } else { ": " };
            self.fault(line, format!("{path}{dot}{problem}"));
        }
    }

    fn fault(&mut self, line: u64, problem: String) {
        let origin = Origin {
            file: Arc::clone(&self.file),
            line,
        };
        self.faults.push(DocumentFault { origin, problem });
    }
}

/// `List`, and what the API server answers, such as `GatewayList`.
fn is_list_kind(kind: &str) -> bool {
    kind.ends_with("List")
}

/// The value of one document; or how many lines down it is wrong, and why.
fn parse(text: &str) -> Result<Value, (u64, String)> {
    // What kubectl prints may be large, and this is several times as fast.
    if let Some(json) = json(text) {
        if parts(json) > MAX_PARTS {
            return Err((0, format!("it has more than {MAX_PARTS} parts")));
        }
        if let Ok(value) = serde_json::from_str(json) {
            return Ok(value);
        }
    }
    serde_saphyr::from_str_with_options(text, limits()).map_err(|error| {
        let below = error
            .location()
            .map_or(0, |location| location.line().saturating_sub(1));
        let message = error
            .without_snippet()
            .render_with_formatter(&UserMessageFormatter);
        let message: Vec<&str> = message.lines().map(str::trim).collect();
        (below, format!("it is no YAML: {}", message.join(" ")))
    })
}

/// The text without its marker, if it looks like JSON.
fn json(text: &str) -> Option<&str> {
    let content = text.strip_prefix("---").unwrap_or(text).trim();
    content.starts_with('{').then_some(content)
}

/// How many parts JSON has, or more: what is in strings counts too.
fn parts(json: &str) -> usize {
    json.bytes()
        .filter(|octet| matches!(octet, b',' | b':' | b'[' | b'{'))
        .count()
}

fn limits() -> Options {
    options! {
        budget: budget! {
            max_events: MAX_PARTS,
            max_nodes: MAX_PARTS,
            max_depth: MAX_DEPTH,
            max_total_scalar_bytes: MAX_TEXT,
            max_recorded_anchor_events: MAX_ALIASED,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_ALIASED },
    }
}

/// How many lines down each item of a YAML list is; nothing for JSON, whose lines say little.
fn item_lines(text: &str) -> Vec<u64> {
    if json(text).is_some() {
        return Vec::new();
    }
    let lines: Result<Lines, _> = serde_saphyr::from_str_with_options(text, limits());
    let items = lines.map(|lines| lines.items).unwrap_or_default();
    items
        .iter()
        .map(|item| item.referenced.line().saturating_sub(1))
        .collect()
}

/// The lines of a document before its content: markers, comments and empty ones.
fn leading_lines(text: &str) -> u64 {
    let blank = |line: &&str| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "---"
    };
    text.lines().take_while(blank).count() as u64
}
