//! The page. It loads nothing from other hosts, and has all results of the diagram in a table too.

use std::fmt::{self, Write as _};

use super::diagram::draw;
use super::{Answer, Connection, Demo, State, class, escape, meaning};

const STYLE: &str = include_str!("page.css");

/// The page of a demonstration.
///
/// # Errors
/// None: writing to a text does not fail.
pub fn page(demo: &Demo) -> Result<String, fmt::Error> {
    let Demo {
        envoy,
        image,
        states,
    } = demo;
    let hosts = states
        .first()
        .map(|state| state.chains.concat().join(" and "));
    let (mut figures, mut rows, mut counters) = (String::new(), String::new(), String::new());
    for (id, state) in states.iter().enumerate() {
        write_figure(&mut figures, state, id)?;
        write_rows(&mut rows, state)?;
        write_counters(&mut counters, state)?;
    }
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>sni-guard: one connection, two hosts</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<header>\n<h1>One connection, two hosts</h1>\n\
         <p>Two TLS servers, {}, and one certificate for both. A client has one connection, \
         and asks Envoy {} for both.</p>\n</header>\n\
         <main>\n<section class=\"states\" aria-label=\"The states of the gateway\">\n{figures}\
         </section>\n<section>\n<h2>Every request</h2>\n<div class=\"wide\"><table>\n\
         <thead><tr><th scope=\"col\">Gateway</th><th scope=\"col\">SNI of the connection</th>\
         <th scope=\"col\">Authority of the request</th><th scope=\"col\">Answer</th>\
         <th scope=\"col\">Why, says Envoy's access log</th></tr></thead>\n{rows}</table></div>\n\
         </section>\n<section>\n<h2>Envoy's counters</h2>\n<div class=\"wide\"><table>\n\
         <thead><tr><th scope=\"col\">Gateway</th><th scope=\"col\">Counter</th>\
         <th scope=\"col\">Value</th></tr></thead>\n{counters}</table></div>\n</section>\n</main>\n\
         <footer><p>Written by <code>make demo</code>. The filter: <code>{}</code></p></footer>\n\
         </body>\n</html>\n",
        escape(&hosts.unwrap_or_default()),
        escape(envoy),
        escape(image),
    ))
}

fn write_figure(page: &mut String, state: &State, id: usize) -> fmt::Result {
    let worst = state
        .answers()
        .map(|(_, answer)| answer.status)
        .find(|status| *status != 200);
    writeln!(
        page,
        "<figure class=\"{}\">\n<h2>{}</h2>\n{}<figcaption>{}</figcaption>\n</figure>",
        class(worst.unwrap_or(200)),
        escape(&capitalised(&state.title)),
        draw(state, id)?,
        escape(&state.outcome)
    )
}

/// A group of rows for the state, its title in the first.
fn write_rows(page: &mut String, state: &State) -> fmt::Result {
    writeln!(page, "<tbody>")?;
    let mut head = head(state, state.answers().count());
    for (
        Connection { sni, .. },
        Answer {
            authority,
            status,
            details,
        },
    ) in state.answers()
    {
        writeln!(
            page,
            "<tr>{}<td><code>{}</code></td><td><code>{}</code></td>\
             <td><strong class=\"{}\">{status}</strong> {}</td><td><code>{}</code></td></tr>",
            std::mem::take(&mut head),
            escape(sni),
            escape(authority),
            class(*status),
            meaning(*status),
            escape(details)
        )?;
    }
    writeln!(page, "</tbody>")
}

fn write_counters(page: &mut String, state: &State) -> fmt::Result {
    writeln!(page, "<tbody>")?;
    let mut head = head(state, state.counters.len());
    for (name, value) in &state.counters {
        let head = std::mem::take(&mut head);
        let name = escape(name);
        writeln!(
            page,
            "<tr>{head}<td><code>{name}</code></td><td class=\"number\">{value}</td></tr>"
        )?;
    }
    writeln!(page, "</tbody>")
}

/// The cell that names a state beside so many rows.
fn head(state: &State, rows: usize) -> String {
    format!(
        "<th scope=\"rowgroup\" rowspan=\"{rows}\">{}</th>",
        escape(&capitalised(&state.title))
    )
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let Some(first) = letters.next() else {
        return String::new();
    };
    format!("{}{}", first.to_uppercase(), letters.as_str())
}
