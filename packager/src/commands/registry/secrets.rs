//! Removes secrets from texts of servers, which may repeat a request in any encoding.

use std::collections::HashSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::text::{foreign, one_line};

/// A part of a secret with so many octets is removed too: servers cut texts.
const PART: usize = 8;
/// Shorter texts are too frequent by chance, and a secret of one or two characters is none.
const SHORTEST: usize = 4;
/// The largest text that is examined, in octets. Messages show less.
const LONGEST: usize = 8 << 10;
/// What replaces a secret in a message.
const MASK: &str = "<redacted>";
/// What replaces it before that: a private character, of which no part is a secret.
const HOLE: char = '\u{f8ff}';

/// The secrets that were sent, in all encodings.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets {
    /// Parts of the encoded secrets, in lower case, so that the case of hexadecimal digits does not matter.
    parts: HashSet<Vec<u8>>,
    /// The different lengths of the parts.
    lengths: Vec<usize>,
}

impl Secrets {
    pub(super) fn add(&mut self, secret: &str) {
        if secret.is_empty() {
            return;
        }
        for (form, width) in forms(secret) {
            let form = form.to_ascii_lowercase();
            // An encoded part is as long as the encoding makes it.
            let length = form.len().min(PART * width);
            if length < SHORTEST {
                continue;
            }
            for part in form.as_bytes().windows(length) {
                self.parts.insert(part.to_vec());
            }
            if !self.lengths.contains(&length) {
                self.lengths.push(length);
            }
        }
    }

    /// A text of a server as one harmless line of at most 300 characters, without secrets.
    pub(super) fn clean(&self, text: &str) -> String {
        let end = text.floor_char_boundary(LONGEST);
        let text = self.redact(text.get(..end).unwrap_or_default());
        // Joining the words may complete a secret that a line break divided.
        foreign(&self.redact(&one_line(&text)).replace(HOLE, MASK))
    }

    /// A text without secrets, otherwise as it is, for data that is not a message.
    pub(super) fn redacted(&self, text: &str) -> String {
        let once = self.redact(text);
        // A report joins the words of a text, which may complete a secret that a line break divided.
        let joined = one_line(&once);
        let twice = self.redact(&joined);
        let redacted = if twice == joined { once } else { twice };
        redacted.replace(HOLE, MASK)
    }

    fn redact(&self, text: &str) -> String {
        let lower = text.to_ascii_lowercase();
        let mut is_secret = vec![false; text.len()];
        for length in &self.lengths {
            for (start, part) in lower.as_bytes().windows(*length).enumerate() {
                if self.parts.contains(part)
                    && let Some(marks) = is_secret.get_mut(start..start + length)
                {
                    marks.fill(true);
                }
            }
        }

        let mut redacted = String::with_capacity(text.len());
        let mut is_inside = false;
        for (start, letter) in text.char_indices() {
            let marks = is_secret.get(start..start + letter.len_utf8());
            let was_inside = std::mem::replace(
                &mut is_inside,
                marks.is_some_and(|marks| marks.contains(&true)),
            );
            if !is_inside {
                redacted.push(letter);
            } else if !was_inside {
                redacted.push(HOLE);
            }
        }
        redacted
    }
}

/// A secret in every encoding, with the number of characters for one octet.
fn forms(secret: &str) -> Vec<(String, usize)> {
    let mut hex = String::new();
    let mut percent = String::new();
    let mut json = String::new();
    let mut html = String::new();
    for octet in secret.bytes() {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{octet:02x}");
        let _ = write!(percent, "%{octet:02x}");
        let _ = write!(json, "\\u{octet:04x}");
        let _ = write!(html, "&#{octet};");
    }
    let mut forms = vec![
        (secret.to_owned(), 1),
        // Blanks are joined before a text is printed.
        (one_line(secret), 1),
        (hex, 2),
        (percent, 3),
        (json, 6),
        (html, 5),
        (partly_escaped(secret, |octet| format!("%{octet:02x}")), 1),
        (
            partly_escaped(secret, |octet| format!("%{octet:02x}")).replace("%20", "+"),
            1,
        ),
        (partly_escaped(secret, |octet| format!("\\u{octet:04x}")), 1),
        (secret.escape_default().to_string(), 1),
    ];
    // The characters of base64 depend on the position of the secret in the encoded text.
    for before in 0..3 {
        let text = base64_inside(secret, before);
        forms.push((text.replace('+', "-").replace('/', "_"), 1));
        forms.push((text, 1));
    }
    forms
}

/// The secret with every octet escaped that is neither a letter nor a digit, nor safe in a URL.
fn partly_escaped(secret: &str, escape: fn(u8) -> String) -> String {
    secret
        .bytes()
        .map(|octet| match octet {
            b'-' | b'.' | b'_' | b'~' => char::from(octet).to_string(),
            _ if octet.is_ascii_alphanumeric() => char::from(octet).to_string(),
            _ => escape(octet),
        })
        .collect()
}

/// The characters of base64 that only the secret determines, if some octets are before it.
fn base64_inside(secret: &str, before: usize) -> String {
    let mut octets = vec![0; before];
    octets.extend(secret.bytes());
    let encoded = STANDARD_NO_PAD.encode(&octets);
    // Six bits are one character; the first ones and the last one belong to other octets too.
    let start = (before * 8).div_ceil(6);
    let end = octets.len() * 8 / 6;
    encoded.get(start..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    use super::{MASK, Secrets};

    fn secrets(secret: &str) -> Secrets {
        let mut secrets = Secrets::default();
        secrets.add(secret);
        secrets
    }

    #[test]
    fn only_secrets_are_removed() {
        let cleaned = secrets("open sesame").clean("user publisher, password open\n sesame!");
        assert_eq!(cleaned, format!("user publisher, password {MASK}!"));
        assert_eq!(
            secrets("open sesame").clean("open the door"),
            "open the door"
        );
        assert_eq!(Secrets::default().clean("a \u{1b}[2J"), "a \\u{1b}[2J");
        assert_eq!(secrets("").clean("a"), "a");
        // A text must stay readable if the password is a letter.
        assert_eq!(secrets("p").clean("a proxy, cA"), "a proxy, cA");
        // The mask has letters of the secret.
        assert_eq!(secrets("redacted").clean("a redacted b"), "a <redacted> b");
    }

    #[test]
    fn a_secret_that_is_cut_off_is_removed() {
        assert_eq!(
            secrets("0123456789abcdef").clean("x 0123456789"),
            format!("x {MASK}")
        );
    }

    /// How a hostile answer may repeat a request.
    fn encoded(text: &str, form: usize) -> String {
        let each = |escape: fn(u8) -> String| text.bytes().map(escape).collect();
        match form {
            0 => text.to_owned(),
            1 => STANDARD.encode(text),
            2 => URL_SAFE.encode(text),
            3 => each(|octet| format!("{octet:02x}")),
            4 => each(|octet| format!("{octet:02X}")),
            5 => each(|octet| format!("%{octet:02X}")),
            6 => each(|octet| format!("\\u{octet:04x}")),
            7 => each(|octet| format!("&#{octet};")),
            _ => text.replace(' ', "\r\n"),
        }
    }

    proptest! {
        #[test]
        fn no_text_has_a_secret_or_an_escape_octet(
            secret in "[!-~][ -~é]{7,30}[!-~]",
            before in "\\PC{0,40}|[\\x00-\\x1f\\u{80}-\\u{9f}]{0,20}",
            after in "\\PC{0,400}",
            form in 0_usize..9,
        ) {
            let cleaned = secrets(&secret).clean(&format!("{before}{}{after}", encoded(&format!("{before}{secret}{after}"), form)));
            prop_assert!(!cleaned.contains(char::is_control), "{cleaned:?}");
            prop_assert!(cleaned.chars().count() <= 5_000);
            let plain = encoded(&secret, form);
            // Encodings other than base64 do not depend on the position.
            if !(1..=2).contains(&form) {
                let words = super::one_line(&plain);
                prop_assert!(!cleaned.contains(&words), "{words} in {cleaned}");
            }
        }

        #[test]
        fn base64_hides_nothing(secret in "[!-~]{8,30}", before in "[ -~]{0,9}", after in "[ -~]{0,9}") {
            let text = STANDARD.encode(format!("{before}{secret}{after}"));
            let cleaned = secrets(&secret).clean(&text);
            // What is left of the text has less than the secret in it.
            let left: usize = cleaned.replace(MASK, "").len();
            prop_assert!(left <= text.len() - secret.len(), "{text} became {cleaned}");
        }
    }
}
