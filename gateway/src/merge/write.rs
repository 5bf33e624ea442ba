//! One change of one resource, and how it is taken back.

use serde::Serialize;
use serde_json::{Value, json};

use crate::resources::ResourceName;

/// A change that one request to the API server makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Changes parts of a resource.
    Patch {
        /// The resource.
        resource: ResourceName,
        /// The parts, in this order.
        edits: Vec<Edit>,
    },
    /// Deletes it.
    Delete {
        /// The resource.
        resource: ResourceName,
        /// What it is before.
        manifest: Value,
    },
    /// Makes it.
    Create {
        /// The resource.
        resource: ResourceName,
        /// What it is then.
        manifest: Value,
    },
}

/// A change of one part of a resource, named by a JSON pointer (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Another value.
    Replace {
        /// Where.
        path: String,
        /// The value before.
        old: Value,
        /// The value after.
        new: Value,
    },
    /// An item of a list is taken out.
    Remove {
        /// Where it is.
        path: String,
        /// The item.
        old: Value,
    },
    /// An item is put into a list.
    Insert {
        /// Where it is then.
        path: String,
        /// The item.
        new: Value,
    },
}

/// A resource is not what a change of it takes it to be.
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
    /// The resource that it changes.
    #[must_use]
    pub fn resource(&self) -> &ResourceName {
        match self {
            Self::Patch { resource, .. }
            | Self::Delete { resource, .. }
            | Self::Create { resource, .. } => resource,
        }
    }

    /// What takes it back.
    #[must_use]
    pub fn undo(&self) -> Self {
        match self.clone() {
            Self::Patch { resource, edits } => Self::Patch {
                resource,
                edits: edits.iter().rev().map(Edit::undo).collect(),
            },
            Self::Delete { resource, manifest } => Self::Create { resource, manifest },
            Self::Create { resource, manifest } => Self::Delete { resource, manifest },
        }
    }

    /// The JSON patch of a change. Each part is tested first, so that the API server refuses the
    /// whole when the resource is not what the plan was made for.
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
        let operation = |op, path: &String, value: Option<&Value>| Operation {
            op,
            path: path.clone(),
            value: value.cloned(),
        };
        match self {
            Self::Replace { path, old, new } => {
                vec![
                    operation("test", path, Some(old)),
                    operation("replace", path, Some(new)),
                ]
            }
            Self::Remove { path, old } => {
                vec![
                    operation("test", path, Some(old)),
                    operation("remove", path, None),
                ]
            }
            Self::Insert { path, new } => vec![operation("add", path, Some(new))],
        }
    }

    /// Makes the change.
    pub(super) fn apply(&self, manifest: &mut Value) -> Result<(), Inapplicable> {
        match self {
            Self::Replace { path, old, new } => {
                let place = manifest.pointer_mut(path).filter(|place| *place == old);
                *place.ok_or(Inapplicable)? = new.clone();
            }
            Self::Remove { path, old } => {
                let (list, index) = item(manifest, path).ok_or(Inapplicable)?;
                if list.get(index) != Some(old) {
                    return Err(Inapplicable);
                }
                list.remove(index);
            }
            Self::Insert { path, new } => {
                let (list, index) = item(manifest, path).ok_or(Inapplicable)?;
                if index > list.len() {
                    return Err(Inapplicable);
                }
                list.insert(index, new.clone());
            }
        }
        Ok(())
    }
}

/// The list and the place in it that a pointer names.
fn item<'m>(manifest: &'m mut Value, path: &str) -> Option<(&'m mut Vec<Value>, usize)> {
    let (list, index) = path.rsplit_once('/')?;
    Some((
        manifest.pointer_mut(list)?.as_array_mut()?,
        index.parse().ok()?,
    ))
}

/// A manifest as it is to be made anew: without what the API server writes.
#[must_use]
pub fn without_status(manifest: &Value) -> Value {
    let mut manifest = manifest.clone();
    if let Some(fields) = manifest.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in [
            "creationTimestamp",
            "generation",
            "managedFields",
            "resourceVersion",
            "uid",
        ] {
            metadata.remove(field);
        }
    }
    manifest
}

/// A list of texts.
pub(super) fn texts(texts: &[String]) -> Value {
    json!(texts)
}
