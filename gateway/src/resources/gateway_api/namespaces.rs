//! Selections of namespaces.

use serde::Deserialize;

use crate::resources::{Labels, nullable};

/// A selection of namespaces.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Namespaces {
    #[serde(default)]
    pub from: Option<FromNamespaces>,
    #[serde(default)]
    pub selector: Option<LabelSelector>,
}

/// How namespaces are selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum FromNamespaces {
    All,
    /// The namespace of the Gateway.
    Same,
    Selector,
    None,
}

/// A selection by labels (Kubernetes `LabelSelector`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels that must all be present, with these values.
    #[serde(default, deserialize_with = "nullable")]
    pub match_labels: Labels,
    /// Further conditions. All of them must hold.
    #[serde(default, deserialize_with = "nullable")]
    pub match_expressions: Vec<LabelExpression>,
}

/// A condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LabelExpression {
    pub key: String,
    pub operator: LabelOperator,
    /// The values for `In` and `NotIn`.
    #[serde(default, deserialize_with = "nullable")]
    pub values: Vec<String>,
}

/// A condition on the value of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum LabelOperator {
    /// The label has one of the values.
    In,
    /// The label has none of the values, or is absent.
    NotIn,
    Exists,
    DoesNotExist,
}

impl LabelSelector {
    /// Whether the selector matches labels.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        // An empty selector matches every namespace.
        self.match_labels
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
            && self
                .match_expressions
                .iter()
                .all(|expression| expression.holds(labels))
    }
}

impl LabelExpression {
    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let is_listed = value.is_some_and(|value| self.values.contains(value));
        match self.operator {
            LabelOperator::In => is_listed,
            // A missing label is not in the list, as in Kubernetes.
            LabelOperator::NotIn => !is_listed,
            LabelOperator::Exists => value.is_some(),
            LabelOperator::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LabelExpression, LabelOperator, LabelSelector};
    use crate::resources::Labels;

    #[test]
    fn expressions_on_present_and_missing_labels() {
        for (operator, if_listed, if_other, if_missing) in [
            (LabelOperator::In, true, false, false),
            (LabelOperator::NotIn, false, true, true),
            (LabelOperator::Exists, true, true, false),
            (LabelOperator::DoesNotExist, false, false, true),
        ] {
            let selector = LabelSelector {
                match_labels: Labels::new(),
                match_expressions: vec![LabelExpression {
                    key: "team".into(),
                    operator,
                    values: vec!["a".into()],
                }],
            };
            let team = |value: &str| Labels::from([("team".to_owned(), value.to_owned())]);
            assert_eq!(selector.matches(&team("a")), if_listed, "{operator:?}");
            assert_eq!(selector.matches(&team("b")), if_other, "{operator:?}");
            assert_eq!(selector.matches(&Labels::new()), if_missing, "{operator:?}");
        }
    }
}
