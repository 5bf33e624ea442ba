//! Reads [`Resources`] from YAML or JSON, which may contain several documents and lists. A document that
//! cannot be read is a fault; the others are still read.

mod kinds;

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::{Options, Spanned, UserMessageFormatter, budget, options};

use super::resources::{Origin, Resources};

/// The largest text that is read, in octets. The Gateways and routes of a large cluster are much smaller.
pub const MAX_TEXT: usize = 50 << 20;

/// The deepest nesting of a document. `CustomResourceDefinitions`, which may be in a folder of manifests, have
/// the deepest.
const MAX_DEPTH: usize = 200;

/// The largest number of parts (keys, values, lists) of a document: several times the number in real
/// documents of [`MAX_TEXT`] octets. A part takes more memory than its text.
const MAX_PARTS: usize = 10 << 20;

/// The largest number of parts that YAML aliases add. Without a limit a few lines can expand to gigabytes.
const MAX_ALIASED: usize = 1 << 20;

/// The reason why a document was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentFault {
    pub origin: Origin,
    /// The problem, as a fragment without a full stop.
    pub problem: String,
}

impl fmt::Display for DocumentFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.problem)
    }
}

impl std::error::Error for DocumentFault {}

/// Reads all documents of a text in UTF-8 into `resources`. Kinds that do not affect gateways are skipped. The
/// result has one fault for each document that cannot be read.
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
            // The fault names the line of the first invalid octet.
            Err(error) => {
                let valid = document.get(..error.valid_up_to()).unwrap_or_default();
                reader.fault(line + lines(valid), "it is not UTF-8".into());
            }
        }
    }
    reader.faults
}

/// Adds a resource that is already parsed, such as one from an API server.
///
/// # Errors
/// The value does not have the fields of its kind.
pub fn add(origin: &Origin, value: Value, resources: &mut Resources) -> Result<(), DocumentFault> {
    kinds::add(resources, origin, value).map_err(|problem| DocumentFault {
        origin: origin.clone(),
        problem,
    })
}

/// The documents of a text, each with the number of its first line. A line that begins with `---` is always a
/// marker between documents (YAML 1.2 §9.1.2), even after a document that cannot be parsed.
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

/// The number of octets before the next marker. A marker in the first line begins this document.
fn document_length(text: &[u8]) -> usize {
    let mut length = 0;
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        if length > 0 && is_marker(line) {
            return length;
        }
        length += line.len();
    }
    length
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

/// A list, of which only the positions of the items are read.
#[derive(Deserialize)]
struct Lines {
    #[serde(default)]
    items: Vec<Spanned<serde::de::IgnoredAny>>,
}

impl Reader<'_> {
    fn document(&mut self, line: u64, text: &str) {
        // A marker without content, such as the one at the end of a stream.
        if text.trim() == "---" {
            return;
        }
        match parse(text) {
            Ok(value) => self.value(line, text, value),
            Err((offset, problem)) => self.fault(line + offset, problem),
        }
    }

    fn value(&mut self, start: u64, text: &str, mut value: Value) {
        // A document with comments only, or an empty template of a Helm chart.
        if value.is_null() {
            return;
        }
        // A fault refers to the first line of the content.
        let line = start + leading_lines(text);
        let is_list = value
            .get("kind")
            .and_then(Value::as_str)
            .is_some_and(is_list_kind);
        let Some(Value::Array(items)) = value.get_mut("items").filter(|_| is_list) else {
            return self.resource(line, "", value);
        };
        // Each item of a list is a resource with a line of its own, if the parser reports lines.
        let lines = item_lines(text);
        for (index, item) in items.iter_mut().enumerate() {
            let item_line = match lines.get(index) {
                Some(offset) => start + offset,
                None => line,
            };
            self.resource(item_line, &format!("items[{index}]"), item.take());
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

/// Whether a kind is a list: `List`, or the kind of an answer of the API server, such as `GatewayList`.
fn is_list_kind(kind: &str) -> bool {
    kind.ends_with("List")
}

/// The value of one document.
///
/// # Errors
/// The document cannot be parsed: the number of lines before the error, and the problem.
fn parse(text: &str) -> Result<Value, (u64, String)> {
    // Output of kubectl in JSON can be large. The parser for JSON is several times as fast as the one for YAML,
    // but has no limits, so the parts are counted first.
    if let Some(json) = json(text) {
        if parts(json) > MAX_PARTS {
            return Err((0, format!("it has more than {MAX_PARTS} parts")));
        }
        if let Ok(value) = serde_json::from_str(json) {
            return Ok(value);
        }
    }
    // YAML, or text that looks like JSON and is not.
    serde_saphyr::from_str_with_options(text, limits()).map_err(|error| {
        let offset = error
            .location()
            .map_or(0, |location| location.line().saturating_sub(1));
        let message = error
            .without_snippet()
            .render_with_formatter(&UserMessageFormatter);
        // A fault is one line.
        let message: Vec<&str> = message.lines().map(str::trim).collect();
        (offset, format!("it is not YAML: {}", message.join(" ")))
    })
}

/// The text without the marker, if it looks like JSON.
fn json(text: &str) -> Option<&str> {
    let content = text.strip_prefix("---").unwrap_or(text).trim();
    content.starts_with('{').then_some(content)
}

/// An upper bound for the number of parts of JSON: it also counts the separators in strings.
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

/// The number of lines before each item of a YAML list. It is empty for JSON, which is often a single line.
fn item_lines(text: &str) -> Vec<u64> {
    if json(text).is_some() {
        return Vec::new();
    }
    let Ok(Lines { items }) = serde_saphyr::from_str_with_options(text, limits()) else {
        return Vec::new();
    };
    items
        .iter()
        .map(|item| item.referenced.line().saturating_sub(1))
        .collect()
}

/// The number of lines of a document before its content: markers, comments and empty lines.
fn leading_lines(text: &str) -> u64 {
    text.lines()
        .map(str::trim)
        .take_while(|line| line.is_empty() || line.starts_with('#') || *line == "---")
        .count() as u64
}
