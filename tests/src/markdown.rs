//! Markdown, as far as documents of this project use it: prose and fenced blocks.

use anyhow::{Result, bail};

/// A part of a document. The parts one after the other are the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'t> {
    /// Whole lines that are in no block.
    Prose(&'t str),
    Block(Block<'t>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'t> {
    /// What stands behind the opening fence, such as `yaml title=shop.yaml`.
    pub info: &'t str,
    /// The lines between the fences, each with its end.
    pub body: &'t str,
}

impl Block<'_> {
    /// The file that the block is, where it has a name.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        self.info
            .split_whitespace()
            .find_map(|word| word.strip_prefix("title="))
    }
}

const FENCE: &str = "```";

/// The parts of a document.
///
/// # Errors
/// A block has no end, or a fence does not begin its line.
pub fn parts(text: &str) -> Result<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let (mut prose, mut rest) = (0, 0);
    while let Some(line) = line_at(text, rest) {
        let next = rest + line.len();
        let Some(info) = line.strip_prefix(FENCE) else {
            if line.trim_start().starts_with(FENCE) {
                bail!("a fence does not begin its line: {line}");
            }
            rest = next;
            continue;
        };
        let body = body_at(text, next)?;
        if let Some(before) = text.get(prose..rest).filter(|before| !before.is_empty()) {
            parts.push(Part::Prose(before));
        }
        parts.push(Part::Block(Block {
            info: info.trim_end(),
            body,
        }));
        rest = next + body.len();
        rest += line_at(text, rest).map_or(0, str::len);
        prose = rest;
    }
    if let Some(after) = text.get(prose..).filter(|after| !after.is_empty()) {
        parts.push(Part::Prose(after));
    }
    Ok(parts)
}

/// The line that begins there, with its end.
fn line_at(text: &str, start: usize) -> Option<&str> {
    text.get(start..)?.split_inclusive('\n').next()
}

/// The lines from there to the closing fence.
fn body_at(text: &str, start: usize) -> Result<&str> {
    let rest = text.get(start..).unwrap_or_default();
    let mut length = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == FENCE {
            return Ok(rest.get(..length).unwrap_or_default());
        }
        length += line.len();
    }
    bail!(
        "a block has no end: {}",
        rest.lines().next().unwrap_or_default()
    )
}

/// What stands between single backticks in prose, line ends taken for blanks.
pub fn code_spans(prose: &str) -> impl Iterator<Item = String> {
    let words = prose.split_whitespace().collect::<Vec<_>>().join(" ");
    let spans: Vec<String> = words
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    spans.into_iter()
}

/// The files that links name, without the fragment; links to other web sites are left out.
pub fn local_links(prose: &str) -> impl Iterator<Item = &str> {
    prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|path| !path.is_empty() && !path.contains("://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_prose_and_blocks() {
        let text = "a\n```yaml title=x\n1\n2\n```\n\n```sh\n```\nb";
        let block = |info, body| Part::Block(Block { info, body });
        let expected = [
            Part::Prose("a\n"),
            block("yaml title=x", "1\n2\n"),
            Part::Prose("\n"),
            block("sh", ""),
            Part::Prose("b"),
        ];
        assert_eq!(parts(text).unwrap(), expected);
        assert_eq!(
            Block {
                info: "yaml title=x",
                body: ""
            }
            .title(),
            Some("x")
        );
        for (text, expected) in [("```sh\n1\n", "no end"), ("- ```sh\n```\n", "no end")] {
            assert!(
                parts(text).unwrap_err().to_string().contains(expected),
                "{text}"
            );
        }
        assert!(parts("  ```sh\n  ```\n").is_err());
    }

    #[test]
    fn spans_and_links_are_found() {
        let spans: Vec<String> = code_spans("`a b` c `d\ne` f").collect();
        assert_eq!(spans, ["a b", "d e"]);
        let text = "[a](b.md#c), [d](https://example.com/) [e](#f) ![g](h.png)";
        assert_eq!(local_links(text).collect::<Vec<_>>(), ["b.md", "h.png"]);
    }
}
