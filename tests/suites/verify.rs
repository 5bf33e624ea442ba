//! Images that gateways load, and images that they do not.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use packager::digest::sha256;
use packager::image::media_type;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::module;
use tests::process::{Run, packager};
use tests::registry::{Options, PASSWORD, Registry, USER};
use tests::tools::run;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[track_caller]
fn succeed(arguments: &[&str]) -> Run {
    let run = packager(arguments);
    assert_eq!(run.status, 0, "{arguments:?}: {}{}", run.out, run.talk);
    run
}

/// Asserts that an image would not load, for a reason with these words.
#[track_caller]
fn refused(image: &str, words: &str) {
    let run = packager(&["verify", image]);
    assert_eq!(run.status, 1, "{image}: {}{}", run.out, run.talk);
    assert!(run.out.contains(words), "no {words:?} in {}", run.out);
    assert!(run.out.contains("hint: "), "{}", run.out);
    let report = packager(&["verify", image, "--output", "json"]);
    let report: Value = serde_json::from_str(&report.out).unwrap();
    assert_eq!(report["loads"], false);
    let reasons = report["problems"].as_array().unwrap();
    assert!(
        reasons
            .iter()
            .any(|problem| problem["reason"].as_str().unwrap().contains(words))
    );
}

/// A layout that holds whatever it is given.
struct Layout(TempDir);

impl Layout {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir_all(folder.path().join("blobs/sha256")).unwrap();
        fs::write(
            folder.path().join("oci-layout"),
            r#"{"imageLayoutVersion":"1.0.0"}"#,
        )
        .unwrap();
        Self(folder)
    }

    fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = sha256(bytes);
        let file = self.0.path().join("blobs").join(digest.replace(':', "/"));
        fs::write(file, bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    /// Adds an image, and names it in the index of the layout.
    fn image(&self, config: &str, layers: &[(&str, &[u8])]) -> Value {
        let layers: Vec<_> = layers
            .iter()
            .map(|(kind, bytes)| self.blob(kind, bytes))
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::MANIFEST,
            "config": self.blob(config, br#"{"architecture":"amd64","os":"linux"}"#),
            "layers": layers,
        });
        self.name(self.blob(media_type::MANIFEST, manifest.to_string().as_bytes()))
    }

    /// Adds an index of one image.
    fn index(&self, image: &Value, platform: &Value) -> Value {
        let mut image = image.clone();
        image["platform"] = platform.clone();
        let index = json!({
            "schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": [image],
        });
        self.name(self.blob(media_type::INDEX, index.to_string().as_bytes()))
    }

    fn name(&self, descriptor: Value) -> Value {
        let mut named = descriptor.clone();
        named["annotations"] = json!({ "org.opencontainers.image.ref.name": "1" });
        let index = json!({ "schemaVersion": 2, "manifests": [named] });
        fs::write(self.0.path().join("index.json"), index.to_string()).unwrap();
        descriptor
    }

    fn path(&self) -> &str {
        text(self.0.path())
    }
}

fn archive(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, name, bytes).unwrap();
    archive.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Asserts that an image with one layer would not load.
#[track_caller]
fn layer_refused(media_type: &str, layer: &[u8], words: &str) {
    let layout = Layout::new();
    layout.image(media_type::CONFIG, &[(media_type, layer)]);
    refused(layout.path(), words);
}

/// Pushes a module, and returns the reference with its digest.
#[track_caller]
fn push(reference: &str, module: &Path, format: &str) -> String {
    let arguments = [
        "push",
        reference,
        "--module",
        text(module),
        "--format",
        format,
    ];
    succeed(&arguments).out.trim().to_owned()
}

#[test]
fn every_format_loads_from_everywhere() {
    let module = module::build().unwrap();
    let registry = Registry::start().unwrap();
    for (format, variant) in [
        ("oci", "compat"),
        ("docker", "docker"),
        ("artifact", "artifact"),
    ] {
        let reference = format!("{}/{format}:1", registry.host());
        let pinned = push(&reference, &module, format);
        let run = succeed(&["verify", &pinned, "--output", "json"]);
        let report: Value = serde_json::from_str(&run.out).unwrap();
        assert_eq!(report["variant"], variant);
        assert_eq!(report["sha256"], sha256(&fs::read(&module).unwrap()));
        assert!(pinned.ends_with(report["digest"].as_str().unwrap()));
        for consumer in ["istio@1.24", "istio@1.28.4", "envoy-gateway"] {
            let run = succeed(&["verify", &reference, "--for", consumer]);
            assert!(
                run.out.contains(&format!("{consumer} would load it")),
                "{}",
                run.out
            );
        }
    }
    let layout = TempDir::new().unwrap();
    let pushed = succeed(&[
        "push",
        "--module",
        text(&module),
        "--layout",
        text(layout.path()),
    ])
    .out;
    for image in [pushed.trim(), text(layout.path()), text(&module)] {
        succeed(&["verify", image]);
    }
    let inspected = succeed(&["inspect", pushed.trim(), "--output", "json"]).out;
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(
        inspected["image"]["annotations"]["module.wasm.image/variant"],
        "compat"
    );
    assert_eq!(inspected["abiVersions"], json!(["0_2_1"]));
}

#[test]
fn other_tools_copy_both_image_formats() {
    let module = module::build().unwrap();
    let registry = Registry::start().unwrap();
    let folder = TempDir::new().unwrap();
    for format in ["oci", "docker"] {
        let reference = format!("{}/{format}:1", registry.host());
        let pinned = push(&reference, &module, format);
        let (_, digest) = pinned.rsplit_once('@').unwrap();
        let pushed = format!("docker://{reference}");
        let digest_of = |image: &str| {
            let inspected = run("skopeo", &["inspect", "--tls-verify=false", image]).unwrap();
            serde_json::from_str::<Value>(&inspected).unwrap()["Digest"].clone()
        };
        assert_eq!(digest_of(&pushed), digest);
        let copy = |from: &str, to: &str, more: &[&str]| {
            let insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"];
            let arguments = [&["copy", "-q"], insecure.as_slice(), more, &[from, to]].concat();
            run("skopeo", &arguments).unwrap();
        };
        let keep = ["--preserve-digests"];
        let dir = format!("dir:{}/{format}", text(folder.path()));
        copy(&pushed, &dir, &keep);
        let back = format!("docker://{}/back/{format}:1", registry.host());
        copy(&dir, &back, &keep);
        assert_eq!(digest_of(&back), digest);
        // An archive of docker's keeps the layer but not its compression.
        let tarball = format!(
            "docker-archive:{}/{format}.tar:x/{format}:1",
            text(folder.path())
        );
        copy(&pushed, &tarball, &[]);
        let unpacked = format!("docker://{}/archive/{format}:1", registry.host());
        copy(&tarball, &unpacked, &[]);
        let layout = format!("oci:{}/{format}-layout:1", text(folder.path()));
        copy(&unpacked, &layout, &[]);
        let bundle = folder.path().join(format!("{format}-bundle"));
        let image = layout.trim_start_matches("oci:");
        run(
            "umoci",
            &["unpack", "--rootless", "--image", image, text(&bundle)],
        )
        .unwrap();
        let module = fs::read(&module).unwrap();
        assert!(
            fs::read(bundle.join("rootfs/plugin.wasm")).unwrap() == module,
            "{format}"
        );
    }
}

#[test]
fn layers_that_no_gateway_takes() {
    let module = fs::read(module::build().unwrap()).unwrap();
    let tar = archive("plugin.wasm", &module);
    let good = gzip(&tar);
    let zstd = "application/vnd.oci.image.layer.v1.tar+zstd";
    layer_refused(
        zstd,
        &good,
        "media type application/vnd.oci.image.layer.v1.tar+zstd",
    );
    layer_refused("application/vnd.oci.image.layer.v1.tar", &tar, "media type");
    layer_refused("application/wasm", &module, "media type application/wasm");
    layer_refused(media_type::ARTIFACT_MODULE, &module, "media type");
    layer_refused(media_type::LAYER, &module, "not a gzipped tar");
    layer_refused(
        media_type::LAYER,
        &good[..good.len() / 2],
        "not a gzipped tar",
    );
    layer_refused(
        media_type::LAYER,
        &gzip(&archive("filter.wasm", &module)),
        "no file plugin.wasm",
    );
    let layout = Layout::new();
    layout.image(
        "application/vnd.wasm.config.v0+json",
        &[("application/wasm", &module)],
    );
    refused(layout.path(), "media type application/wasm");
    let layout = Layout::new();
    layout.image(media_type::CONFIG, &[]);
    refused(layout.path(), "no layer");
    // These load, unusual as they are.
    for layers in [
        vec![(media_type::LAYER, gzip(&archive("./plugin.wasm", &module)))],
        vec![("text/plain", vec![1]), (media_type::LAYER, good)],
        vec![
            (media_type::ARTIFACT_MODULE, module),
            ("text/plain", vec![1]),
        ],
    ] {
        let layout = Layout::new();
        let layers: Vec<_> = layers
            .iter()
            .map(|(kind, bytes)| (*kind, bytes.as_slice()))
            .collect();
        layout.image(media_type::CONFIG, &layers);
        succeed(&["verify", layout.path()]);
    }
}

#[test]
fn modules_that_envoy_does_not_take() {
    let module = fs::read(module::build().unwrap()).unwrap();
    let replaced = |from: &[u8], to: &[u8]| {
        let at = module
            .windows(from.len())
            .position(|window| window == from)
            .unwrap();
        let mut module = module.clone();
        module[at..at + to.len()].copy_from_slice(to);
        module
    };
    for (wasm, words) in [
        (b"\0asm\x0d\0\x01\0".to_vec(), "component"),
        (b"#!/bin/sh".to_vec(), "not a WebAssembly module"),
        (module[..module.len() / 2].to_vec(), "not valid"),
        (
            replaced(b"proxy_get_property", b"proxy_got_property"),
            "env.proxy_got_property",
        ),
        (
            replaced(b"proxy_abi_version_0_2_1", b"proxy_abi_version_9_2_1"),
            "proxy_abi_version",
        ),
    ] {
        layer_refused(
            media_type::LAYER,
            &gzip(&archive("plugin.wasm", &wasm)),
            words,
        );
    }
}

#[test]
fn an_index_loads_by_tag_only() {
    let module = fs::read(module::build().unwrap()).unwrap();
    let layout = Layout::new();
    let image = layout.image(
        media_type::CONFIG,
        &[(media_type::LAYER, &gzip(&archive("plugin.wasm", &module)))],
    );
    let index = layout.index(&image, &json!({ "os": "linux", "architecture": "amd64" }));
    let registry = Registry::start().unwrap();
    let reference = format!("{}/multi:1", registry.host());
    let copy = |layout: &Layout| {
        let (from, to) = (
            format!("oci:{}:1", layout.path()),
            format!("docker://{reference}"),
        );
        let flags = [
            "copy",
            "-q",
            "--all",
            "--preserve-digests",
            "--dest-tls-verify=false",
        ];
        run("skopeo", &[flags.as_slice(), &[&from, &to]].concat()).unwrap();
    };
    copy(&layout);
    succeed(&["verify", &reference]);
    let pinned = format!("{reference}@{}", index["digest"].as_str().unwrap());
    refused(&pinned, "is an index");
    refused(
        &pinned,
        image["digest"]
            .as_str()
            .unwrap()
            .trim_start_matches("sha256:"),
    );
    let wasi = json!({ "os": "wasip1", "architecture": "wasm" });
    for platform in [wasi, json!({ "os": "linux", "architecture": "arm64" })] {
        layout.index(&image, &platform);
        copy(&layout);
        refused(&reference, "without an image for linux/amd64");
    }
}

#[test]
fn bytes_that_are_not_those_of_the_digest() {
    let module = module::build().unwrap();
    let registry = Registry::start().unwrap();
    let reference = format!("{}/cut:1", registry.host());
    succeed(&["push", &reference, "--module", text(&module)]);
    let report = succeed(&["verify", &reference, "--output", "json"]).out;
    let report: Value = serde_json::from_str(&report).unwrap();
    let blob = registry.blob(report["layer"]["digest"].as_str().unwrap());
    let bytes = fs::read(&blob).unwrap();
    fs::write(&blob, &bytes[..bytes.len() / 2]).unwrap();
    refused(&reference, "the content does not have the digest");
}

#[test]
fn a_registry_that_sends_clients_nowhere() {
    let module = module::build().unwrap();
    for (realm, public) in [
        ("Registry Realm", false),
        ("https://registry.example.com/", true),
    ] {
        let registry = Registry::start_with(&Options {
            realm: Some(realm),
            certificate: None,
        });
        let registry = registry.unwrap();
        let reference = format!("{}/x:1", registry.host());
        let with = |command: &[&str], input: &str| {
            let user = ["--username", USER, "--password-stdin"];
            tests::process::packager_with_input(&[command, &user].concat(), input)
        };
        let run = with(&["push", &reference, "--module", text(&module)], PASSWORD);
        assert_eq!(run.status, 0, "{}", run.talk);
        for (consumer, checks) in [
            ("istio@1.24", false),
            ("istio@1.27.8", false),
            ("istio@1.27.9", true),
            ("istio@1.28.4", false),
            ("istio@1.29", true),
            ("istio@1.31", true),
            ("envoy-gateway", false),
        ] {
            let run = with(&["verify", &reference, "--for", consumer], PASSWORD);
            let expected = u8::from(checks && !public);
            assert_eq!(
                run.status, expected,
                "{consumer} {realm}: {}{}",
                run.out, run.talk
            );
            assert_eq!(
                run.out.contains("Registry Realm"),
                expected == 1,
                "{}",
                run.out
            );
        }
        // Without the password the answer is no for the same reason, or unknown.
        let nobody = packager(&["verify", &reference]);
        assert_eq!(
            nobody.status,
            if public { 2 } else { 1 },
            "{}{}",
            nobody.out,
            nobody.talk
        );
    }
    let absent = format!("{}/nothing:1", Registry::start().unwrap().host());
    assert_eq!(packager(&["verify", &absent]).status, 2);
    assert_eq!(
        packager(&["verify", "dist/oci", "--for", "istio@1.9"]).status,
        2
    );
}

/// A registry with a certificate that the system does not trust, for one user.
struct Private {
    folder: TempDir,
    registry: Registry,
    certificate: tests::certificate::Certificate,
}

impl Private {
    fn start(realm: Option<&str>) -> Self {
        let folder = TempDir::new().unwrap();
        let certificate =
            tests::certificate::Certificate::generate(folder.path(), &["localhost"]).unwrap();
        let options = Options {
            realm,
            certificate: Some(&certificate),
        };
        Self {
            registry: Registry::start_with(&options).unwrap(),
            certificate,
            folder,
        }
    }
}

/// What `verify` reports in JSON and in text.
#[track_caller]
fn needs(reference: &str, flags: &[&str], expected: &[&str]) -> String {
    let command = [["verify", reference].as_slice(), flags].concat();
    let run = tests::process::packager_with_input(
        &[command.as_slice(), &["--output", "json"]].concat(),
        PASSWORD,
    );
    assert_eq!(run.status, 0, "{flags:?}: {}{}", run.out, run.talk);
    let report: Value = serde_json::from_str(&run.out).unwrap();
    let found: Vec<&str> = report["needs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|need| need["need"].as_str().unwrap())
        .collect();
    assert_eq!(found, expected, "{flags:?}: {}", run.out);
    let run = tests::process::packager_with_input(&command, PASSWORD);
    assert_eq!(
        run.out
            .lines()
            .filter(|line| line.starts_with("needs: "))
            .count(),
        expected.len(),
        "{}",
        run.out
    );
    let ending = if expected.is_empty() {
        "would load it\n"
    } else {
        "would load it with what it needs\n"
    };
    assert!(run.out.ends_with(ending), "{}", run.out);
    run.out
}

#[test]
fn what_a_gateway_needs_is_reported() {
    let module = module::build().unwrap();
    let user = ["--username", USER, "--password-stdin"];
    let public = "https://registry.example.com/";

    // Everybody may pull.
    let registry = Registry::start().unwrap();
    let reference = format!("{}/x:1", registry.host());
    succeed(&["push", &reference, "--module", text(&module)]);
    needs(&reference, &[], &[]);
    needs(&reference, &user, &[]);

    // Only one user may.
    let options = Options {
        realm: Some(public),
        certificate: None,
    };
    let registry = Registry::start_with(&options).unwrap();
    let reference = format!("{}/x:1", registry.host());
    let push = [
        ["push", &reference, "--module", text(&module)].as_slice(),
        &user,
    ]
    .concat();
    let run = tests::process::packager_with_input(&push, PASSWORD);
    assert_eq!(run.status, 0, "{}", run.talk);
    let out = needs(&reference, &user, &["imagePullSecret"]);
    for words in [
        "401",
        "the credentials of --username",
        "--image-pull-secret",
    ] {
        assert!(out.contains(words), "no {words} in {out}");
    }

    for (realm, expected) in [
        (None, ["trustedAuthority"].as_slice()),
        (Some(public), &["trustedAuthority", "imagePullSecret"]),
    ] {
        let private = Private::start(realm);
        let reference = format!("{}/x:1", private.registry.host());
        let ca = ["--ca-file", text(&private.certificate.certificate)];
        let push = ["push", &reference, "--module", text(&module)];
        let push = [push.as_slice(), &ca, &user].concat();
        let run = tests::process::packager_with_input(&push, PASSWORD);
        assert_eq!(run.status, 0, "{}", run.talk);
        let out = needs(&reference, &[ca.as_slice(), &user].concat(), expected);
        assert!(out.contains("WASM_INSECURE_REGISTRIES=localhost:"), "{out}");
        needs(
            &reference,
            &[&["--insecure-skip-tls-verify"], user.as_slice()].concat(),
            expected,
        );
        assert!(private.folder.path().exists());
    }
}

#[test]
fn releases_that_nobody_knows_are_refused() {
    for consumer in ["istio@1.99", "istio@1.32", "istio@2.1", "istio@1.9"] {
        let run = packager(&["verify", "dist/oci", "--for", consumer]);
        assert_eq!(run.status, 2, "{consumer}: {}{}", run.out, run.talk);
        assert!(run.talk.contains("stio"), "{consumer}: {}", run.talk);
    }
}
