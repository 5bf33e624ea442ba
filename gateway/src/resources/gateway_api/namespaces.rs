//! How namespaces are chosen, by their names or by their labels.

use serde::Deserialize;

use crate::resources::{Labels, nullable};

/// A choice of namespaces.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Namespaces {
    /// How they are chosen.
    #[serde(default)]
    pub from: Option<From>,
    #[serde(default)]
    pub selector: Option<LabelSelector>,
}

/// How namespaces are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum From {
    All,
    /// That of the Gateway.
    Same,
    Selector,
    None,
}

/// A choice by labels (Kubernetes `LabelSelector`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels that are all there.
    #[serde(default, deserialize_with = "nullable")]
    pub match_labels: Labels,
    /// More conditions, all of which hold.
    #[serde(default, deserialize_with = "nullable")]
    pub match_expressions: Vec<LabelExpression>,
}

/// A condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LabelExpression {
    pub key: String,
    /// What holds of it.
    pub operator: LabelOperator,
    /// The values it is about.
    #[serde(default, deserialize_with = "nullable")]
    pub values: Vec<String>,
}

/// What holds of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum LabelOperator {
    /// It has one of the values.
    In,
    /// It has none of them, or is not there.
    NotIn,
    Exists,
    /// It is not there.
    DoesNotExist,
}

impl LabelSelector {
    /// Whether labels are chosen.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        let equal = self
            .match_labels
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value));
        let holds = |expression: &LabelExpression| {
            let value = labels.get(&expression.key);
            let listed = value.is_some_and(|value| expression.values.contains(value));
            match expression.operator {
                LabelOperator::In => listed,
                LabelOperator::NotIn => !listed,
                LabelOperator::Exists => value.is_some(),
                LabelOperator::DoesNotExist => value.is_none(),
            }
        };
        equal && self.match_expressions.iter().all(holds)
    }
}
