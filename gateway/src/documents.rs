//! Reads [`Resources`] from YAML or JSON, which may contain several documents and lists. A document that
//! cannot be read is a fault, a document that is not a resource is skipped; the others are still read.

mod helm;
mod json;
mod kinds;
mod kustomize;
mod skipped;

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::{Options, Spanned, UserMessageFormatter, budget, options};

use super::resources::{Origin, Resources};
pub use helm::drop_release;
pub use kustomize::patch_files;
pub use skipped::{SkipReason, Skipped};

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

/// The documents of a text that are not among the resources.
#[derive(Debug, Default)]
pub struct Unread {
    /// One for each document that cannot be read.
    pub faults: Vec<DocumentFault>,
    /// One for each document that is not a resource.
    pub skipped: Vec<Skipped>,
}

/// Reads all documents of a text in UTF-8 into `resources`, and returns the faults. [`read_all`] also returns
/// the skipped documents.
pub fn read(file: &str, text: impl AsRef<[u8]>, resources: &mut Resources) -> Vec<DocumentFault> {
    read_all(file, text, resources).faults
}

/// Reads all documents of a text in UTF-8 into `resources`. Kinds that do not affect gateways are ignored.
pub fn read_all(file: &str, text: impl AsRef<[u8]>, resources: &mut Resources) -> Unread {
    let text = text.as_ref();
    let mut reader = Reader {
        file: file.into(),
        resources,
        unread: Unread::default(),
    };
    if text.len() > MAX_TEXT {
        let limit = MAX_TEXT >> 20;
        let problem =
            format!("it is larger than {limit} MiB: leave out kinds that gateways do not use");
        reader.fault(1, problem);
        return reader.unread;
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
    reader.unread
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
    unread: Unread,
}

/// A list. Only the positions of its items are read.
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
        // Output of kubectl in JSON can be large. The parser for JSON is several times as fast as the one for
        // YAML, but has no limits, so the parts are counted first.
        if let Some(json) = json::content(text) {
            if json::parts(json) > MAX_PARTS {
                return self.fault(line, format!("it has more than {MAX_PARTS} parts"));
            }
            let stream = json::objects(json);
            if !stream.objects.is_empty() {
                return self.stream(line + lines_between(text, json), json, stream);
            }
        }
        // YAML, or text that looks like JSON and is not.
        match parse_yaml(text) {
            Ok(value) => {
                let first = line + leading_lines(text);
                self.value(line, first, text, value);
            }
            Err((offset, problem)) => self.unparsed(line + offset, text, problem),
        }
    }

    /// Adds the objects of a JSON stream, such as the output of several calls of kubectl.
    fn stream(&mut self, start: u64, json: &str, stream: json::Stream) {
        for object in stream.objects {
            let line = start + lines(json.as_bytes().get(..object.offset).unwrap_or_default());
            let text = json.get(object.offset..object.end).unwrap_or_default();
            self.value(line, line, text, object.value);
        }
        if let Some((offset, problem)) = stream.error {
            self.fault(start + offset, format!("it is not JSON: {problem}"));
        }
    }

    /// Handles a text without a value: it is a fault, unless the text is no manifest at all.
    fn unparsed(&mut self, line: u64, text: &str, problem: String) {
        match skipped::reason_of_text(&self.file, text) {
            Some(reason) => self.skip(line, reason),
            None => self.fault(line, problem),
        }
    }

    /// Adds the resource or the list of a document. `start` is the line of the text, `line` the first line of the
    /// content, to which faults refer.
    fn value(&mut self, start: u64, line: u64, text: &str, mut value: Value) {
        // A document with comments only, or an empty template of a Helm chart.
        if value.is_null() {
            return;
        }
        let Some(items) = take_items(&mut value) else {
            return self.resource(line, "", value);
        };
        // Each item of a list is a resource with a line of its own, if the parser reports lines.
        let lines = item_lines(text);
        for (index, item) in items.into_iter().enumerate() {
            let item_line = match lines.get(index) {
                Some(offset) => start + offset,
                None => line,
            };
            self.item(item_line, &format!("items[{index}]"), item);
        }
    }

    /// An item of a list, which may be a list again, as kubectl accepts it.
    fn item(&mut self, line: u64, path: &str, mut value: Value) {
        match take_items(&mut value) {
            Some(items) => {
                for (index, item) in items.into_iter().enumerate() {
                    self.item(line, &format!("{path}.items[{index}]"), item);
                }
            }
            None => self.resource(line, path, value),
        }
    }

    fn resource(&mut self, line: u64, path: &str, value: Value) {
        let origin = Origin {
            file: Arc::clone(&self.file),
            line,
        };
        if let Some(reason) = skipped::reason(&value) {
            return self.skip(line, reason);
        }
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
        self.unread.faults.push(DocumentFault { origin, problem });
    }

    fn skip(&mut self, line: u64, reason: SkipReason) {
        let origin = Origin {
            file: Arc::clone(&self.file),
            line,
        };
        self.unread.skipped.push(Skipped { origin, reason });
    }
}

/// The items, if the value is a list of resources. Items of the API server's lists have neither apiVersion nor kind:
/// they get the apiVersion and the kind that the list names.
fn take_items(value: &mut Value) -> Option<Vec<Value>> {
    let kind = value
        .get("kind")
        .and_then(Value::as_str)
        .filter(|kind| is_list_kind(kind))?
        .to_owned();
    let api_version = value.get("apiVersion").cloned();
    let items = value.get_mut("items").filter(|items| items.is_array())?;
    let Value::Array(mut items) = items.take() else {
        return None;
    };
    if let (Some(item_kind), Some(api_version)) = (
        kind.strip_suffix("List").filter(|kind| !kind.is_empty()),
        api_version,
    ) {
        for item in items.iter_mut().filter_map(Value::as_object_mut) {
            if !item.contains_key("kind") && !item.contains_key("apiVersion") {
                item.insert("apiVersion".into(), api_version.clone());
                item.insert("kind".into(), item_kind.into());
            }
        }
    }
    Some(items)
}

/// Whether a kind is a list: `List`, or the kind of an answer of the API server, such as `GatewayList`.
fn is_list_kind(kind: &str) -> bool {
    kind.ends_with("List")
}

/// The value of one document.
///
/// # Errors
/// The document cannot be parsed: the number of lines before the error, and the problem.
fn parse_yaml(text: &str) -> Result<Value, (u64, String)> {
    serde_saphyr::from_str_with_options(text, limits()).map_err(|error| {
        let offset = error
            .location()
            .map_or(0, |location| location.line().saturating_sub(1));
        let message = error
            .without_snippet()
            .render_with_formatter(&UserMessageFormatter);
        // A fault is one line.
        let message: Vec<&str> = message.lines().map(str::trim).collect();
        let message = message.join(" ");
        (
            offset,
            format!("it is not YAML: {}", without_position(&message)),
        )
    })
}

/// A message without the position at its end: the fault has the line in the file, and the parser counts from the
/// beginning of the document.
fn without_position(message: &str) -> &str {
    let Some((text, position)) = message.rsplit_once(" at line ") else {
        return message;
    };
    let mut numbers = position.split(", column ");
    if numbers.all(|number| number.bytes().all(|octet| octet.is_ascii_digit())) {
        text
    } else {
        message
    }
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

/// The number of lines before each item of a list.
fn item_lines(text: &str) -> Vec<u64> {
    if json::content(text).is_some() {
        return json::item_lines(text);
    }
    let Ok(Lines { items }) = serde_saphyr::from_str_with_options(text, limits()) else {
        return Vec::new();
    };
    items
        .iter()
        .map(|item| item.referenced.line().saturating_sub(1))
        .collect()
}

/// The number of lines of a text before a part of it.
fn lines_between(text: &str, part: &str) -> u64 {
    let length = text.find(part).unwrap_or_default();
    lines(text.as_bytes().get(..length).unwrap_or_default())
}

/// The number of lines of a document before its content: markers, comments and empty lines.
fn leading_lines(text: &str) -> u64 {
    text.lines()
        .map(str::trim)
        .take_while(|line| line.is_empty() || line.starts_with('#') || *line == "---")
        .count() as u64
}
