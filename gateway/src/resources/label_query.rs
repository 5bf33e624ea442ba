//! Label selectors as users write them for kubectl, such as `team=shop,tier in (web,api),!legacy` (Kubernetes
//! `k8s.io/apimachinery/pkg/labels/selector.go`).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::{Labels, ResourceName, Resources};

/// A selection of resources by their labels: all conditions hold. Without conditions it selects everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelQuery {
    /// The text that was parsed, for messages.
    text: String,
    conditions: Vec<Condition>,
}

/// A condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    /// The label has one of the values.
    In(BTreeSet<String>),
    /// The label has none of the values, or is absent.
    NotIn(BTreeSet<String>),
    GreaterThan(i64),
    LessThan(i64),
}

/// A text that is not a label selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidQuery(String);

impl fmt::Display for InvalidQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}; write, for example, team=shop or 'tier in (web,api),!legacy'",
            self.0
        )
    }
}

impl std::error::Error for InvalidQuery {}

impl LabelQuery {
    /// Whether the labels of a resource match.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.conditions
            .iter()
            .all(|condition| condition.test.holds(labels.get(&condition.key)))
    }
}

impl LabelQuery {
    /// The resources with servers whose labels match.
    #[must_use]
    pub fn select_servers(&self, resources: &Resources) -> BTreeSet<ResourceName> {
        resources
            .with_servers()
            .filter(|(_, metadata)| self.matches(&metadata.labels))
            .map(|(kind, metadata)| metadata.resource(kind))
            .collect()
    }
}

impl fmt::Display for LabelQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Test {
    /// Whether the condition holds for the value of a label, which can be absent (`Requirement.Matches`).
    fn holds(&self, value: Option<&String>) -> bool {
        let number = value.and_then(|value| value.parse::<i64>().ok());
        match self {
            Self::Exists => value.is_some(),
            Self::Absent => value.is_none(),
            Self::In(values) => value.is_some_and(|value| values.contains(value)),
            Self::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            // A value that is not an integer fulfils neither.
            Self::GreaterThan(bound) => number.is_some_and(|number| number > *bound),
            Self::LessThan(bound) => number.is_some_and(|number| number < *bound),
        }
    }
}

impl FromStr for LabelQuery {
    type Err = InvalidQuery;

    fn from_str(text: &str) -> Result<Self, InvalidQuery> {
        let tokens = tokens(text);
        let mut parser = Parser {
            tokens: tokens.as_slice(),
        };
        let mut conditions = Vec::new();
        // An empty selector selects everything, as in kubectl.
        while parser.peek().is_some() {
            conditions.push(parser.condition()?);
            match parser.next() {
                None => break,
                // Another condition has to follow a comma.
                Some(Token::Comma) if parser.peek().is_some() => {}
                other => return Err(unexpected(other, "a comma and another condition")),
            }
        }
        Ok(Self {
            text: text.to_owned(),
            conditions,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'t> {
    Word(&'t str),
    /// `=`, `==`, `!=`, `!`, `<` or `>`.
    Operator(&'t str),
    Comma,
    Open,
    Close,
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Word(text) | Self::Operator(text) => text,
            Self::Comma => ",",
            Self::Open => "(",
            Self::Close => ")",
        })
    }
}

/// The tokens of a selector. Every text has some, so only the parser reports errors.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '=' | '!' | '<' | '>' => rest
                .find(|letter| !matches!(letter, '=' | '!' | '<' | '>'))
                .unwrap_or(rest.len()),
            ',' | '(' | ')' => 1,
            _ => rest
                .find(|letter: char| {
                    letter.is_whitespace()
                        || matches!(letter, '=' | '!' | '<' | '>' | ',' | '(' | ')')
                })
                .unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        tokens.push(match first {
            ',' => Token::Comma,
            '(' => Token::Open,
            ')' => Token::Close,
            '=' | '!' | '<' | '>' => Token::Operator(token),
            _ => Token::Word(token),
        });
        rest = after.trim_start();
    }
    tokens
}

struct Parser<'p, 't> {
    tokens: &'p [Token<'t>],
}

impl<'t> Parser<'_, 't> {
    fn peek(&self) -> Option<Token<'t>> {
        self.tokens.first().copied()
    }

    fn next(&mut self) -> Option<Token<'t>> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(*first)
    }

    fn condition(&mut self) -> Result<Condition, InvalidQuery> {
        if self.peek() == Some(Token::Operator("!")) {
            self.next();
            return Ok(Condition {
                key: self.key()?,
                test: Test::Absent,
            });
        }
        let key = self.key()?;
        let test = match self.peek() {
            None | Some(Token::Comma) => Test::Exists,
            Some(_) => self.test()?,
        };
        Ok(Condition { key, test })
    }

    /// The operator of a condition with its values.
    fn test(&mut self) -> Result<Test, InvalidQuery> {
        Ok(match self.next() {
            Some(Token::Operator("=" | "==")) => Test::In(BTreeSet::from([self.value()?])),
            Some(Token::Operator("!=")) => Test::NotIn(BTreeSet::from([self.value()?])),
            Some(Token::Operator(">")) => Test::GreaterThan(self.number()?),
            Some(Token::Operator("<")) => Test::LessThan(self.number()?),
            Some(Token::Word("in")) => Test::In(self.values()?),
            Some(Token::Word("notin")) => Test::NotIn(self.values()?),
            other => return Err(unexpected(other, "=, !=, in or notin")),
        })
    }

    /// The key of a label: a name with an optional domain before it.
    fn key(&mut self) -> Result<String, InvalidQuery> {
        match self.next() {
            Some(Token::Word(key)) => {
                let (domain, name) = key.split_once('/').unwrap_or(("a", key));
                if domain.is_empty() || name.is_empty() || !is_label(domain) || !is_label(name) {
                    return Err(InvalidQuery(format!("{key:?} is not the key of a label")));
                }
                Ok(key.to_owned())
            }
            other => Err(unexpected(other, "the key of a label")),
        }
    }

    /// The value after an operator, which can be empty.
    fn value(&mut self) -> Result<String, InvalidQuery> {
        match self.peek() {
            None | Some(Token::Comma) => Ok(String::new()),
            Some(Token::Word(value)) => {
                self.next();
                checked_value(value)
            }
            other => Err(unexpected(other, "the value of a label")),
        }
    }

    fn number(&mut self) -> Result<i64, InvalidQuery> {
        let value = self.value()?;
        value
            .parse()
            .map_err(|_| InvalidQuery(format!("{value:?} is not an integer")))
    }

    /// The values in parentheses. Empty ones are values too, as in `(a,)`.
    fn values(&mut self) -> Result<BTreeSet<String>, InvalidQuery> {
        match self.next() {
            Some(Token::Open) => {}
            other => return Err(unexpected(other, "( with values")),
        }
        let mut values = BTreeSet::new();
        loop {
            let value = match self.peek() {
                Some(Token::Comma | Token::Close) => String::new(),
                _ => self.value()?,
            };
            values.insert(value);
            match self.next() {
                Some(Token::Comma) => {}
                Some(Token::Close) => return Ok(values),
                other => return Err(unexpected(other, ", or )")),
            }
        }
    }
}

fn checked_value(value: &str) -> Result<String, InvalidQuery> {
    if is_label(value) {
        Ok(value.to_owned())
    } else {
        Err(InvalidQuery(format!(
            "{value:?} is not the value of a label"
        )))
    }
}

/// Whether a part of a key, or a value, has only characters of labels. No label has others.
fn is_label(text: &str) -> bool {
    text.chars()
        .all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
}

fn unexpected(found: Option<Token<'_>>, expected: &str) -> InvalidQuery {
    InvalidQuery(match found {
        Some(token) => format!("expected {expected}, found {:?}", token.to_string()),
        None => format!("expected {expected} at the end"),
    })
}

#[cfg(test)]
mod tests {
    use super::LabelQuery;
    use crate::resources::Labels;

    fn labels(text: &str) -> Labels {
        text.split(' ')
            .filter_map(|label| label.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    #[track_caller]
    fn check(query: &str, of: &str, expected: bool) {
        let query: LabelQuery = query.parse().unwrap();
        assert_eq!(query.matches(&labels(of)), expected, "{query} {of}");
    }

    #[test]
    fn conditions_as_in_kubernetes() {
        // The examples of the Kubernetes documentation, "Labels and Selectors".
        check(
            "environment=production,tier!=frontend",
            "environment=production",
            true,
        );
        check(
            "environment=production,tier!=frontend",
            "environment=production tier=frontend",
            false,
        );
        check("environment in (production, qa)", "environment=qa", true);
        check("environment in (production, qa)", "tier=qa", false);
        check("tier notin (frontend,backend)", "tier=db", true);
        check("tier notin (frontend,backend)", "tier=backend", false);
        check("tier notin (frontend,backend)", "", true);
        check("partition", "partition=x", true);
        check("partition", "", false);
        check("!partition", "partition=x", false);
        check("!partition", "", true);
        check("partition==x", "partition=x", true);
        check("size>2", "size=3", true);
        check("size>2", "size=2", false);
        check("size<2", "size=big", false);
        check("istio.io/rev=canary", "istio.io/rev=canary", true);
    }

    #[test]
    fn empty_values() {
        check("", "a=b", true);
        check("a=", "a=", true);
        check("a=", "a=b", false);
        check("a=,b", "a= b=c", true);
        check("a in ()", "a=", true);
        check("a in (,b)", "a=", true);
        check("a in (b,)", "a=c", false);
        check(" a = b ", "a=b", true);
        // The words of operators are keys and values too.
        check("in in (in,notin)", "in=notin", true);
    }

    #[test]
    fn other_texts_are_errors() {
        for text in [
            "=a",
            "a=b,",
            ",a=b",
            "a b",
            "a in b",
            "a in (b",
            "a=b=c",
            "a!b",
            "!a=b",
            "a=b c",
            "a;b",
            "a=$(x)",
            "/a",
            "a/",
            "a/b/c",
            "a>b",
            "a>",
            "a=(b)",
            "a in (b c)",
            "a=!b",
        ] {
            assert!(text.parse::<LabelQuery>().is_err(), "{text}");
        }
    }
}
