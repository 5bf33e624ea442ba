//! A module that a gateway may be told to load, from wherever it is: a registry, an OCI layout or a
//! file; read as a gateway would, with everything that it would fail on.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gateway::advice::Advice;
use oci_client::{Reference, RegistryOperation};
use serde::Serialize;

use super::files;
use super::layout::Layout;
use super::registry::{Connection, Pulled, Registry, unusable_realm};
use crate::console::ExitStatus;
use crate::digest::sha256;
use crate::image::manifest::{Descriptor, ImageManifest, Manifest, Variant, linux_amd64};
use crate::image::{Annotations, media_type};
use crate::module::loading::Consumer;
use crate::module::{self, MAX_SIZE, Report};

/// Longer than this Istio's agent does not wait (Istio `pkg/wasm/cache.go`).
const LONGEST_PULL: Duration = Duration::from_secs(30);

/// Where it is.
enum Source {
    File(PathBuf),
    Image(Origin),
}

/// Where an image is: in a layout under a digest, or in a registry.
enum Origin {
    Layout(Layout, String),
    Registry(Box<Registry>, Reference),
}

/// What it is.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// The image, where it is one.
    pub(crate) image: Option<ImageFacts>,
    /// The module, where it was found and is one.
    pub(crate) module: Option<Report>,
    /// Why a gateway would not load it, the module's own problems included.
    pub(crate) problems: Vec<Advice>,
}

/// What an image says of itself.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ImageFacts {
    pub(crate) digest: String,
    pub(crate) variant: Option<Variant>,
    pub(crate) layer: Option<Descriptor>,
    pub(crate) annotations: Annotations,
}

impl Candidate {
    /// Reads what a text names: a file, a folder with an OCI layout, `oci-layout:FOLDER@DIGEST`, or a
    /// reference to a registry.
    ///
    /// # Errors
    /// It cannot be read. What a gateway would not load is a candidate with problems.
    pub(crate) fn read(text: &str, connection: &Connection, consumer: Consumer) -> Result<Self> {
        Self::read_source(text, connection, consumer).with_context(|| format!("reading {text}"))
    }

    fn read_source(text: &str, connection: &Connection, consumer: Consumer) -> Result<Self> {
        let mut candidate = Self {
            image: None,
            module: None,
            problems: Vec::new(),
        };
        let wasm = match Source::find(text, connection)? {
            Source::File(path) => Some(files::read(&path)?),
            Source::Image(origin) => candidate.pull(&origin, consumer)?,
        };
        if let Some(wasm) = wasm {
            candidate.inspect(&wasm);
        }
        Ok(candidate)
    }

    /// Whether a gateway would load it, as an exit status.
    pub(crate) fn status(&self) -> ExitStatus {
        if self.problems.is_empty() {
            ExitStatus::Yes
        } else {
            ExitStatus::No
        }
    }

    fn problem(&mut self, problem: Advice) {
        self.problems.push(problem);
    }

    fn inspect(&mut self, wasm: &[u8]) {
        let remedy = "build the module with `packager build`";
        match module::inspect(wasm) {
            Err(error) => self.problem(Advice::new(format!("plugin.wasm: {error:#}"), remedy)),
            Ok(report) => {
                let problems = report.problems.iter();
                let problems = problems.map(|reason| Advice::new(reason.clone(), remedy));
                self.problems.extend(problems);
                self.module = Some(report);
            }
        }
    }

    /// The module of an image; `None` when a gateway would find none.
    fn pull(&mut self, origin: &Origin, consumer: Consumer) -> Result<Option<Vec<u8>>> {
        if consumer.checks_realms() {
            let challenges = origin.challenges()?;
            self.problems.extend(
                challenges
                    .iter()
                    .filter_map(|text| unusable_realm(text))
                    .map(|reason| realm_problem(&reason)),
            );
        }
        let start = Instant::now();
        match self.pull_image(origin) {
            // The answer is no already; that it cannot be read here either is one reason more.
            Err(error) if !self.problems.is_empty() => {
                let reason = format!("it could not be pulled: {error:#}");
                self.problem(Advice::new(reason, "mend the above first"));
                Ok(None)
            }
            Err(error) => Err(error),
            Ok(wasm) => {
                let took = start.elapsed();
                if took > LONGEST_PULL {
                    let reason =
                        format!("it took {} s to pull, a gateway waits 30", took.as_secs());
                    self.problem(Advice::new(reason, "use a registry nearer to the gateways"));
                }
                Ok(wasm)
            }
        }
    }

    fn pull_image(&mut self, origin: &Origin) -> Result<Option<Vec<u8>>> {
        origin.log_in()?;
        let Some((bytes, digest)) = self.manifest(origin, None)? else {
            return Ok(None);
        };
        let (manifest, digest) = match Manifest::parse(&bytes)? {
            Manifest::Image(manifest) => (manifest, digest),
            Manifest::Index(children) => {
                let Some(child) = linux_amd64(&children) else {
                    let reason = "it is an index, and has no image for linux/amd64";
                    self.problem(Advice::new(
                        reason,
                        "push one image, as `packager push` does",
                    ));
                    return Ok(None);
                };
                if origin.is_pinned() {
                    self.problem(pinned_index(&digest, &child.digest));
                }
                let Some((bytes, digest)) = self.manifest(origin, Some(&child.digest))? else {
                    return Ok(None);
                };
                let manifest: ImageManifest = serde_json::from_slice(&bytes)
                    .context("reading the manifest that the index names")?;
                (manifest, digest)
            }
        };
        self.unpack(origin, manifest, digest)
    }

    fn unpack(
        &mut self,
        origin: &Origin,
        manifest: ImageManifest,
        digest: String,
    ) -> Result<Option<Vec<u8>>> {
        let found = manifest
            .module_layer()
            .map(|(variant, layer)| (variant, layer.clone()));
        let annotations = manifest.annotations;
        let facts = ImageFacts {
            digest,
            variant: None,
            layer: None,
            annotations,
        };
        let (variant, layer) = match found {
            Ok(found) => found,
            Err(problem) => {
                self.image = Some(facts);
                self.problem(problem);
                return Ok(None);
            }
        };
        self.image = Some(ImageFacts {
            variant: Some(variant),
            layer: Some(layer.clone()),
            ..facts
        });
        if usize::try_from(layer.size).is_ok_and(|size| size > MAX_SIZE) {
            let reason = format!(
                "its layer has {} bytes, a gateway takes 256 MiB",
                layer.size
            );
            self.problem(Advice::new(reason, "push the module alone"));
            return Ok(None);
        }
        let Some(bytes) = self.right(origin.blob(&layer)?, &layer.digest) else {
            return Ok(None);
        };
        match variant.unpack(bytes) {
            Ok(wasm) => Ok(Some(wasm)),
            Err(problem) => {
                self.problem(problem);
                Ok(None)
            }
        }
    }

    /// The manifest that the source names, or one of its index, with its digest.
    fn manifest(
        &mut self,
        origin: &Origin,
        digest: Option<&str>,
    ) -> Result<Option<(Vec<u8>, String)>> {
        let pulled = origin.manifest(digest)?;
        let bytes = self.right(pulled, digest.unwrap_or("of the manifest"));
        Ok(bytes.map(|bytes| {
            let digest = sha256(&bytes);
            (bytes, digest)
        }))
    }

    fn right(&mut self, pulled: Pulled, digest: &str) -> Option<Vec<u8>> {
        match pulled {
            Pulled::Right(bytes) => Some(bytes),
            Pulled::Wrong => {
                let reason = format!("the bytes are not those of the digest {digest}");
                let remedy = "remove the image from the registry and push it again";
                self.problem(Advice::new(reason, remedy));
                None
            }
        }
    }
}

impl Source {
    fn find(text: &str, connection: &Connection) -> Result<Self> {
        if let Some(layout) = text.strip_prefix("oci-layout:") {
            let (folder, digest) = layout.split_once('@').unzip();
            return Self::layout(folder.unwrap_or(layout), digest);
        }
        let path = Path::new(text);
        if path.is_dir() {
            return Self::layout(text, None);
        }
        if path.is_file() {
            return Ok(Self::File(path.to_owned()));
        }
        let reference: Reference = text
            .strip_prefix("oci://")
            .unwrap_or(text)
            .parse()
            .context("it is no file, no folder and not of the form HOST/REPOSITORY:TAG")?;
        let registry = Registry::open(connection, &reference, RegistryOperation::Pull)?;
        Ok(Self::Image(Origin::Registry(Box::new(registry), reference)))
    }

    fn layout(folder: &str, digest: Option<&str>) -> Result<Self> {
        let layout = Layout::open(Path::new(folder))?;
        let digest = digest.map_or_else(|| layout.only_digest(), |digest| Ok(digest.to_owned()))?;
        Ok(Self::Image(Origin::Layout(layout, digest)))
    }
}

impl Origin {
    fn challenges(&self) -> Result<Vec<String>> {
        match self {
            Self::Layout(..) => Ok(Vec::new()),
            Self::Registry(registry, _) => registry.challenges(),
        }
    }

    fn log_in(&self) -> Result<()> {
        match self {
            Self::Layout(..) => Ok(()),
            Self::Registry(registry, _) => registry.log_in(),
        }
    }

    /// Whether a gateway would be told the digest of what is named.
    fn is_pinned(&self) -> bool {
        match self {
            Self::Layout(..) => true,
            Self::Registry(_, reference) => reference.digest().is_some(),
        }
    }

    /// What is named, or a manifest beside it.
    fn manifest(&self, digest: Option<&str>) -> Result<Pulled> {
        match self {
            Self::Layout(layout, named) => {
                let digest = digest.unwrap_or(named);
                Ok(compared(layout.blob(digest)?, digest))
            }
            Self::Registry(registry, reference) => {
                let reference = match digest {
                    None => reference.clone(),
                    Some(digest) => reference.clone_with_digest(digest.to_owned()),
                };
                registry.pull_manifest(&reference, &media_type::MANIFESTS)
            }
        }
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Pulled> {
        let digest = descriptor.digest.as_str();
        match self {
            Self::Layout(layout, _) => Ok(compared(layout.blob(digest)?, digest)),
            Self::Registry(registry, _) => registry.pull_blob(digest),
        }
    }
}

fn compared(bytes: Vec<u8>, digest: &str) -> Pulled {
    if sha256(&bytes) == digest {
        Pulled::Right(bytes)
    } else {
        Pulled::Wrong
    }
}

fn realm_problem(reason: &str) -> Advice {
    let remedy = "set the realm of the registry to its public https URL: that is valid for Basic \
                  authentication too";
    Advice::new(format!("the agent would not log in: {reason}"), remedy)
}

fn pinned_index(index: &str, child: &str) -> Advice {
    let reason = format!(
        "{index} is an index: the agent takes its image for linux/amd64, {child}, and compares the \
         digests"
    );
    Advice::new(reason, format!("pin the image itself, {child}"))
}
