//! What a report looks like, besides its contents: the terminal, and the source that commands repeat.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use gateway::shell;

/// How text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// The number of characters in a line.
    pub width: usize,
    /// Whether to use colours.
    pub color: bool,
    /// Whether to write every pair with its evidence.
    pub verbose: bool,
}

impl Default for Style {
    /// The style of output that is not for a terminal.
    fn default() -> Self {
        Self {
            width: 100,
            color: false,
            verbose: false,
        }
    }
}

/// The source of the resources of this run, from which the commands of a report read them again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceWords {
    /// Files and folders, or `-`.
    pub paths: Vec<String>,
    /// The cluster, if the resources are not from files alone.
    pub cluster: Option<ClusterWords>,
    /// The file with the mesh configuration of istiod, if one was given.
    pub mesh_config: Option<String>,
    /// The globs of files and folders that were left out.
    pub exclude: Vec<String>,
}

/// The cluster that resources were read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterWords {
    /// The kubeconfig; `None` for the one that kubectl uses.
    pub kubeconfig: Option<String>,
    /// The context of the kubeconfig; `None` for the current one.
    pub context: Option<String>,
    /// The namespaces; empty for all.
    pub namespaces: Vec<String>,
}

/// How a report is presented.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presentation {
    pub style: Style,
    pub source: SourceWords,
    /// The time of the run, for formats that are kept and read later.
    pub time: Option<DateTime<Utc>>,
    /// The indices of the findings that are in the baseline; `None` without a baseline.
    pub known: Option<BTreeSet<usize>>,
    /// Whether a part of the input could not be read.
    pub is_incomplete: bool,
}

impl Presentation {
    /// Whether a finding is in the baseline.
    pub(super) fn is_known(&self, index: usize) -> bool {
        self.known
            .as_ref()
            .is_some_and(|known| known.contains(&index))
    }
}

/// The flag for files to leave out.
pub(super) const EXCLUDE: &str = "--exclude";
/// The same of `merge`, whose `--exclude` names servers.
pub(super) const EXCLUDE_FILES: &str = "--exclude-files";

impl SourceWords {
    /// The arguments of commands that take the resources as positional arguments. The flag for files to leave out
    /// differs.
    pub(super) fn positional(&self, exclude_flag: &str) -> Vec<String> {
        let mut words: Vec<String> = self.paths.iter().map(|path| shell::path(path)).collect();
        if let Some(cluster) = &self.cluster {
            words.extend(cluster.words());
            for namespace in &cluster.namespaces {
                words.extend(["--namespace".to_owned(), namespace.clone()]);
            }
        }
        words.extend(self.mesh_config_words());
        words.extend(self.exclude_words(exclude_flag));
        words
    }

    /// The arguments of `manifest`, whose `--namespace` is the one of the new resource. It reads all
    /// namespaces of a cluster.
    pub(super) fn from(&self) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(cluster) = &self.cluster {
            words.extend(cluster.words());
        }
        if !self.paths.is_empty() {
            words.push("--from".to_owned());
            words.extend(self.paths.iter().map(|path| shell::path(path)));
        }
        words.extend(self.mesh_config_words());
        words.extend(self.exclude_words(EXCLUDE));
        words
    }

    // One word each, so that a glob which begins with a dash is no flag.
    fn exclude_words(&self, flag: &str) -> Vec<String> {
        self.exclude
            .iter()
            .map(|glob| format!("{flag}={glob}"))
            .collect()
    }

    fn mesh_config_words(&self) -> Vec<String> {
        self.mesh_config
            .iter()
            .flat_map(|file| ["--mesh-config".to_owned(), shell::path(file)])
            .collect()
    }
}

impl ClusterWords {
    fn words(&self) -> Vec<String> {
        let mut words = vec!["--cluster".to_owned()];
        words.extend(self.connection());
        words
    }

    /// The flags of kubectl and of `packager` that select the cluster.
    pub(super) fn connection(&self) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(kubeconfig) = &self.kubeconfig {
            words.extend(["--kubeconfig".to_owned(), kubeconfig.clone()]);
        }
        if let Some(context) = &self.context {
            words.extend(["--context".to_owned(), context.clone()]);
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::{ClusterWords, EXCLUDE, EXCLUDE_FILES, SourceWords};

    #[test]
    fn files_are_positional_or_after_from() {
        let source = SourceWords {
            paths: vec!["gateways/".into(), "-".into(), "-x.yaml".into()],
            cluster: None,
            mesh_config: Some("-mesh.yaml".into()),
            exclude: vec!["charts/**".into()],
        };
        let paths = ["gateways/", "-", "./-x.yaml"];
        let mesh_config = ["--mesh-config", "./-mesh.yaml"];
        assert_eq!(
            source.positional(EXCLUDE_FILES),
            [&paths[..], &mesh_config, &["--exclude-files=charts/**"]].concat()
        );
        assert_eq!(
            source.from(),
            [
                &["--from"],
                &paths[..],
                &mesh_config,
                &["--exclude=charts/**"]
            ]
            .concat()
        );
    }

    #[test]
    fn a_cluster_is_named_with_its_context() {
        let source = SourceWords {
            paths: Vec::new(),
            cluster: Some(ClusterWords {
                kubeconfig: None,
                context: Some("blue".into()),
                namespaces: vec!["a".into(), "b".into()],
            }),
            mesh_config: None,
            exclude: Vec::new(),
        };
        let cluster = ["--cluster", "--context", "blue"];
        let namespaces = ["--namespace", "a", "--namespace", "b"];
        assert_eq!(
            source.positional(EXCLUDE),
            [&cluster[..], &namespaces].concat()
        );
        assert_eq!(source.from(), cluster);
    }
}
