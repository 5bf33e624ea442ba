//! Challenges, the values of `WWW-Authenticate` (RFC 9110 §11.6.1).

use std::iter::Peekable;
use std::str::Chars;

/// How a server asks clients to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    /// A token of a token service (distribution `docs/spec/auth/token.md`).
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

/// One scheme with its parameters. Names are in lower case.
#[derive(Debug, Default)]
struct Scheme {
    name: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The first challenge with a scheme that registries use, as go-containerregistry selects it
    /// (`pkg/v1/remote/transport/ping.go`, `pickFromMultipleChallenges`).
    pub(super) fn find(values: &[String]) -> Option<Self> {
        values
            .iter()
            .flat_map(|value| schemes(value))
            .find_map(|scheme| Self::from_scheme(&scheme))
    }

    fn from_scheme(scheme: &Scheme) -> Option<Self> {
        match scheme.name.as_str() {
            "basic" => Some(Self::Basic),
            "bearer" => Some(Self::Bearer {
                realm: scheme.parameter("realm")?,
                service: scheme.parameter("service"),
                scope: scheme.parameter("scope"),
            }),
            _ => None,
        }
    }
}

/// The names of the schemes in challenges, in lower case.
pub(super) fn scheme_names(values: &[String]) -> Vec<String> {
    values
        .iter()
        .flat_map(|value| schemes(value))
        .map(|scheme| scheme.name)
        .collect()
}

impl Scheme {
    fn parameter(&self, name: &str) -> Option<String> {
        self.parameters
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    }
}

/// The schemes of a header. A comma separates both parameters and schemes, so a word is a scheme if no `=`
/// follows it.
fn schemes(header: &str) -> Vec<Scheme> {
    let mut schemes: Vec<Scheme> = Vec::new();
    let mut rest = header.chars().peekable();
    loop {
        while rest.next_if(|c| *c == ',' || c.is_whitespace()).is_some() {}
        let name = word(&mut rest);
        if name.is_empty() {
            return schemes;
        }
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        if rest.next_if_eq(&'=').is_some() {
            while rest.next_if(|c| c.is_whitespace()).is_some() {}
            let value = value(&mut rest);
            if let Some(scheme) = schemes.last_mut() {
                scheme.parameters.push((name, value));
            }
        } else {
            schemes.push(Scheme {
                name,
                parameters: Vec::new(),
            });
        }
    }
}

fn word(rest: &mut Peekable<Chars<'_>>) -> String {
    let mut word = String::new();
    while let Some(c) = rest.next_if(|c| !c.is_whitespace() && !",=\"".contains(*c)) {
        word.push(c.to_ascii_lowercase());
    }
    word
}

/// A parameter's value, quoted or not.
fn value(rest: &mut Peekable<Chars<'_>>) -> String {
    let mut value = String::new();
    if rest.next_if_eq(&'"').is_none() {
        while let Some(c) = rest.next_if(|c| !c.is_whitespace() && *c != ',') {
            value.push(c);
        }
        return value;
    }
    while let Some(c) = rest.next() {
        match c {
            '"' => break,
            '\\' => value.extend(rest.next()),
            other => value.push(other),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::Challenge;

    #[track_caller]
    fn check(header: &str, expected: Option<&Challenge>) {
        let found = Challenge::find(&[header.to_owned()]);
        assert_eq!(found.as_ref(), expected, "{header}");
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        }
    }

    #[test]
    fn challenges_of_registries() {
        check(r#"Basic realm="x""#, Some(&Challenge::Basic));
        check("basic", Some(&Challenge::Basic));
        check(
            r#"Bearer realm="https://a/t",service="s, \"t\"",scope="repository:x:pull,push""#,
            Some(&bearer(
                "https://a/t",
                Some("s, \"t\""),
                Some("repository:x:pull,push"),
            )),
        );
        check(
            "BEARER realm=https://a/t",
            Some(&bearer("https://a/t", None, None)),
        );
        check(
            r#"Negotiate, Bearer service = "s", realm="r", Basic realm="x""#,
            Some(&bearer("r", Some("s"), None)),
        );
        check(
            r#"Negotiate abc==, Basic realm="x""#,
            Some(&Challenge::Basic),
        );
    }

    #[test]
    fn values_that_are_no_challenge() {
        for header in [
            "",
            ",",
            "Bearer",
            "Bearer service=\"s\"",
            "=\"",
            "Negotiate",
            "realm=\"x",
        ] {
            check(header, None);
        }
    }
}
