//! The commands of remedies as command lines that run as they are printed.

use gateway::findings::{Command, Finding, PluginReach, ReachedPods, Remedy};
use gateway::shell;

use super::presentation::SourceWords;
use crate::resource::ImageReference;

/// The words of a command line, each quoted for a shell.
pub(super) struct CommandLine(Vec<String>);

impl CommandLine {
    pub(super) fn new(command: &Command, source: &SourceWords) -> Self {
        let mut words = vec!["packager".to_owned()];
        match command {
            Command::Merge {
                assume_same_certificate,
            } => {
                words.push("merge".into());
                if *assume_same_certificate {
                    words.push("--assume-same-certificate".into());
                }
                words.extend(source.positional());
            }
            Command::Filter {
                attachment,
                installed_image,
            } => {
                words.push("manifest".into());
                words.extend(image_words(installed_image.as_deref()));
                words.extend(attachment_words(attachment));
                words.extend(source.from());
            }
            Command::AuthorizationPolicy(attachment) => {
                words.extend(["manifest", "--kind", "AuthorizationPolicy"].map(str::to_owned));
                words.extend(attachment_words(attachment));
                words.extend(source.from());
            }
            Command::Check => {
                words.push("check".into());
                words.extend(source.positional());
            }
        }
        Self(words.iter().map(|word| shell::word(word)).collect())
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
        words.push("--allow-mutable".to_owned());
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
    let remedies: Vec<String> = finding
        .remedies
        .iter()
        .map(|remedy| one_line(remedy, source))
        .collect();
    if remedies.is_empty() {
        finding.advice.hint.clone()
    } else {
        remedies.join("; or ")
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
    use gateway::findings::{Command, PluginReach, ReachedPods};

    use super::CommandLine;
    use crate::render::presentation::SourceWords;

    fn source(path: &str) -> SourceWords {
        SourceWords {
            paths: vec![path.into()],
            cluster: None,
        }
    }

    fn filter(installed_image: Option<&str>) -> Command {
        Command::Filter {
            attachment: PluginReach {
                namespace: "shop".into(),
                target: ReachedPods::Gateway("public".into()),
            },
            installed_image: installed_image.map(str::to_owned),
        }
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
