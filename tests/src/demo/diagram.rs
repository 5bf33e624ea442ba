//! A state as a sequence diagram, in SVG: time goes down, from the client to the filter chains.

use std::fmt::{self, Write as _};

use super::{Answer, Connection, State, class, escape, meaning};

/// The width of a drawing and where its lifelines are, in units of the drawing.
const WIDTH: u32 = 442;
const CLIENT: u32 = 44;
const FIRST_CHAIN: u32 = 264;
const LAST_CHAIN: u32 = 384;
/// Where the head of a lifeline ends.
const HEAD: u32 = 54;

/// The drawing of a state; `id` makes its identifiers unique in the page.
pub(super) fn draw(state: &State, id: usize) -> Result<String, fmt::Error> {
    let mut pen = Pen {
        y: HEAD + 16,
        drawn: String::new(),
    };
    let mut retry = state.reaction.as_deref();
    for (number, connection) in state.connections.iter().enumerate() {
        let chain = state.chain_of(&connection.sni).unwrap_or_default();
        pen.connection(number + 1, connection, place(state, chain))?;
        if let Some(text) = retry.take() {
            pen.note(text)?;
        }
    }
    let height = pen.y;
    let lifelines = lifelines(state, height)?;
    Ok(format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"title-{id} desc-{id}\">\n\
         <title id=\"title-{id}\">{}</title>\n<desc id=\"desc-{id}\">{}</desc>\n{lifelines}{}</svg>\n",
        escape(&format!("Sequence of requests {}", state.title)),
        escape(&description(state)),
        pen.drawn
    ))
}

/// What the drawing shows, in words.
fn description(state: &State) -> String {
    let sentences = state.connections.iter().map(|Connection { sni, answers }| {
        let answers: Vec<String> = answers
            .iter()
            .map(
                |Answer {
                     authority, status, ..
                 }| {
                    format!(
                        "GET https://{authority}/ is answered {status} {}",
                        meaning(*status)
                    )
                },
            )
            .collect();
        format!("On a connection with SNI {sni}: {}.", answers.join("; "))
    });
    sentences.collect::<Vec<_>>().join(" ")
}

/// Where the lifeline of a chain is.
fn place(state: &State, chain: usize) -> u32 {
    match (state.chains.len(), chain) {
        (0 | 1, _) => FIRST_CHAIN.midpoint(LAST_CHAIN),
        (_, 0) => FIRST_CHAIN,
        _ => LAST_CHAIN,
    }
}

fn lifelines(state: &State, height: u32) -> Result<String, fmt::Error> {
    let mut drawn = lifeline(CLIENT, 76, "client", "HTTP/2", true, height)?;
    let width = if state.chains.len() > 1 { 112 } else { 232 };
    for (number, names) in state.chains.iter().enumerate() {
        let asked = state
            .connections
            .iter()
            .any(|to| state.chain_of(&to.sni) == Some(number));
        let x = place(state, number);
        drawn += &lifeline(x, width, "filter chain", &names.join(", "), asked, height)?;
        if !asked {
            let y = height - 12;
            writeln!(
                drawn,
                "<text class=\"idle-note\" x=\"{x}\" y=\"{y}\">never asked</text>"
            )?;
        }
    }
    Ok(drawn)
}

fn lifeline(
    x: u32,
    width: u32,
    role: &str,
    name: &str,
    asked: bool,
    height: u32,
) -> Result<String, fmt::Error> {
    let class = if asked { "party" } else { "party idle" };
    let (left, end, name) = (x - width / 2, height - 26, escape(name));
    let mut drawn = String::new();
    writeln!(
        drawn,
        "<g class=\"{class}\"><line x1=\"{x}\" y1=\"{HEAD}\" x2=\"{x}\" y2=\"{end}\"/>\
         <rect x=\"{left}\" y=\"8\" width=\"{width}\" height=\"46\" rx=\"6\"/>\
         <text class=\"role\" x=\"{x}\" y=\"27\">{role}</text>\
         <text class=\"name\" x=\"{x}\" y=\"44\">{name}</text></g>"
    )?;
    Ok(drawn)
}

/// Draws from the top down.
struct Pen {
    y: u32,
    drawn: String,
}

impl Pen {
    /// A connection to the chain at `x`, with what was asked for on it.
    fn connection(&mut self, number: usize, to: &Connection, x: u32) -> fmt::Result {
        let count = u32::try_from(to.answers.len()).unwrap_or(u32::MAX);
        let (left, top, height) = (CLIENT - 30, self.y, 34 + 58 * count);
        let (width, title) = (x + 30 - left, self.y + 20);
        writeln!(
            self.drawn,
            "<rect class=\"connection\" x=\"{left}\" y=\"{top}\" width=\"{width}\" \
             height=\"{height}\" rx=\"8\"/>\
             <text class=\"title\" x=\"{}\" y=\"{title}\">connection {number}, SNI \
             <tspan class=\"name\">{}</tspan></text>",
            left + 10,
            escape(&to.sni)
        )?;
        self.y += 48;
        for answer in &to.answers {
            self.answer(answer, x)?;
        }
        self.y += 4;
        Ok(())
    }

    /// A request to the right and its answer to the left.
    fn answer(&mut self, answer: &Answer, x: u32) -> fmt::Result {
        let Answer {
            authority,
            status,
            details,
        } = answer;
        let (class, text) = (class(*status), CLIENT + 10);
        let (request, response) = (self.y, self.y + 26);
        writeln!(
            self.drawn,
            "<text class=\"request\" x=\"{text}\" y=\"{}\">GET https://{}/</text>\
             <path class=\"arrow\" d=\"M{CLIENT} {request}H{x}m-7 -4l7 4l-7 4\"/>",
            request - 6,
            escape(authority)
        )?;
        writeln!(
            self.drawn,
            "<g class=\"{class}\"><path class=\"arrow answer\" d=\"M{x} {response}H{CLIENT}\"/>\
             <path class=\"arrow\" d=\"M{} {}l-7 4l7 4\"/>\
             <rect class=\"status\" x=\"{text}\" y=\"{}\" width=\"36\" height=\"18\" rx=\"4\"/>\
             <text class=\"code\" x=\"{}\" y=\"{}\">{status}</text>\
             <text class=\"details\" x=\"{}\" y=\"{}\">{}</text></g>",
            CLIENT + 7,
            response - 4,
            response - 9,
            text + 18,
            response + 4,
            text + 44,
            response - 5,
            escape(details)
        )?;
        self.y += 58;
        Ok(())
    }

    /// A remark between two connections.
    fn note(&mut self, text: &str) -> fmt::Result {
        let (x, y) = (CLIENT - 30, self.y + 2);
        writeln!(
            self.drawn,
            "<text class=\"note\" x=\"{x}\" y=\"{y}\">{}</text>",
            escape(text)
        )?;
        self.y += 18;
        Ok(())
    }
}
