//! The commands of remedies as command lines that run as they are printed.

use gateway::findings::{
    Command, FilterCode, FilterSource, Finding, KeptSettings, PluginReach, ReachedPods, Remedy,
};
use gateway::resources::Kind;
use gateway::shell;

use super::presentation::{EXCLUDE, EXCLUDE_FILES, SourceWords};
use crate::resource::ImageReference;

/// The name that `packager manifest` gives a resource.
const DEFAULT_NAME: &str = "sni-guard";

/// The flag that accepts an image without a digest.
const ALLOW_MUTABLE: &str = "--allow-mutable";

/// The words of a command line, each quoted for a shell.
pub(super) struct CommandLine(Vec<String>);

impl CommandLine {
    pub(super) fn new(command: &Command, source: &SourceWords) -> Self {
        let mut words = Vec::new();
        match command {
            Command::Merge {
                assume_same_certificate,
            } => {
                words.extend(["packager", "merge"].map(str::to_owned));
                if *assume_same_certificate {
                    words.push("--assume-same-certificate".into());
                }
                words.extend(source.positional(EXCLUDE_FILES));
            }
            Command::Filter {
                attachment,
                code,
                kept,
            } => {
                words.extend(["packager", "manifest"].map(str::to_owned));
                match code {
                    FilterCode::Image { installed } => {
                        words.extend(image_words(installed.as_deref()));
                    }
                    FilterCode::Script => words.push("--lua".to_owned()),
                }
                words.extend(kept_words(kept));
                words.extend(attachment_words(attachment));
                words.extend(source.from());
            }
            Command::AuthorizationPolicy(attachment) => {
                words.extend(
                    ["packager", "manifest", "--kind", "AuthorizationPolicy"].map(str::to_owned),
                );
                words.extend(attachment_words(attachment));
                words.extend(source.from());
            }
            Command::Check => {
                words.extend(["packager", "check"].map(str::to_owned));
                words.extend(source.positional(EXCLUDE));
            }
            Command::ExplainFilter(filter) => return Self::explain(filter, source),
            Command::Kubectl(kubectl) => words = kubectl_words(kubectl, source),
        }
        Self::quoted(&words)
    }

    fn quoted(words: &[String]) -> Self {
        Self(words.iter().map(|word| shell::word(word)).collect())
    }

    /// The command that prints the faults of an installed filter.
    fn explain(filter: &FilterSource, source: &SourceWords) -> Self {
        let explain = ["packager", "explain", "--config"];
        match filter {
            FilterSource::File(file) => Self::quoted(&owned(
                &[&explain[..], &[&shell::path(file), "--servers"]].concat(),
            )),
            FilterSource::SharedFile(file) => {
                Self::quoted(&owned(&["packager", "check", &shell::path(file)]))
            }
            FilterSource::Cluster(resource) => {
                let object = resource.object_of_kubectl();
                let get = owned(&[
                    "get",
                    &object,
                    "--namespace",
                    &resource.namespace,
                    "--output",
                    "yaml",
                ]);
                let mut line = Self::quoted(&kubectl_words(&get, source));
                // A pipe is not a word, so it is not quoted.
                line.0.push("|".to_owned());
                line.0
                    .extend(owned(&[&explain[..], &["-", "--servers"]].concat()));
                line
            }
        }
    }

    /// Whether the command names an image by a tag.
    pub(super) fn allows_tag(&self) -> bool {
        self.0.iter().any(|word| word == ALLOW_MUTABLE)
    }

    /// The command in one line.
    pub(super) fn one_line(&self) -> String {
        self.0.join(" ")
    }

    /// The command in lines of some width, as a shell continues them.
    pub(super) fn lines(&self, width: usize) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for part in self.parts() {
            // The mark of continuation needs two characters.
            match lines.last_mut() {
                Some(line) if line.chars().count() + part.chars().count() + 3 <= width => {
                    line.push(' ');
                    line.push_str(&part);
                }
                Some(line) => {
                    line.push_str(" \\");
                    lines.push(format!("  {part}"));
                }
                None => lines.push(part),
            }
        }
        lines
    }

    /// The words, each flag with its value.
    fn parts(&self) -> Vec<String> {
        let mut parts: Vec<String> = Vec::new();
        for word in &self.0 {
            match parts.last_mut() {
                Some(flag) if is_flag(flag) && !is_flag(word) => {
                    flag.push(' ');
                    flag.push_str(word);
                }
                Some(_) | None => parts.push(word.clone()),
            }
        }
        parts
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A command of kubectl for the cluster that the resources were read from.
fn kubectl_words(command: &[String], source: &SourceWords) -> Vec<String> {
    let mut words = vec!["kubectl".to_owned()];
    words.extend_from_slice(command);
    if let Some(cluster) = &source.cluster {
        words.extend(cluster.connection());
    }
    words
}

/// Whether a part of a command line is a flag without a value so far.
fn is_flag(part: &str) -> bool {
    part.starts_with("--") && !part.contains(' ')
}

/// The image of the installed filter if gateways can pull it from a registry, else the image of the release.
fn image_words(installed: Option<&str>) -> Vec<String> {
    let image = installed
        .filter(|image| ImageReference::parse(image, true).is_ok())
        .map_or_else(released_image, str::to_owned);
    let mut words = vec!["--image".to_owned(), image.clone()];
    // A digest is known only if a resource has it.
    if ImageReference::parse(&image, false).is_err() {
        words.push(ALLOW_MUTABLE.to_owned());
    }
    words
}

/// The image of this version in the registry of the repository's host. Registries have names in lower case.
fn released_image() -> String {
    let repository = env!("CARGO_PKG_REPOSITORY").trim_start_matches("https://github.com/");
    format!(
        "ghcr.io/{}:{}",
        repository.to_ascii_lowercase(),
        env!("CARGO_PKG_VERSION")
    )
}

/// The flags for the settings that a rewritten resource keeps.
fn kept_words(kept: &KeptSettings) -> Vec<String> {
    let KeptSettings {
        kind,
        name,
        action,
        hosts,
        pull_secret,
    } = kept;
    let mut words = Vec::new();
    if let Some(kind) = kind.filter(|kind| *kind != Kind::WasmPlugin) {
        words.extend(["--kind".to_owned(), kind.name().to_owned()]);
    }
    // One word, so that a value which begins with a dash is no flag.
    if let Some(name) = name.as_deref().filter(|name| *name != DEFAULT_NAME) {
        words.push(format!("--name={name}"));
    }
    if let Some(action) = action {
        words.push(format!("--action={action}"));
    }
    for (host, action) in hosts {
        words.push(format!("--host={host}={action}"));
    }
    if let Some(secret) = pull_secret {
        words.push(format!("--image-pull-secret={secret}"));
    }
    words
}

fn attachment_words(attachment: &PluginReach) -> Vec<String> {
    let mut words = vec!["--namespace".to_owned(), attachment.namespace.clone()];
    match &attachment.target {
        ReachedPods::Gateway(name) => {
            words.extend(["--target-ref".to_owned(), format!("Gateway/{name}")]);
        }
        ReachedPods::Labels(labels) => {
            for (key, value) in labels {
                words.extend(["--selector".to_owned(), format!("{key}={value}")]);
            }
        }
        ReachedPods::All => words.push("--mesh-wide".to_owned()),
    }
    words
}

/// What to do about a finding, in one line: each remedy with its command. For output in which a finding is one
/// text.
pub(super) fn hint(finding: &Finding, source: &SourceWords) -> String {
    if finding.remedies.is_empty() {
        finding.advice.hint.clone()
    } else {
        Remedy::sentence(&finding.remedies, |remedy| one_line(remedy, source))
    }
}

/// A remedy with its command, in one line.
pub(super) fn one_line(remedy: &Remedy, source: &SourceWords) -> String {
    match &remedy.command {
        Some(command) => {
            let command = CommandLine::new(command, source).one_line();
            format!("{}: {command}", remedy.text)
        }
        None => remedy.text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use gateway::findings::{
        Command, FilterCode, FilterSource, KeptSettings, PluginReach, ReachedPods,
    };
    use gateway::resources::{Kind, ResourceName};

    use super::CommandLine;
    use crate::render::presentation::{ClusterWords, SourceWords};

    fn source(path: &str) -> SourceWords {
        SourceWords {
            paths: vec![path.into()],
            cluster: None,
            mesh_config: None,
            exclude: Vec::new(),
        }
    }

    fn filter(installed_image: Option<&str>) -> Command {
        Command::Filter {
            attachment: PluginReach {
                namespace: "shop".into(),
                target: ReachedPods::Gateway("public".into()),
            },
            code: FilterCode::Image {
                installed: installed_image.map(str::to_owned),
            },
            kept: KeptSettings::default(),
        }
    }

    fn cluster() -> SourceWords {
        SourceWords {
            paths: Vec::new(),
            cluster: Some(ClusterWords {
                context: Some("blue".into()),
                namespaces: vec!["shop".into()],
                ..ClusterWords::default()
            }),
            mesh_config: None,
            exclude: Vec::new(),
        }
    }

    #[test]
    fn kubectl_uses_the_cluster_of_the_run() {
        let edit = ["edit", "secret/a;b", "--namespace", "shop"].map(str::to_owned);
        let command = Command::Kubectl(edit.to_vec());
        let line = |source: SourceWords| CommandLine::new(&command, &source).one_line();
        assert_eq!(
            line(cluster()),
            "kubectl edit 'secret/a;b' --namespace shop --context blue"
        );
        assert_eq!(
            line(source("a.yaml")),
            "kubectl edit 'secret/a;b' --namespace shop"
        );
    }

    #[test]
    fn the_configuration_of_a_filter_is_read_where_it_is() {
        let line =
            |filter, source| CommandLine::new(&Command::ExplainFilter(filter), source).one_line();
        let files = source("plugins/");
        assert_eq!(
            line(FilterSource::File("my plugins/-x.yaml".into()), &files),
            "packager explain --config 'my plugins/-x.yaml' --servers"
        );
        assert_eq!(
            line(FilterSource::SharedFile("-x.yaml".into()), &files),
            "packager check ./-x.yaml"
        );
        let plugin = FilterSource::Cluster(ResourceName {
            kind: Kind::WasmPlugin,
            namespace: "istio-system".into(),
            name: "a; reboot".into(),
        });
        assert_eq!(
            line(plugin, &cluster()),
            "kubectl get 'wasmplugins.extensions.istio.io/a; reboot' --namespace istio-system \
             --output yaml --context blue | packager explain --config - --servers"
        );
    }

    #[test]
    fn a_rewritten_filter_keeps_its_settings() {
        let command = Command::Filter {
            attachment: PluginReach {
                namespace: "shop".into(),
                target: ReachedPods::All,
            },
            code: FilterCode::Image { installed: None },
            kept: KeptSettings {
                kind: Some(Kind::TrafficExtension),
                name: Some("-x".into()),
                action: Some("report".into()),
                hosts: vec![("*.a.test".into(), "off".into())],
                pull_secret: Some("pull".into()),
            },
        };
        let line = CommandLine::new(&command, &source("a.yaml")).one_line();
        let kept = "--kind TrafficExtension --name=-x --action=report '--host=*.a.test=off' \
                    --image-pull-secret=pull --namespace shop --mesh-wide --from a.yaml";
        assert!(line.ends_with(kept), "{line}");
    }

    #[test]
    fn the_installed_image_is_used_again() {
        let pinned = format!("oci://registry.example.com/x:1@sha256:{}", "0".repeat(64));
        let line = |command| CommandLine::new(&command, &source("a.yaml")).one_line();
        assert_eq!(
            line(filter(Some(&pinned))),
            format!(
                "packager manifest --image {pinned} --namespace shop --target-ref Gateway/public \
                 --from a.yaml"
            )
        );
        let mutable = line(filter(Some("oci://registry.example.com/x:1")));
        assert!(mutable.contains("--image oci://registry.example.com/x:1 --allow-mutable"));
        // A file in the pod is no image.
        for other in [None, Some("file:///opt/x.wasm"), Some("oci://a b/$(x)")] {
            let line = line(filter(other));
            assert!(line.contains("--image ghcr.io/"), "{line}");
        }
    }

    #[test]
    fn a_long_command_continues_on_the_next_line() {
        let command = Command::Merge {
            assume_same_certificate: true,
        };
        let line = CommandLine::new(&command, &source("gateways/all.yaml"));
        assert_eq!(
            line.one_line(),
            "packager merge --assume-same-certificate gateways/all.yaml"
        );
        assert_eq!(
            line.lines(45),
            [
                "packager merge \\",
                "  --assume-same-certificate gateways/all.yaml"
            ]
        );
        assert_eq!(line.lines(100).len(), 1);
    }
}
