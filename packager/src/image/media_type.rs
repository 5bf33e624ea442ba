//! Media types of images.

/// An image's manifest (OCI image specification, `media-types.md`).
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// A list of images for several platforms.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The configuration of an image, with its platform and labels.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// A layer: a gzipped tar.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Docker's manifest, version 2 schema 2.
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's list of images for several platforms.
pub(crate) const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// The configuration of an image in docker's format.
pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// A layer in docker's format: a gzipped tar.
pub(crate) const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// The unpacked module of an artifact (Wasm artifact image specification, `spec.md`).
pub const ARTIFACT_MODULE: &str = "application/vnd.module.wasm.content.layer.v1+wasm";
/// The runtime configuration of an artifact.
pub(crate) const ARTIFACT_CONFIG: &str = "application/vnd.module.wasm.config.v1+json";

/// The media types of manifests and indexes that are accepted in a pull.
pub(crate) const MANIFESTS: [&str; 4] = [MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX];
