//! What `make demo` saw on a gateway in one state after the other, as text and as a page.

mod diagram;
mod page;

pub use page::page;

use std::io::{self, Write};

/// All that was seen.
#[derive(Clone, Debug)]
pub struct Demo {
    /// The version of Envoy.
    pub envoy: String,
    /// The image of the filter, with its digest.
    pub image: String,
    pub states: Vec<State>,
}

/// A gateway and what it answered.
#[derive(Clone, Debug)]
pub struct State {
    /// What is special about it.
    pub title: String,
    /// What it comes to for users.
    pub outcome: String,
    /// What a client does after the first answer that is not 200.
    pub reaction: Option<String>,
    /// Its filter chains, each with the SNIs that it is for.
    pub chains: Vec<Vec<String>>,
    /// The connections, in order.
    pub connections: Vec<Connection>,
    /// Envoy's own counters after all of that.
    pub counters: Vec<(String, u64)>,
}

/// A TLS connection and what was asked for on it.
#[derive(Clone, Debug)]
pub struct Connection {
    pub sni: String,
    /// The answers, in order.
    pub answers: Vec<Answer>,
}

/// An answer to `GET /`.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The authority that was asked for.
    pub authority: String,
    pub status: u16,
    /// Why, in the words of Envoy's access log (`%RESPONSE_CODE_DETAILS%`).
    pub details: String,
}

impl Demo {
    /// Writes the states as text.
    ///
    /// # Errors
    /// The sink takes no more.
    pub fn write_text(&self, sink: &mut impl Write) -> io::Result<()> {
        for State {
            title, connections, ..
        } in &self.states
        {
            writeln!(sink, "  {title}")?;
            for Connection { sni, answers } in connections {
                writeln!(sink, "    connection with SNI {sni}")?;
                for Answer {
                    authority, status, ..
                } in answers
                {
                    writeln!(sink, "      GET https://{authority}/  {status}")?;
                }
            }
            writeln!(sink)?;
        }
        Ok(())
    }
}

impl State {
    /// The place among the chains of the one that Envoy chooses for an SNI.
    fn chain_of(&self, sni: &str) -> Option<usize> {
        self.chains
            .iter()
            .position(|names| names.iter().any(|name| name == sni))
    }

    fn answers(&self) -> impl Iterator<Item = (&Connection, &Answer)> {
        self.connections.iter().flat_map(|connection| {
            connection
                .answers
                .iter()
                .map(move |answer| (connection, answer))
        })
    }
}

/// A status in words, for readers who do not see the colour.
fn meaning(status: u16) -> &'static str {
    match status {
        200 => "OK",
        404 => "Not Found",
        421 => "Misdirected Request",
        _ => "unexpected",
    }
}

/// How a status is shown: the name of a class.
fn class(status: u16) -> &'static str {
    match status {
        200 => "good",
        421 => "again",
        _ => "bad",
    }
}

/// The text as HTML and SVG have it.
fn escape(text: &str) -> String {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "</title></style><script>alert('1')</script>\"&";

    /// A state with one connection, whose SNI is also the first authority.
    fn state(title: &str, sni: &str, chains: &[&[&str]], answers: &[(&str, u16, &str)]) -> State {
        let answers = answers.iter().map(|(authority, status, details)| Answer {
            authority: (*authority).into(),
            status: *status,
            details: (*details).into(),
        });
        State {
            title: title.into(),
            outcome: format!("what {title} comes to"),
            reaction: None,
            chains: chains
                .iter()
                .map(|c| c.iter().map(ToString::to_string).collect())
                .collect(),
            connections: vec![Connection {
                sni: sni.into(),
                answers: answers.collect(),
            }],
            counters: vec![("http.x.downstream_cx_total".into(), 1)],
        }
    }

    fn demo(states: Vec<State>) -> Demo {
        Demo {
            envoy: "1.2.3".into(),
            image: "registry.example.com/x@sha256:0".into(),
            states,
        }
    }

    /// The parts of a text between two others.
    fn between<'t>(text: &'t str, start: &str, end: &str) -> Vec<&'t str> {
        text.split(start)
            .skip(1)
            .map(|rest| rest.split(end).next().unwrap())
            .collect()
    }

    fn two_states() -> Demo {
        let answers = [
            ("a.test", 200, "direct_response"),
            ("b.test", 404, "route_not_found"),
        ];
        demo(vec![
            state("apart", "a.test", &[&["a.test"], &["b.test"]], &answers),
            state("as one", "a.test", &[&["a.test", "b.test"]], &answers[..1]),
        ])
    }

    #[test]
    fn text_and_page_tell_the_same() {
        let demo = two_states();
        let mut text = Vec::new();
        demo.write_text(&mut text).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "  apart\n    connection with SNI a.test\n      GET https://a.test/  200\n      \
             GET https://b.test/  404\n\n  as one\n    connection with SNI a.test\n      \
             GET https://a.test/  200\n\n"
        );
        let page = page(&demo).unwrap();
        assert_eq!(
            between(&page, "<desc", "</desc>"),
            [
                " id=\"desc-0\">On a connection with SNI a.test: GET https://a.test/ is answered \
                 200 OK; GET https://b.test/ is answered 404 Not Found.",
                " id=\"desc-1\">On a connection with SNI a.test: GET https://a.test/ is answered \
                 200 OK.",
            ]
        );
        let row = "<td><code>a.test</code></td><td><code>b.test</code></td><td>\
                   <strong class=\"bad\">404</strong> Not Found</td>\
                   <td><code>route_not_found</code></td>";
        assert!(page.contains(row), "{page}");
        assert_eq!(between(&page, "class=\"code\"", "</text>").len(), 3);
        assert_eq!(between(&page, "<figure class=\"", "\""), ["bad", "good"]);
        // Of the first state's chains the second, and of the other state none.
        assert_eq!(between(&page, "never asked", "<").len(), 1);
    }

    #[test]
    fn nothing_in_the_page_is_from_elsewhere() {
        let page = page(&two_states()).unwrap();
        for reference in ["src=", "href=", "url(", "@import", "<script", "<link"] {
            assert!(!page.contains(reference), "{reference}");
        }
    }

    /// A page in which every name is this one.
    fn named(name: &str) -> String {
        let mut state = state(name, name, &[&[name]], &[(name, 200, name)]);
        state.reaction = Some(name.into());
        state.counters = vec![(name.into(), 1)];
        page(&Demo {
            envoy: name.into(),
            image: name.into(),
            states: vec![state],
        })
        .unwrap()
    }

    #[test]
    fn no_name_becomes_markup() {
        let (page, harmless) = (named(HOSTILE), named("name"));
        assert!(!page.contains("<script"), "{page}");
        for letter in ['<', '>', '"', '\''] {
            let count = |page: &str| page.matches(letter).count();
            assert_eq!(count(&page), count(&harmless), "{letter}");
        }
    }
}
