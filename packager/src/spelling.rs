//! What somebody may have meant who wrote something else.

use strsim::osa_distance;

/// The candidate that is nearest to a word, if it is near: one slip for every three letters, where two
/// letters that changed places are one, and case is none.
#[must_use]
pub(crate) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let word = word.to_lowercase();
    let distance = |candidate: &&str| osa_distance(&word, &candidate.to_lowercase());
    let allowed = word.chars().count().div_ceil(3);
    candidates
        .into_iter()
        .min_by_key(distance)
        .filter(|candidate| distance(candidate) <= allowed)
}

/// The question after words that are none, each with what it may stand for; `None` for no words.
#[must_use]
pub(crate) fn question<'w>(words: impl IntoIterator<Item = (&'w str, &'w str)>) -> Option<String> {
    let pairs = words
        .into_iter()
        .map(|(word, meant)| format!("{meant:?} for {word:?}"));
    let pairs: Vec<String> = pairs.collect();
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
    fn a_slip_is_told_from_another_word() {
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
