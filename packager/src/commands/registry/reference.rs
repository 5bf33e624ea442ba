//! References to images in registries, as users write them. A reference names its registry, because gateways
//! pull from no default one.

use anyhow::{Result, bail};
use gateway::advice::Advice;
use oci_client::Reference;

/// Reads the reference of an image to push, `HOST/REPOSITORY:TAG`, with or without `oci://` in front.
pub(crate) fn parse_target(text: &str) -> Result<Reference> {
    let reference = parse_reference(text)?;
    // A push by digest would leave the image without a tag.
    if reference.digest().is_some() {
        bail!(Advice::new(
            format!("reference {text} has a digest, but the image determines its digest"),
            "remove the digest, or check it with --expect-digest"
        ));
    }
    // Without a tag, the library takes the tag latest, which `manifest` refuses.
    if !has_tag(text) {
        bail!(Advice::new(
            format!("reference {text} has no tag"),
            format!(
                "add a tag that no other image gets, such as {}/{}:{}",
                reference.registry(),
                reference.repository(),
                env!("CARGO_PKG_VERSION")
            )
        ));
    }
    Ok(reference)
}

/// Reads `HOST/REPOSITORY`, with a tag, a digest, or both, and with or without `oci://` in front.
pub(crate) fn parse_reference(text: &str) -> Result<Reference> {
    let bare = text.strip_prefix("oci://").unwrap_or(text);
    if let Some((scheme, flag)) = [("https://", ""), ("http://", " --plain-http")]
        .into_iter()
        .find(|(scheme, _)| bare.starts_with(scheme))
    {
        let rest = lower_case_repository(bare.strip_prefix(scheme).unwrap_or(bare));
        bail!(wrong(
            format!("reference {text:?} is a URL with {scheme}"),
            &rest,
            flag
        ));
    }

    let Ok(reference) = bare.parse::<Reference>() else {
        let lower = lower_case_repository(bare);
        if lower != bare && lower.parse::<Reference>().is_ok() {
            bail!(wrong(
                format!("reference {text:?}: a repository has only lower case letters"),
                &lower,
                ""
            ));
        }
        bail!(Advice::new(
            format!("reference {text:?} does not have the form HOST/REPOSITORY:TAG"),
            "give a host, a repository in lower case and a tag, such as registry.example.com/team/sni-guard:1"
        ));
    };
    if !has_host(bare) {
        bail!(Advice::new(
            format!("reference {text} names no registry"),
            format!(
                "add the host of the registry; for Docker Hub: docker.io/{}",
                hub_path(bare)
            )
        ));
    }
    Ok(reference)
}

/// The advice for a reference that can be corrected.
fn wrong(message: String, corrected: &str, flag: &str) -> Advice {
    // A text of any other form may mean something to a shell.
    let hint = if corrected.parse::<Reference>().is_ok() {
        format!("write {corrected}{flag}")
    } else {
        "write HOST/REPOSITORY:TAG".to_owned()
    };
    Advice::new(message, hint)
}

/// The text with the repository in lower case, but not the tag.
fn lower_case_repository(text: &str) -> String {
    let Some((host, path)) = text.split_once('/') else {
        return text.to_owned();
    };
    let (repository, rest) = path.split_at(path.find([':', '@']).unwrap_or(path.len()));
    format!("{host}/{}{rest}", repository.to_ascii_lowercase())
}

/// Whether the first part of a reference is a host, as docker decides it.
fn has_host(text: &str) -> bool {
    match text.split_once('/') {
        Some((host, _)) => host.contains(['.', ':']) || host == "localhost",
        None => false,
    }
}

/// A path of Docker Hub, which has the name of a user or an organization.
fn hub_path(text: &str) -> String {
    if text.contains('/') {
        text.to_owned()
    } else {
        format!("NAME/{text}")
    }
}

fn has_tag(text: &str) -> bool {
    let last = text.rsplit('/').next().unwrap_or(text);
    last.contains(':')
}

#[cfg(test)]
mod tests {
    use super::{parse_reference, parse_target};

    #[track_caller]
    fn check(text: &str, words: &[&str]) {
        let error = parse_target(text).unwrap_err();
        let advice: &gateway::advice::Advice = error.downcast_ref().unwrap();
        let message = format!("{error}\n{}", advice.hint);
        for word in words {
            assert!(message.contains(word), "{text}: no {word:?} in {message}");
        }
    }

    #[test]
    fn complete_references() {
        for text in [
            "registry.example.com/x:1",
            "localhost:5000/team/sni-guard:1.2-3_4",
            "localhost/x:V1",
            "oci://docker.io/team/x:1",
        ] {
            assert!(parse_target(text).is_ok(), "{text}");
        }
        let digest = "a".repeat(64);
        for text in [
            "registry.example.com/x",
            "registry.example.com/x@sha256:DIGEST",
        ] {
            let text = text.replace("DIGEST", &digest);
            assert!(parse_reference(&text).is_ok(), "{text}");
        }
    }

    #[test]
    fn corrections_of_references() {
        check("x", &["names no registry", "docker.io/NAME/x"]);
        check("team/x:1", &["names no registry", "docker.io/team/x:1"]);
        check("r.io/x", &["no tag", "r.io/x:"]);
        check("localhost:5000/x", &["no tag", "localhost:5000/x:"]);
        check("https://r.io/x:1", &["https://", "write r.io/x:1"]);
        check("http://r.io/x:1", &["write r.io/x:1 --plain-http"]);
        check("https://r.io/X:V1", &["write r.io/x:V1"]);
        check("https://r.io/$(x):1", &["write HOST/REPOSITORY:TAG"]);
        check(
            "r.io/Team/X:Beta",
            &["lower case", "write r.io/team/x:Beta"],
        );
        check("r.io/x:", &["form HOST/REPOSITORY:TAG"]);
        check("r.io/x y:1", &["form HOST/REPOSITORY:TAG"]);
        check("", &["form HOST/REPOSITORY:TAG"]);
        check(&format!("r.io/x@sha256:{}", "a".repeat(64)), &["digest"]);
    }
}
