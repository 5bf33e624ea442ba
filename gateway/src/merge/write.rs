//! A change of one resource, and the change that reverts it.

use serde::Serialize;
use serde_json::Value;

use crate::resources::ResourceName;

/// A change that one request to the API server makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Changes parts of a resource, in this order.
    Patch {
        /// The resource to change.
        resource: ResourceName,
        /// The changes, each in the result of the previous one.
        edits: Vec<Edit>,
    },
    /// Deletes a resource, whatever it contains then.
    Delete {
        /// The resource to delete.
        resource: ResourceName,
        /// The manifest before the deletion, to create the resource again.
        manifest: Value,
    },
    /// Creates a resource that does not exist.
    Create {
        /// The resource to create.
        resource: ResourceName,
        /// The manifest of the new resource.
        manifest: Value,
    },
}

/// A change of one part of a manifest. `path` is a JSON pointer (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Replaces a value of any type by another one.
    Replace {
        /// The pointer to the value.
        path: String,
        /// The value before the edit.
        old: Value,
        /// The value after the edit.
        new: Value,
    },
    /// Removes an item from a list.
    Remove {
        /// The pointer to the item.
        path: String,
        /// The item before the edit.
        old: Value,
    },
    /// Inserts an item into a list.
    Insert {
        /// The pointer to the item after the edit.
        path: String,
        /// The item after the edit.
        new: Value,
    },
}

/// A manifest differs from what a write expects. [`State::apply`](super::State::apply) returns it;
/// the API server refuses such a write too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inapplicable;

/// An operation of a JSON patch (RFC 6902).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Operation {
    op: &'static str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
}

impl Write {
    /// The resource that the write changes.
    #[must_use]
    pub fn resource(&self) -> &ResourceName {
        match self {
            Self::Patch { resource, .. }
            | Self::Delete { resource, .. }
            | Self::Create { resource, .. } => resource,
        }
    }

    /// The write that reverts this one.
    #[must_use]
    pub fn undo(&self) -> Self {
        match self.clone() {
            Self::Patch { resource, edits } => Self::Patch {
                resource,
                // Each edit is relative to the result of the previous one, so the last is first.
                edits: edits.iter().rev().map(Edit::undo).collect(),
            },
            Self::Delete { resource, manifest } => Self::Create { resource, manifest },
            Self::Create { resource, manifest } => Self::Delete { resource, manifest },
        }
    }

    /// The JSON patch of a [`Write::Patch`]. A `test` operation precedes each change, so the API server
    /// refuses the whole patch if the resource changed after the plan was made.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        match self {
            Self::Patch { edits, .. } => edits.iter().flat_map(Edit::operations).collect(),
            Self::Delete { .. } | Self::Create { .. } => Vec::new(),
        }
    }
}

impl Edit {
    fn undo(&self) -> Self {
        match self.clone() {
            Self::Replace { path, old, new } => Self::Replace {
                path,
                old: new,
                new: old,
            },
            Self::Remove { path, old } => Self::Insert { path, new: old },
            Self::Insert { path, new } => Self::Remove { path, old: new },
        }
    }

    fn operations(&self) -> Vec<Operation> {
        match self {
            Self::Replace { path, old, new } => vec![
                Operation::new("test", path, Some(old)),
                Operation::new("replace", path, Some(new)),
            ],
            Self::Remove { path, old } => vec![
                Operation::new("test", path, Some(old)),
                Operation::new("remove", path, None),
            ],
            Self::Insert { path, new } => vec![Operation::new("add", path, Some(new))],
        }
    }

    /// Makes the change. It has the same conditions as [`Self::operations`].
    pub(super) fn apply(&self, manifest: &mut Value) -> Result<(), Inapplicable> {
        match self {
            Self::Replace { path, old, new } => {
                let value = manifest.pointer_mut(path).ok_or(Inapplicable)?;
                // The `test` operation of the patch fails here.
                if value != old {
                    return Err(Inapplicable);
                }
                *value = new.clone();
            }
            Self::Remove { path, old } => {
                let (list, index) = list_and_index(manifest, path).ok_or(Inapplicable)?;
                if list.get(index) != Some(old) {
                    return Err(Inapplicable);
                }
                list.remove(index);
            }
            Self::Insert { path, new } => {
                let (list, index) = list_and_index(manifest, path).ok_or(Inapplicable)?;
                if index > list.len() {
                    return Err(Inapplicable);
                }
                list.insert(index, new.clone());
            }
        }
        Ok(())
    }
}

impl Operation {
    fn new(op: &'static str, path: &str, value: Option<&Value>) -> Self {
        Self {
            op,
            path: path.to_owned(),
            value: value.cloned(),
        }
    }
}

/// The list that has the item of a pointer, and the index of the item.
fn list_and_index<'m>(manifest: &'m mut Value, path: &str) -> Option<(&'m mut Vec<Value>, usize)> {
    let (list, index) = path.rsplit_once('/')?;
    Some((
        manifest.pointer_mut(list)?.as_array_mut()?,
        index.parse().ok()?,
    ))
}

/// The fields of `metadata` that the API server sets (Kubernetes `ObjectMeta`).
const METADATA_OF_API_SERVER: [&str; 6] = [
    "creationTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// A manifest without the fields that the API server sets: the status and parts of the metadata.
#[must_use]
pub fn without_status(manifest: &Value) -> Value {
    let mut manifest = manifest.clone();
    if let Some(fields) = manifest.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in METADATA_OF_API_SERVER {
            metadata.remove(field);
        }
    }
    manifest
}

#[cfg(test)]
mod tests {
    use super::{Edit, Inapplicable};
    use serde_json::{Value, json};

    /// Applies an edit and reverts it.
    #[track_caller]
    fn check(edit: &Edit, before: &Value, after: &Value) {
        let mut manifest = before.clone();
        assert_eq!(edit.apply(&mut manifest), Ok(()));
        assert_eq!(manifest, *after);
        assert_eq!(edit.undo().apply(&mut manifest), Ok(()));
        assert_eq!(manifest, *before);
    }

    #[track_caller]
    fn check_inapplicable(edit: &Edit, manifest: &Value) {
        let mut changed = manifest.clone();
        assert_eq!(edit.apply(&mut changed), Err(Inapplicable));
        assert_eq!(changed, *manifest);
    }

    fn remove(path: &str, old: &str) -> Edit {
        Edit::Remove {
            path: path.to_owned(),
            old: json!(old),
        }
    }

    #[test]
    fn an_edit_and_its_undo() {
        let replace = Edit::Replace {
            path: "/hosts".to_owned(),
            old: json!(["a"]),
            new: json!(["a", "b"]),
        };
        check(
            &replace,
            &json!({ "hosts": ["a"] }),
            &json!({ "hosts": ["a", "b"] }),
        );
        check(&remove("/0", "a"), &json!(["a", "b"]), &json!(["b"]));
        check(&remove("/1", "b"), &json!(["a", "b"]), &json!(["a"]));
    }

    #[test]
    fn an_edit_of_a_manifest_that_changed() {
        check_inapplicable(&remove("/0", "a"), &json!(["b", "a"]));
        check_inapplicable(&remove("/1", "a"), &json!(["a"]));
        check_inapplicable(&remove("/x/0", "a"), &json!({}));
        check_inapplicable(&remove("/3", "a").undo(), &json!(["b"]));
    }
}
