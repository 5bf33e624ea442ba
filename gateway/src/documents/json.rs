//! JSON documents, and streams of them: kubectl and jq print one object after the other without a separator.

use serde_json::Value;

/// The objects of a stream up to its end or to the first error.
pub(super) struct Stream {
    pub(super) objects: Vec<Object>,
    /// The number of lines before the error, and the problem.
    pub(super) error: Option<(u64, String)>,
}

/// An object of a stream, and where its text is.
pub(super) struct Object {
    /// The octets before it.
    pub(super) offset: usize,
    /// The octets before the end of it.
    pub(super) end: usize,
    pub(super) value: Value,
}

/// The text without the marker between documents, if it looks like JSON.
pub(super) fn content(text: &str) -> Option<&str> {
    let content = text.strip_prefix("---").unwrap_or(text).trim();
    content.starts_with('{').then_some(content)
}

/// An upper bound for the number of parts of JSON: it also counts the separators in strings.
pub(super) fn parts(json: &str) -> usize {
    json.bytes()
        .filter(|octet| matches!(octet, b',' | b':' | b'[' | b'{'))
        .count()
}

/// Parses a stream. A stream without objects is not JSON.
pub(super) fn objects(json: &str) -> Stream {
    let mut stream = Stream {
        objects: Vec::new(),
        error: None,
    };
    let mut parser = serde_json::Deserializer::from_str(json).into_iter::<Value>();
    loop {
        // The parser skips white space when it reads the next object, so the object begins behind it.
        let consumed = parser.byte_offset();
        let rest = json.get(consumed..).unwrap_or_default();
        let offset = consumed + (rest.len() - rest.trim_start().len());
        match parser.next() {
            None => return stream,
            Some(Ok(value)) => stream.objects.push(Object {
                offset,
                end: parser.byte_offset(),
                value,
            }),
            Some(Err(error)) => {
                let line = (error.line() as u64).saturating_sub(1);
                stream.error = Some((line, without_position(&error)));
                return stream;
            }
        }
    }
}

/// The message of an error without its position: the fault has the line.
fn without_position(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.rfind(" at line ") {
        Some(end) => message.get(..end).unwrap_or_default().to_owned(),
        None => message,
    }
}

/// The number of lines before each item of the list in a JSON object.
pub(super) fn item_lines(json: &str) -> Vec<u64> {
    let mut found = Vec::new();
    let (mut line, mut depth) = (0, 0_usize);
    let (mut is_string, mut is_escaped, mut is_in_items) = (false, false, false);
    for (position, octet) in json.bytes().enumerate() {
        match octet {
            // Brackets in strings do not count.
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            b'\n' => line += 1,
            _ if is_string => {}
            b'{' | b'[' => {
                // `items` is a key of the outermost object, and its items are one level deeper.
                if depth == 1 && octet == b'[' {
                    is_in_items = is_after_items(json.get(..position).unwrap_or_default());
                }
                if depth == 2 && is_in_items {
                    found.push(line);
                }
                depth += 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    found
}

fn is_after_items(text: &str) -> bool {
    let text = text.trim_end();
    text.strip_suffix(':')
        .is_some_and(|key| key.trim_end().ends_with("\"items\""))
}

#[cfg(test)]
mod tests {
    use super::{item_lines, objects};

    #[test]
    fn a_stream_is_read_up_to_its_first_error() {
        let stream = objects("{\"a\": 1}\n\n{\"b\": 2}{\"c\": 3}\n{\"d\": }\n{}");
        let places: Vec<(usize, usize)> = stream
            .objects
            .iter()
            .map(|object| (object.offset, object.end))
            .collect();
        assert_eq!(places, [(0, 8), (10, 18), (18, 26)]);
        assert_eq!(stream.error, Some((3, "expected value".into())));
        let stream = objects("{a: 1}");
        assert!(stream.objects.is_empty());
        assert!(objects("{}").error.is_none());
    }

    #[test]
    fn items_have_lines() {
        let list = "{\n \"x\": [{}],\n \"y\": \"[{\\\"items\\\": [\",\n \"items\" : [\n  {\"items\": [{}]},\n  \
                    {\n  }\n ]\n}";
        assert_eq!(item_lines(list), [4, 5]);
        assert!(item_lines("{\"metadata\": {\"items\": [{}]}}").is_empty());
        assert_eq!(item_lines("{\"items\": [{}, {}]}"), [0, 0]);
    }
}
