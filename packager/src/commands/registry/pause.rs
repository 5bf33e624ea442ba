//! The pause that a server asks for before the next request.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};

/// The obsolete forms of a date, which recipients have to accept (RFC 9110 §5.6.7).
const OBSOLETE: [&str; 2] = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// The pause in a value of `Retry-After`, seconds or a date (RFC 9110 §10.2.3). A date in the past is no
/// pause.
pub(super) fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = match DateTime::parse_from_rfc2822(value) {
        Ok(date) => date.to_utc(),
        Err(_) => OBSOLETE
            .iter()
            .find_map(|form| NaiveDateTime::parse_from_str(value, form).ok())?
            .and_utc(),
    };
    Some((date - now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::DateTime;

    use super::retry_after;

    #[test]
    fn seconds_and_dates() {
        let now = DateTime::from_timestamp(784_111_770, 0).unwrap();
        for (value, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(7)),
            ("Sun Nov  6 08:49:37 1994", Some(7)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(retry_after(value, now), expected, "{value:?}");
        }
    }
}
