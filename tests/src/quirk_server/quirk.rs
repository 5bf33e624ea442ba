//! The quirks, each from public reports about a vendor, and what the server does for each.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::{Answer, Request, State};
use crate::registry::{PASSWORD, USER};

/// The token that the token service of a quirk gives.
pub const TOKEN: &str = "a-token-that-nobody-else-has";

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is answered with this status, and `Retry-After` where given.
    Status(u16, Option<String>),
    /// The connection ends after so many octets of its body.
    Drop(usize),
    /// The registry gets it, and the client gets no answer.
    Lost,
    /// It takes this long.
    Slow(Duration),
    /// The body of its answer is sent octet by octet, with this pause after each.
    Trickle(Duration),
}

/// The first requests whose request line begins so have a fault.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Such as `PUT /v2/x/manifests/`.
    pub line: &'static str,
    /// What happens to them.
    pub fault: Fault,
    /// How many of them.
    pub times: usize,
}

/// How an answer repeats the request.
#[derive(Clone, Copy, Debug)]
pub enum Encoding {
    Plain,
    Base64,
    Base64Url,
    /// In hexadecimal digits.
    Hex,
    Percent,
    /// As a JSON string, with every character escaped.
    Json,
}

/// One peculiarity.
#[derive(Clone, Debug)]
pub enum Quirk {
    None,
    Fault(Plan),
    /// A tag that exists takes no manifest, not even its own. `lost`: the client does not see the answer
    /// to the first manifest.
    ImmutableTags {
        status: u16,
        lost: bool,
    },
    /// Uploads of more than 10,000 octets take this long.
    SlowUploads(Duration),
    /// Uploads in chunks are refused.
    NoChunks(u16),
    /// Every request needs a token.
    Tokens,
    /// A Bearer challenge, whose token service answers its first requests so.
    TokenService {
        first: Answer,
        times: usize,
    },
    /// The token service exchanges a refresh token, and accepts no password.
    IdentityToken(&'static str),
    /// The first requests for a manifest by tag after the push have this status.
    LateTag {
        status: u16,
        times: usize,
    },
    /// What registries say of tags that do not exist.
    AbsentTag(u16),
    /// `/v2/` and reads are open, writes want a login.
    OpenReads {
        bearer: bool,
    },
    /// A HEAD for a blob is redirected to an object store, which answers 403.
    ObjectStore,
    /// Uploads continue at another host, which answers with a status, or takes them.
    OtherHost(Option<u16>),
    /// A POST is answered with 400, and the request in an encoding.
    Echo(Encoding),
    /// The challenge of `/v2/` has the first scope, and all others the second one. The token service gives the
    /// right token only if the second scope is the first one that it is asked for.
    Scopes {
        greeting: &'static str,
        request: &'static str,
    },
    /// The root of the API redirects to another host, which asks for a login at its own token service.
    RedirectedRoot,
    /// Every request is answered so.
    Always(Answer),
    /// Requests whose request line begins so are answered so.
    Answers(Vec<(String, Answer)>),
    /// It is an HTTP proxy, which answers every request so.
    Proxy(Answer),
}

pub(super) enum Action {
    Forward(Duration),
    ForwardWithoutAnswer,
    ForwardAnd(Box<dyn FnOnce(Vec<u8>) -> Vec<u8>>),
    Answer(Answer),
    DropAfter(usize),
    Trickle(Duration),
}

const FORWARD: Action = Action::Forward(Duration::ZERO);

/// What the server does with a request.
pub(super) fn act(state: &State, request: &Request) -> Action {
    let is_write = ["POST", "PUT", "PATCH"].contains(&request.method.as_str());
    let names_manifest = request.path.contains("/manifests/");
    match &state.quirk {
        Quirk::None => FORWARD,
        Quirk::Fault(plan) => fault(state, request, plan),
        Quirk::ImmutableTags { status, lost } => {
            if request.method != "PUT" || !names_manifest {
                return FORWARD;
            }
            if state.upstream_status(&request.path) == 200 {
                let text = "the tag exists in the repository and is immutable";
                return Action::Answer(Answer::error(*status, "TAG_INVALID", text));
            }
            if *lost && state.is_among_first(1) {
                return Action::ForwardWithoutAnswer;
            }
            FORWARD
        }
        Quirk::SlowUploads(pause) => {
            let length = request.header("content-length").unwrap_or_default();
            if request.method == "PUT" && length.parse().is_ok_and(|length: usize| length > 10_000)
            {
                state.is_among_first(usize::MAX);
                return Action::Forward(*pause);
            }
            FORWARD
        }
        Quirk::NoChunks(status) => {
            if request.method == "PATCH" || request.header("content-range").is_some() {
                state.is_among_first(usize::MAX);
                return Action::Answer(Answer::new(*status, ""));
            }
            FORWARD
        }
        Quirk::Tokens => guarded(state, request, true),
        Quirk::TokenService { first, times } => {
            if request.path.starts_with("/token") && state.is_among_first(*times) {
                return Action::Answer(first.clone());
            }
            guarded(state, request, true)
        }
        Quirk::IdentityToken(wanted) => {
            // The body is not there yet, so the method and the length of the form have to do.
            let is_form = request.method == "POST"
                && request.header("content-type") == Some("application/x-www-form-urlencoded");
            if request.path.starts_with("/token") && !is_form {
                return Action::Answer(Answer::error(401, "UNAUTHORIZED", wanted));
            }
            guarded(state, request, true)
        }
        Quirk::LateTag { status, times } => {
            let reads_tag = ["GET", "HEAD"].contains(&request.method.as_str())
                && names_manifest
                && !request.path.contains("sha256:");
            let exists = reads_tag && state.upstream_status(&request.path) == 200;
            if exists && state.is_among_first(*times) {
                return Action::Answer(Answer::error(*status, "MANIFEST_UNKNOWN", "unknown"));
            }
            FORWARD
        }
        Quirk::AbsentTag(status) => {
            let reads = ["GET", "HEAD"].contains(&request.method.as_str()) && names_manifest;
            if reads && state.upstream_status(&request.path) == 404 {
                return Action::Answer(Answer::error(*status, "DENIED", "denied"));
            }
            FORWARD
        }
        Quirk::OpenReads { bearer } => {
            if is_write || request.path.starts_with("/token") {
                guarded(state, request, *bearer)
            } else {
                FORWARD
            }
        }
        Quirk::ObjectStore => object_store(state, request),
        Quirk::OtherHost(status) => other_host(state, request, *status),
        Quirk::Echo(encoding) => {
            if request.method == "POST" && request.header("authorization").is_some() {
                state.is_among_first(usize::MAX);
                let message = encode(*encoding, &request.text());
                return Action::Answer(Answer::error(400, "UNKNOWN", &message));
            }
            guarded(state, request, false)
        }
        Quirk::Scopes {
            greeting,
            request: wanted,
        } => scopes(state, request, greeting, wanted),
        Quirk::RedirectedRoot => redirected_root(state, request),
        Quirk::Always(answer) | Quirk::Proxy(answer) => Action::Answer(answer.clone()),
        Quirk::Answers(answers) => answers
            .iter()
            .find(|(line, _)| format!("{} HTTP/1.1", request.line()).starts_with(line))
            .map_or(FORWARD, |(_, answer)| Action::Answer(answer.clone())),
    }
}

fn fault(state: &State, request: &Request, plan: &Plan) -> Action {
    // The blank after the path is part of the line.
    let line = format!("{} HTTP/1.1", request.line());
    if !line.starts_with(plan.line) || !state.is_among_first(plan.times) {
        return FORWARD;
    }
    match &plan.fault {
        Fault::Status(status, after) => {
            let answer = Answer::new(*status, "");
            Action::Answer(match after {
                Some(after) => answer.header("retry-after", after.as_str()),
                None => answer,
            })
        }
        Fault::Drop(octets) => Action::DropAfter(*octets),
        Fault::Lost => Action::ForwardWithoutAnswer,
        Fault::Slow(time) => Action::Forward(*time),
        Fault::Trickle(pause) => Action::Trickle(*pause),
    }
}

/// Forwards requests with the token or the password, and asks others to log in.
fn guarded(state: &State, request: &Request, bearer: bool) -> Action {
    let basic = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    let sent = request.header("authorization");
    if request.path.starts_with("/token") {
        if request.method == "GET" && sent != Some(&basic) {
            return Action::Answer(Answer::error(401, "UNAUTHORIZED", "wrong password"));
        }
        // Azure fills one of the two.
        let body = match &state.quirk {
            Quirk::TokenService { .. } => serde_json::json!({ "token": "", "access_token": TOKEN }),
            _ => serde_json::json!({ "token": TOKEN }),
        };
        return Action::Answer(Answer::new(200, body.to_string()));
    }
    if sent == Some(&format!("Bearer {TOKEN}")) || (!bearer && sent == Some(&basic)) {
        return FORWARD;
    }
    let challenge = if bearer {
        format!(
            r#"Bearer realm="http://localhost:{}/token",service="quirks""#,
            state.port
        )
    } else {
        r#"Basic realm="https://registry.example.com/""#.to_owned()
    };
    let answer = Answer::error(401, "UNAUTHORIZED", "authentication required");
    Action::Answer(answer.header("www-authenticate", challenge))
}

/// Redirects HEAD for a blob to an object store, which refuses it.
fn object_store(state: &State, request: &Request) -> Action {
    if request.path.starts_with("/store") {
        state.is_among_first(usize::MAX);
        return Action::Answer(Answer::new(403, "<Error>SignatureDoesNotMatch</Error>"));
    }
    if request.method == "HEAD" && request.path.contains("/blobs/") {
        let store = format!("http://127.0.0.1:{}/store", state.port);
        return Action::Answer(Answer::new(307, "").header("location", store));
    }
    FORWARD
}

/// Gives the token only for the scope of the request that failed.
fn scopes(state: &State, request: &Request, greeting: &str, wanted: &str) -> Action {
    // The form of an identity token is not there yet.
    if request.line() == "POST /token" {
        let body = serde_json::json!({ "access_token": TOKEN }).to_string();
        return Action::Answer(Answer::new(200, body));
    }
    if let Some((_, query)) = request.path.split_once("/token?") {
        let first = query
            .split('&')
            .find_map(|part| part.strip_prefix("scope="))
            .unwrap_or_default();
        let is_right = first
            == wanted
                .replace(':', "%3A")
                .replace('/', "%2F")
                .replace(',', "%2C");
        let token = if is_right { TOKEN } else { "another-token" };
        return Action::Answer(Answer::new(
            200,
            serde_json::json!({ "token": token }).to_string(),
        ));
    }
    let is_root = request.path == "/v2/";
    match request.header("authorization") {
        Some(sent) if is_root || sent == format!("Bearer {TOKEN}") => FORWARD,
        _ => {
            let scope = if is_root { greeting } else { wanted };
            let challenge = format!(
                r#"Bearer realm="http://localhost:{}/token",service="quirks",scope="{scope}""#,
                state.port
            );
            let answer = Answer::error(401, "UNAUTHORIZED", "insufficient scope");
            Action::Answer(answer.header("www-authenticate", challenge))
        }
    }
}

/// Redirects the root of the API to 127.0.0.1, whose challenge names a token service there.
fn redirected_root(state: &State, request: &Request) -> Action {
    let host = format!("127.0.0.1:{}", state.port);
    if request.header("host") != Some(&host) {
        if request.path == "/v2/" {
            let location = format!("http://{host}/v2/");
            return Action::Answer(Answer::new(307, "").header("location", location));
        }
        return FORWARD;
    }
    state.is_among_first(usize::MAX);
    let challenge = format!(r#"Bearer realm="http://{host}/token",service="evil""#);
    Action::Answer(
        Answer::error(401, "UNAUTHORIZED", "log in").header("www-authenticate", challenge),
    )
}

/// Sends clients to 127.0.0.1 for an upload that began at localhost.
fn other_host(state: &State, request: &Request, status: Option<u16>) -> Action {
    let is_other = request
        .header("host")
        .is_some_and(|host| host.starts_with("127."));
    if is_other {
        state.is_among_first(usize::MAX);
        return match status {
            Some(status) => Action::Answer(Answer::new(status, "<html>no</html>")),
            None => FORWARD,
        };
    }
    if request.method != "POST" {
        return guarded(state, request, false);
    }
    match guarded(state, request, false) {
        Action::Forward(_) => {
            let (from, to) = (
                format!("localhost:{}", state.port),
                format!("127.0.0.1:{}", state.port),
            );
            Action::ForwardAnd(Box::new(move |answer| {
                String::from_utf8_lossy(&answer)
                    .replace(&from, &to)
                    .into_bytes()
            }))
        }
        other => other,
    }
}

/// A text in an encoding.
#[must_use]
pub fn encode(encoding: Encoding, text: &str) -> String {
    let each = |escape: fn(u8) -> String| text.bytes().map(escape).collect();
    match encoding {
        Encoding::Plain => text.to_owned(),
        Encoding::Base64 => STANDARD.encode(text),
        Encoding::Base64Url => URL_SAFE_NO_PAD.encode(text),
        Encoding::Hex => each(|octet| format!("{octet:02X}")),
        Encoding::Percent => each(|octet| format!("%{octet:02x}")),
        Encoding::Json => each(|octet| format!("\\u{octet:04x}")),
    }
}
