//! A configuration as the filter receives it, not validated.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// The data model of JSON and YAML. Unlike a typed structure it accepts every value, so that
/// [`Config`](crate::Config) can report every fault of a document and not only the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Document {
    /// An empty document, or an explicit `null`.
    #[default]
    Null,
    /// A boolean, such as `off` without quotes in YAML 1.1.
    Bool(bool),
    /// A number. No setting is a number, so the value is dropped.
    Number,
    /// A string in JSON or YAML.
    Text(String),
    /// A list of values of any type.
    List(Vec<Document>),
    /// A map, sorted by its keys: Envoy's `Struct` has no order, and the faults of a configuration should be
    /// the same everywhere. A repeated key stays repeated.
    Map(Vec<(String, Document)>),
}

impl Document {
    /// The name of the type in messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON or YAML value")
    }

    fn visit_unit<E>(self) -> Result<Document, E> {
        Ok(Document::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Document, E> {
        Ok(Document::Bool(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Document, E> {
        Ok(Document::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Document, E> {
        Ok(Document::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Document, E> {
        Ok(Document::Number)
    }

    fn visit_str<E>(self, text: &str) -> Result<Document, E> {
        Ok(Document::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Document, E> {
        Ok(Document::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Document, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Document::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Document, A::Error> {
        let mut map: Vec<(String, Document)> = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        // The sort is stable, so repeated keys keep their order.
        map.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Document::Map(map))
    }
}
