//! Corrections of typing errors.

use strsim::osa_distance;

/// The candidate that is nearest to a word. It may differ by one error for every three letters; two swapped
/// letters are one error, and case does not count.
#[must_use]
pub(crate) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let word = word.to_lowercase();
    // Short words allow one error, so that `of` still finds `off`.
    let allowed = word.chars().count().div_ceil(3);
    candidates
        .into_iter()
        .map(|candidate| (osa_distance(&word, &candidate.to_lowercase()), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= allowed)
        .map(|(_, candidate)| candidate)
}

/// How many names a hint lists.
const MAX_NAMES: usize = 3;

/// The names that are nearest to a wrong one, quoted, the nearest first.
#[must_use]
pub(crate) fn nearest_names(wrong: &str, names: &[String]) -> Vec<String> {
    let wrong = wrong.to_lowercase();
    let allowed = wrong.chars().count().div_ceil(3);
    let mut near: Vec<(usize, &String)> = names
        .iter()
        .map(|name| (osa_distance(&wrong, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .collect();
    near.sort_unstable();
    near.into_iter()
        .take(MAX_NAMES)
        .map(|(_, name)| format!("{name:?}"))
        .collect()
}

/// A question for wrong words, each with its correction; `None` without any.
#[must_use]
pub(crate) fn question<'w>(words: impl IntoIterator<Item = (&'w str, &'w str)>) -> Option<String> {
    let pairs: Vec<String> = words
        .into_iter()
        .map(|(word, correction)| format!("{correction:?} for {word:?}"))
        .collect();
    (!pairs.is_empty()).then(|| format!("did you mean {}?", pairs.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[track_caller]
    fn check(word: &str, expected: Option<&str>) {
        let candidates = ["action", "hosts", "missingSni", "SG101", "SG104", "off"];
        assert_eq!(nearest(word, candidates), expected, "{word}");
    }

    #[test]
    fn a_slip_is_not_another_word() {
        check("acton", Some("action"));
        check("hots", Some("hosts"));
        check("misingSn", Some("missingSni"));
        check("MissingSNI", Some("missingSni"));
        check("missing-sni", Some("missingSni"));
        check("SG110", Some("SG101"));
        check("SG14", Some("SG104"));
        check("of", Some("off"));
        check("on call", None);
        check("servers", None);
        check("", None);
    }
}
