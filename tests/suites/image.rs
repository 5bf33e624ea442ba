//! The image: in a real registry and in a folder, read by other people's tools.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use tests::module;
use tests::process::{Run, built_packager, packager};
use tests::registry::Registry;
use tests::tools::{checkout, run, run_in};

#[track_caller]
fn succeed(arguments: &[&str]) -> Run {
    let run = packager(arguments);
    assert_eq!(run.status, 0, "{arguments:?}: {}", run.talk);
    run
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_second_push_sends_nothing() {
    let module = module::build().unwrap();
    let registry = Registry::start().unwrap();
    let reference = format!("{}/sni-guard:1", registry.host());
    let push = || -> Value {
        let run = succeed(&[
            "push",
            &reference,
            "--module",
            text(&module),
            "--output",
            "json",
        ]);
        serde_json::from_str(&run.out).unwrap()
    };
    let (first, second) = (push(), push());
    assert_eq!(first["digest"], second["digest"]);
    assert_eq!(
        first["blobs"],
        serde_json::json!({ "uploaded": 2, "present": 0 })
    );
    assert_eq!(
        second["blobs"],
        serde_json::json!({ "uploaded": 0, "present": 2 })
    );
    assert_eq!(
        registry
            .requests("\"POST /v2/sni-guard/blobs/uploads")
            .unwrap(),
        2
    );

    let reference = format!("docker://{reference}");
    let inspected = run("skopeo", &["inspect", "--tls-verify=false", &reference]).unwrap();
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(inspected["Digest"], first["digest"]);
    assert_eq!(inspected["Architecture"], "amd64");
    assert_eq!(inspected["Labels"]["module.wasm.image/variant"], "compat");
    assert_eq!(inspected["Created"], "1970-01-01T00:00:00Z");
}

#[test]
fn a_tag_is_moved_only_with_the_option() {
    let module = module::build().unwrap();
    let registry = Registry::start().unwrap();
    let reference = format!("{}/sni-guard:1", registry.host());
    let push = ["push", &reference, "--module", text(&module)];
    let first = succeed(&push).out;
    let changed = [push.as_slice(), &["--annotation", "team=edge"]].concat();
    let refused = packager(&changed);
    assert_eq!(
        (refused.status, refused.out.as_str()),
        (2, ""),
        "{}",
        refused.talk
    );
    assert!(refused.talk.contains("--overwrite"), "{}", refused.talk);
    assert_eq!(succeed(&push).out, first);
    assert_ne!(
        succeed(&[changed.as_slice(), &["--overwrite"]].concat()).out,
        first
    );
}

#[test]
fn other_tools_unpack_the_module() {
    let module = module::build().unwrap();
    let registry = Registry::start().unwrap();
    let reference = format!("{}/sni-guard:1", registry.host());
    let folder = TempDir::new().unwrap();
    let layout = folder.path().join("layout");
    succeed(&[
        "push",
        &reference,
        "--module",
        text(&module),
        "--layout",
        text(&layout),
    ]);

    let pulled = folder.path().join("pulled");
    let (from, to) = (
        format!("docker://{reference}"),
        format!("oci:{}:1", text(&pulled)),
    );
    run(
        "skopeo",
        &[
            "copy",
            "-q",
            "--src-tls-verify=false",
            "--preserve-digests",
            &from,
            &to,
        ],
    )
    .unwrap();
    for image in [
        format!("{}:1", text(&pulled)),
        format!("{}:0.1.0", text(&layout)),
    ] {
        let bundle = folder.path().join("bundle");
        run(
            "umoci",
            &["unpack", "--rootless", "--image", &image, text(&bundle)],
        )
        .unwrap();
        let unpacked = bundle.join("rootfs/plugin.wasm");
        assert_eq!(
            fs::read(&unpacked).unwrap(),
            fs::read(&module).unwrap(),
            "{image}"
        );
        fs::remove_dir_all(bundle).unwrap();
    }
}

#[test]
fn a_layout_keeps_other_images_and_other_files_stay() {
    let module = module::build().unwrap();
    let folder = TempDir::new().unwrap();
    let push = [
        "push",
        "--module",
        text(&module),
        "--layout",
        text(folder.path()),
    ];
    succeed(&push);
    let index_path = folder.path().join("index.json");
    let index = fs::read_to_string(&index_path).unwrap();
    fs::write(&index_path, index.replace("0.1.0", "other")).unwrap();
    succeed(&push);
    let index: Value = serde_json::from_str(&fs::read_to_string(&index_path).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);

    let occupied = TempDir::new().unwrap();
    fs::write(occupied.path().join("thesis.txt"), "…").unwrap();
    let refused = packager(&[
        "push",
        "--module",
        text(&module),
        "--layout",
        text(occupied.path()),
    ]);
    assert_eq!(refused.status, 2, "{}", refused.talk);
    assert_eq!(fs::read_dir(occupied.path()).unwrap().count(), 1);
}

#[test]
fn what_gateways_would_not_load_is_not_pushed() {
    let folder = TempDir::new().unwrap();
    let (file, layout) = (folder.path().join("x.wasm"), folder.path().join("layout"));
    let module = fs::read(module::build().unwrap()).unwrap();
    let component = b"\0asm\x0d\0\x01\0".as_slice();
    for (bytes, status) in [
        (b"not a module".as_slice(), 2),
        (component, 2),
        (b"\0asm\x01\0\0\0", 1),
        (module.get(..module.len() / 2).unwrap(), 1),
    ] {
        fs::write(&file, bytes).unwrap();
        let refused = packager(&["push", "--module", text(&file), "--layout", text(&layout)]);
        assert_eq!(
            (refused.status, refused.out.as_str()),
            (status, ""),
            "{}",
            refused.talk
        );
        assert!(!layout.exists());
    }
}

/// The same sources in another folder, with dependencies in another folder, give the same image.
#[test]
fn the_digest_does_not_depend_on_the_folder() {
    let module = module::build().unwrap();
    let folder = TempDir::new().unwrap();
    let copy = folder.path().join("elsewhere");
    let checkout = checkout();
    let tracked = run("git", &["-C", text(&checkout), "ls-files"]).unwrap();
    for file in tracked.lines().map(Path::new) {
        let to = copy.join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(checkout.join(file), to).unwrap();
    }
    let home = cargo_home(&folder.path().join("cargo"));
    run_in(
        &copy,
        "env",
        &[&home, text(built_packager().unwrap()), "build"],
    )
    .unwrap();
    let built = copy.join("dist/sni-guard.wasm");
    assert!(
        fs::read(&built).unwrap() == fs::read(&module).unwrap(),
        "the modules differ"
    );
    let digest = |module: &Path| {
        let layout = TempDir::new().unwrap();
        succeed(&[
            "push",
            "--module",
            text(module),
            "--layout",
            text(layout.path()),
        ])
        .out
        .rsplit_once('@')
        .unwrap()
        .1
        .to_owned()
    };
    assert_eq!(digest(&built), digest(&module));
}

/// Makes a home for cargo that shares what was downloaded, and unpacks it in a place of its own.
fn cargo_home(folder: &Path) -> String {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.unwrap_or_else(|| std::env::home_dir().unwrap().join(".cargo"));
    fs::create_dir_all(folder.join("registry")).unwrap();
    for shared in ["registry/cache", "registry/index"] {
        std::os::unix::fs::symlink(home.join(shared), folder.join(shared)).unwrap();
    }
    if home.join("config.toml").is_file() {
        fs::copy(home.join("config.toml"), folder.join("config.toml")).unwrap();
    }
    format!("CARGO_HOME={}", text(folder))
}
