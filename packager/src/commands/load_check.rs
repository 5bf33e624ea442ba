//! Reads an image or a module as a gateway does, and collects every reason why the gateway would not load
//! it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use gateway::advice::Advice;
use serde::Serialize;

use super::access::Access;
use super::files;
use super::image_source::{ImageSource, Source};
use super::registry::{Connection, Pulled, unusable_realm};
use crate::console::ExitStatus;
use crate::digest::sha256;
use crate::image::Annotations;
use crate::image::manifest::{Descriptor, ImageManifest, Manifest, Variant, linux_amd64};
use crate::module::loading::Consumer;
use crate::module::{self, MAX_SIZE, Report};

/// The timeout of Istio's agent for a pull (Istio `pkg/wasm/cache.go`).
const LONGEST_PULL: Duration = Duration::from_secs(30);

/// The result of reading an image or a module.
#[derive(Debug)]
pub(crate) struct LoadCheck {
    /// The image; `None` for a module in a file, or if the manifest cannot be pulled.
    pub(crate) image: Option<ImageFacts>,
    /// The module; `None` if the image has none.
    pub(crate) module: Option<Report>,
    /// Why a gateway would not load the module, including the problems of the module itself.
    pub(crate) problems: Vec<Advice>,
    /// How the pull differs from the pull of a gateway; `None` for a file or a folder.
    pub(crate) access: Option<Access>,
}

/// The manifest of an image, as far as reports have it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ImageFacts {
    /// The digest of the manifest.
    pub(crate) digest: String,
    /// `None`, like the layer, if a gateway would find no layer with a module.
    pub(crate) variant: Option<Variant>,
    pub(crate) layer: Option<Descriptor>,
    pub(crate) annotations: Annotations,
}

impl LoadCheck {
    /// Reads what a text names, as [`Source::find`] describes.
    ///
    /// # Errors
    /// The source cannot be read. An image that a gateway would not load is a result with problems.
    pub(crate) fn read(text: &str, connection: &Connection, consumer: Consumer) -> Result<Self> {
        Self::read_source(text, connection, consumer).with_context(|| format!("reading {text}"))
    }

    fn read_source(text: &str, connection: &Connection, consumer: Consumer) -> Result<Self> {
        let mut check = Self {
            image: None,
            module: None,
            problems: Vec::new(),
            access: None,
        };
        match Source::find(text, connection)? {
            Source::Module(path) => check.inspect(&files::read(&path)?),
            Source::Image(image) => {
                if let Some(wasm) = check.pull(&image, consumer)? {
                    check.inspect(&wasm);
                }
                // Without a manifest there is nothing to pull.
                if check.image.is_some() {
                    check.access = Access::find(&image, connection, consumer)?;
                }
                check.redact(|text| image.without_secrets(text));
            }
        }
        Ok(check)
    }

    /// Removes secrets from all texts of the image, whose registry may have written them there.
    fn redact(&mut self, clean: impl Fn(&str) -> String) {
        for problem in &mut self.problems {
            problem.message = clean(&problem.message);
            problem.hint = clean(&problem.hint);
        }
        if let Some(image) = &mut self.image {
            if let Some(layer) = &mut image.layer {
                layer.digest = clean(&layer.digest);
                layer.media_type = clean(&layer.media_type);
            }
            image.annotations = std::mem::take(&mut image.annotations)
                .into_iter()
                .map(|(key, value)| (clean(&key), clean(&value)))
                .collect();
        }
        // Names in a module may be any text.
        if let Some(module) = &mut self.module {
            let names = module.exports.iter_mut().chain(&mut module.imports);
            let messages = module.problems.iter_mut().chain(&mut module.notes);
            for text in names.chain(messages) {
                *text = clean(text);
            }
        }
    }

    /// The exit status: success if a gateway would load the module.
    pub(crate) fn status(&self) -> ExitStatus {
        if self.problems.is_empty() {
            ExitStatus::Success
        } else {
            ExitStatus::Failure
        }
    }

    fn problem(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(Advice::new(message, hint));
    }

    fn inspect(&mut self, wasm: &[u8]) {
        const HINT: &str = "build the module with `packager build`";
        match module::inspect(wasm) {
            Err(error) => self.problem(format!("plugin.wasm: {error:#}"), HINT),
            Ok(report) => {
                for problem in &report.problems {
                    self.problem(problem.clone(), HINT);
                }
                self.module = Some(report);
            }
        }
    }

    /// Pulls an image. `None` if a gateway would find no module in it.
    fn pull(&mut self, image: &ImageSource, consumer: Consumer) -> Result<Option<Vec<u8>>> {
        if consumer.checks_realms() {
            self.check_challenges(image)?;
        }

        let start = Instant::now();
        let wasm = match self.pull_image(image) {
            Ok(wasm) => wasm,
            // Gateways would not load the image anyway, so this failure is one more reason.
            Err(error) if !self.problems.is_empty() => {
                let reason = format!("it could not be pulled: {error:#}");
                self.problem(reason, "fix the problems above first");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let duration = start.elapsed();
        if duration > LONGEST_PULL {
            self.problem(
                format!(
                    "the pull took {} s, and a gateway waits {} s",
                    duration.as_secs(),
                    LONGEST_PULL.as_secs()
                ),
                "use a registry nearer to the gateways",
            );
        }
        Ok(wasm)
    }

    /// Istio's agent does not log in at a realm that is not a public URL.
    fn check_challenges(&mut self, image: &ImageSource) -> Result<()> {
        for challenge in image.challenges()? {
            if let Some(reason) = unusable_realm(&challenge) {
                self.problem(
                    format!("the agent would not log in: {reason}"),
                    "set the realm of the registry to its public https URL: this is valid for Basic \
                     authentication too",
                );
            }
        }
        Ok(())
    }

    fn pull_image(&mut self, image: &ImageSource) -> Result<Option<Vec<u8>>> {
        // The agent logs in with a Secret; this command logs in with the credentials of the user.
        image.log_in()?;
        let Some(bytes) = self.right(image.named_manifest()?, "of the manifest") else {
            return Ok(None);
        };
        let digest = sha256(&bytes);
        // An error of the parser quotes the manifest.
        let manifest = Manifest::parse(&bytes)
            .map_err(|error| anyhow!("{}", image.without_secrets(&format!("{error:#}"))))?;
        match manifest {
            Manifest::Image(manifest) => self.unpack(image, manifest, digest),
            Manifest::Index(children) => {
                // Gateways look for this platform on every machine.
                let Some(child) = linux_amd64(&children) else {
                    self.problem(
                        "it is an index without an image for linux/amd64",
                        "push one image, as `packager push` does",
                    );
                    return Ok(None);
                };
                self.pull_child(image, &digest, &child.digest)
            }
        }
    }

    /// Pulls the image of an index that gateways load.
    fn pull_child(
        &mut self,
        image: &ImageSource,
        index: &str,
        child: &str,
    ) -> Result<Option<Vec<u8>>> {
        // By tag, an index loads: the agent has no digest to compare.
        if image.is_pinned() {
            self.problem(
                format!(
                    "{index} is an index: the agent pulls its image for linux/amd64, {child}, and \
                     then compares the digests"
                ),
                format!("use the digest of the image itself, {child}"),
            );
        }
        let Some(bytes) = self.right(image.manifest(child)?, child) else {
            return Ok(None);
        };
        let manifest = ImageManifest::parse(&bytes)
            .map_err(|error| anyhow!("{}", image.without_secrets(&format!("{error:#}"))))
            .context("the index names another kind of manifest")?;
        self.unpack(image, manifest, sha256(&bytes))
    }

    fn unpack(
        &mut self,
        image: &ImageSource,
        manifest: ImageManifest,
        digest: String,
    ) -> Result<Option<Vec<u8>>> {
        // The facts are part of the report even if there is no layer with a module.
        let found = manifest
            .module_layer()
            .map(|(variant, layer)| (variant, layer.clone()));
        let (variant, layer) = found.as_ref().ok().cloned().unzip();
        self.image = Some(ImageFacts {
            digest,
            variant,
            layer,
            annotations: manifest.annotations,
        });
        let (variant, layer) = match found {
            Ok(found) => found,
            Err(problem) => {
                self.problems.push(problem);
                return Ok(None);
            }
        };

        // Do not download what a gateway would not download.
        if usize::try_from(layer.size).is_ok_and(|size| size > MAX_SIZE) {
            self.problem(
                format!(
                    "the layer has {} bytes, and gateways accept 256 MiB",
                    layer.size
                ),
                "push an image with only the module",
            );
            return Ok(None);
        }
        let Some(bytes) = self.right(image.blob(&layer)?, &layer.digest) else {
            return Ok(None);
        };
        match variant.unpack(bytes) {
            Ok(wasm) => Ok(Some(wasm)),
            Err(problem) => {
                self.problems.push(problem);
                Ok(None)
            }
        }
    }

    /// The content, or nothing and a problem if it has another digest.
    fn right(&mut self, pulled: Pulled, digest: &str) -> Option<Vec<u8>> {
        match pulled {
            Pulled::Right(bytes) => Some(bytes),
            Pulled::Wrong => {
                self.problem(
                    format!("the content does not have the digest {digest}"),
                    "remove the image from the registry and push it again",
                );
                None
            }
        }
    }
}
