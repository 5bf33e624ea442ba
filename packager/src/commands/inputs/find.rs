//! Finds the files of a path.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use gateway::documents::{SkipReason, Skipped, patch_files};
use gateway::resources::Origin;
use glob::{MatchOptions, Pattern};

/// The files in which kustomize lists the files of a folder.
const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// The files of a path that the user named.
pub(super) struct FileFinder<'a> {
    root: &'a Path,
    exclude: &'a [Pattern],
    pub(super) files: Vec<PathBuf>,
    /// Files and folders that cannot be read, with the errors.
    pub(super) unreadable: Vec<(PathBuf, io::Error)>,
    /// The files that a kustomization lists as patches.
    pub(super) patches: Vec<Skipped>,
    /// The number of files and folders that `--exclude` left out.
    pub(super) excluded: usize,
    /// The paths of all patches so far.
    patch_paths: BTreeSet<PathBuf>,
}

impl<'a> FileFinder<'a> {
    pub(super) fn new(root: &'a Path, exclude: &'a [Pattern]) -> Self {
        Self {
            root,
            exclude,
            files: Vec::new(),
            unreadable: Vec::new(),
            patches: Vec::new(),
            excluded: 0,
            patch_paths: BTreeSet::new(),
        }
    }

    /// Finds the path itself if it is a file, or the files of a folder in the order of their names.
    ///
    /// # Errors
    /// The path does not exist or cannot be read.
    pub(super) fn find(&mut self) -> io::Result<()> {
        let root = self.root;
        if fs::metadata(root)?.is_dir() {
            self.find_in(root)?;
        } else if self.is_excluded(root) {
            self.excluded += 1;
        } else {
            // A pre-commit hook names files one by one, and patches are among them.
            self.add_patches_of(root.parent().unwrap_or(Path::new("")));
            self.files.push(root.to_owned());
        }

        // A kustomization may list patches in folders that come before its own.
        let (patches, files) = std::mem::take(&mut self.files)
            .into_iter()
            .partition(|file| self.patch_paths.contains(&normal(file)));
        self.files = files;
        self.patches
            .extend(Vec::into_iter(patches).map(|path: PathBuf| Skipped {
                origin: Origin {
                    file: path.display().to_string().into(),
                    line: 0,
                },
                reason: SkipReason::Patch,
            }));
        Ok(())
    }

    fn find_in(&mut self, folder: &Path) -> io::Result<()> {
        let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        self.add_patches_of(folder);
        for entry in entries {
            let path = entry.path();
            // Hidden folders are not part of the configuration: .git, for example.
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if self.is_excluded(&path) {
                self.excluded += 1;
                continue;
            }
            if let Err(error) = self.find_entry(&entry, &path) {
                self.unreadable.push((path, error));
            }
        }
        Ok(())
    }

    fn find_entry(&mut self, entry: &fs::DirEntry, path: &Path) -> io::Result<()> {
        if entry.file_type()?.is_dir() {
            return self.find_in(path);
        }
        if has_resources(path) && fs::metadata(path)?.is_file() {
            self.files.push(path.to_owned());
        }
        Ok(())
    }

    /// Whether a glob matches the name of a file or folder, or its path below the path that the user named.
    fn is_excluded(&self, path: &Path) -> bool {
        // As in shells, a star matches no slash.
        let options = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: false,
        };
        let name = path.file_name().map_or(path, Path::new);
        let below = path.strip_prefix(self.root).unwrap_or(path);
        self.exclude.iter().any(|glob| {
            [name, below, path]
                .into_iter()
                .any(|path| glob.matches_path_with(path, options))
        })
    }

    /// Adds the patches of the kustomization in a folder, if there is one.
    fn add_patches_of(&mut self, folder: &Path) {
        for name in KUSTOMIZATIONS {
            let Ok(text) = fs::read_to_string(folder.join(name)) else {
                continue;
            };
            for path in patch_files(&text) {
                self.patch_paths.insert(normal(&folder.join(path)));
            }
        }
    }
}

/// A path without `.` and `..`, so that two spellings of one path are equal.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        let has_parent = matches!(normal.components().next_back(), Some(Component::Normal(_)));
        match component {
            Component::CurDir => {}
            Component::ParentDir if has_parent => {
                normal.pop();
            }
            Component::ParentDir
            | Component::Normal(_)
            | Component::RootDir
            | Component::Prefix(_) => normal.push(component),
        }
    }
    normal
}

fn has_resources(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml" | "json"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use glob::Pattern;

    use super::{FileFinder, normal};

    const TREE: [(&str, &str); 7] = [
        ("base/gateway.yaml", ""),
        (
            "base/kustomization.yaml",
            "patches: [{path: ../patches/own.yaml}]",
        ),
        ("charts/web/templates/gateway.yaml", ""),
        ("charts/web/values.yaml", ""),
        ("patches/own.yaml", ""),
        ("values-prod.yaml", ""),
        ("readme.md", ""),
    ];

    #[track_caller]
    fn check(globs: &[&str], expected: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in TREE {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let globs: Vec<Pattern> = globs
            .iter()
            .map(|glob| Pattern::new(glob).unwrap())
            .collect();
        let mut finder = FileFinder::new(folder.path(), &globs);
        finder.find().unwrap();
        let found: Vec<&str> = finder
            .files
            .iter()
            .map(|path| path.strip_prefix(folder.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(found, expected, "{globs:?}");
        assert_eq!(finder.patches.len(), 1);
    }

    #[test]
    fn globs_leave_out_names_and_paths() {
        let base = ["base/gateway.yaml", "base/kustomization.yaml"];
        let charts = [
            "charts/web/templates/gateway.yaml",
            "charts/web/values.yaml",
        ];
        check(&[], &[base, charts, ["values-prod.yaml", ""]].concat()[..5]);
        check(&["charts"], &[base[0], base[1], "values-prod.yaml"]);
        check(&["charts/**"], &[base[0], base[1], "values-prod.yaml"]);
        check(&["values*.yaml"], &[base[0], base[1], charts[0]]);
        check(
            &["charts/*.yaml", "base/k*"],
            &[base[0], charts[0], charts[1], "values-prod.yaml"],
        );
        check(
            &["**/templates", "*.yml"],
            &[base[0], base[1], charts[1], "values-prod.yaml"],
        );
    }

    #[test]
    fn spellings_of_a_path_are_equal() {
        for (path, expected) in [
            ("a/./b/../c", "a/c"),
            ("../a", "../a"),
            ("../../a", "../../a"),
            ("/a/..", "/"),
            ("", ""),
        ] {
            assert_eq!(normal(Path::new(path)), Path::new(expected), "{path}");
        }
    }
}
