//! Text search as BigchainDB 2.x does it: MongoDB's `$text` over a `{"$**": "text"}` index.
//!
//! All strings of a document are text, at any depth; keys are not. A document matches when
//! it has one of the words asked for, all of the quoted phrases, and nothing that was asked
//! for with a minus. A document (or a part of one) whose key `language` names a language is
//! split into words by that language's rules; what is asked for is English.

use std::collections::{BTreeMap, BTreeSet};

use cairn_ledger::json::Value;

use super::words::{Language, fold, words};

/// So many different words count; a text that asks for more is no question.
const WORDS_MAX: usize = 256;

/// A word that is the whole text counts more.
const WHOLE: f64 = 1.1;

/// What is looked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Wanted {
    /// One of these words.
    pub(super) words: BTreeSet<String>,
    /// Each of these, within one string.
    pub(super) phrases: Vec<String>,
    /// None of these words.
    pub(super) not_words: BTreeSet<String>,
    /// None of these.
    pub(super) not_phrases: Vec<String>,
}

/// A piece of what is asked: words without delimiter, or a quote or minus.
enum Piece<'t> {
    Text(&'t str),
    Quote,
    Minus,
}

/// White space between pieces. Tabs part words, but no minus from the word before it.
fn is_space(c: char) -> bool {
    matches!(c, '\n' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

/// Cuts what is asked into pieces: where each begins, and whether space is before it.
fn pieces(text: &str) -> Vec<(usize, bool, Piece<'_>)> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut after_space = true;
    while let Some(next) = text[at..].chars().next() {
        if is_space(next) {
            at += next.len_utf8();
            after_space = true;
            continue;
        }
        let rest = &text[at..];
        let (piece, length) = match next {
            '"' => (Piece::Quote, 1),
            '-' => (Piece::Minus, 1),
            _ => {
                let ends = |c: char| is_space(c) || matches!(c, '"' | '-');
                let length = rest.find(ends).unwrap_or(rest.len());
                (Piece::Text(&rest[..length]), length)
            }
        };
        found.push((at, after_space, piece));
        after_space = false;
        at += length;
    }
    found
}

impl Wanted {
    /// Reads what is asked for. Every text is a question; some ask for nothing.
    pub(super) fn read(text: &str) -> Self {
        let mut wanted = Self::default();
        // Where a phrase began.
        let mut phrase: Option<usize> = None;
        let mut minus = false;
        for (at, after_space, piece) in pieces(text) {
            match (piece, phrase) {
                // A minus holds until the next space: `-a-b` is without both.
                (Piece::Minus, None) => minus = minus || after_space,
                (Piece::Minus, Some(_)) => {}
                (Piece::Quote, None) => {
                    minus = minus && !after_space;
                    phrase = Some(at + 1);
                }
                (Piece::Quote, Some(begin)) => {
                    let folded = fold(&text[begin..at], Language::English);
                    let phrases = if minus { &mut wanted.not_phrases } else { &mut wanted.phrases };
                    phrases.push(folded);
                    phrase = None;
                }
                (Piece::Text(_), Some(_)) if minus => {}
                (Piece::Text(piece), _) => {
                    minus = minus && !after_space;
                    let list = if minus { &mut wanted.not_words } else { &mut wanted.words };
                    let room = WORDS_MAX.saturating_sub(list.len());
                    list.extend(words(piece, Language::English).take(room));
                }
            }
        }
        wanted
    }

    /// How well a document answers; nothing when it does not. `id` is text, too.
    pub(super) fn score(&self, value: &Value<'_>, id: &str) -> Option<f64> {
        let mut strings = Vec::new();
        collect(value, Language::English, &mut strings);
        strings.push((id, Language::English));
        let mut scores: BTreeMap<&str, f64> = BTreeMap::new();
        for (text, language) in &strings {
            if !self.score_string(text, *language, &mut scores) {
                return None;
            }
        }
        if scores.is_empty() {
            return None;
        }
        if !self.phrases.is_empty() || !self.not_phrases.is_empty() {
            let folded: Vec<_> =
                strings.iter().map(|(text, language)| fold(text, *language)).collect();
            let has = |phrase: &String| folded.iter().any(|text| text.contains(&**phrase));
            if !self.phrases.iter().all(has) || self.not_phrases.iter().any(has) {
                return None;
            }
        }
        Some(scores.values().sum())
    }

    /// Adds what one string scores; whether it has none of the words that must not be.
    fn score_string<'w>(
        &'w self,
        text: &str,
        language: Language,
        scores: &mut BTreeMap<&'w str, f64>,
    ) -> bool {
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        let mut total = 0_u32;
        for word in words(text, language) {
            if self.not_words.contains(&word) {
                return false;
            }
            total += 1;
            if let Some(word) = self.words.get(&word) {
                *counts.entry(word).or_default() += 1;
            }
        }
        for (word, count) in counts {
            // The second time it counts half, the third a quarter, and so on.
            let frequency = 2.0 - 0.5_f64.powi(i32::try_from(count - 1).unwrap_or(i32::MAX));
            let share = 0.5 * f64::from(count) / f64::from(total) + 0.5;
            let whole = if text.eq_ignore_ascii_case(word) { WHOLE } else { 1.0 };
            *scores.entry(word).or_default() += frequency * share * whole;
        }
        true
    }
}

/// All strings of a value, each with its language.
pub(super) fn collect<'v>(
    value: &'v Value<'_>,
    language: Language,
    found: &mut Vec<(&'v str, Language)>,
) {
    match value {
        Value::String(text) => found.push((text, language)),
        Value::Array(elements) => {
            elements.iter().for_each(|element| collect(element, language, found));
        }
        Value::Object(members) => {
            let named = value.get("language").and_then(Value::as_str).and_then(Language::named);
            let language = named.unwrap_or(language);
            // The name of the language is not text.
            let members = members.iter().filter(|(key, _)| key != "language");
            members.for_each(|(_, member)| collect(member, language, found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use cairn_ledger::json::{self, Strictness};
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "4957744b3ac54434b8270f2c854cc1040228c82ea4e72d66d2887a4d3e30b317";

    fn score(document: &str, text: &str) -> Option<f64> {
        let value = json::parse(document.as_bytes(), Strictness::Strict).unwrap();
        Wanted::read(text).score(&value, ID)
    }

    #[test]
    fn documents_match_as_upstream_matches_them() {
        let coffee = r#"{"subject":"Coffee Shopping","tags":["Efe","créme and sugar"],"n":7}"#;
        let bake = r#"{"a":{"b":[["Baking a cake"]]},"cafe con leche":"x"}"#;
        let german = r#"{"language":"de","text":"der Häuser","english":{"language":"en","text":"the houses"}}"#;
        #[rustfmt::skip]
        let table = [
            (coffee, "coffee",               true,  "a word"),
            (coffee, "COFFEE",               true,  "whatever its case"),
            (coffee, "creme",                true,  "whatever its diacritics"),
            (coffee, "crémé",                true,  "on either side"),
            (coffee, "shops",                true,  "whatever its ending"),
            (coffee, "coff",                 false, "but not a part of it"),
            (coffee, "tea coffee",           true,  "one of several will do"),
            (coffee, "subject",              false, "keys are not text"),
            (coffee, "7",                    false, "nor are numbers"),
            (coffee, "and the",              false, "stop words find nothing"),
            (coffee, "",                     false, "nothing finds nothing"),
            (coffee, "\"coffee shop\"",      true,  "a phrase is a piece of text"),
            (coffee, "\"shopping coffee\"",  false, "in its order"),
            (coffee, "\"efe creme\"",        false, "within one string"),
            (coffee, "\"CRÉME  and\"",       false, "space by space"),
            (coffee, "\"CRÉME and\"",        true,  "without case and diacritics"),
            (coffee, "\"and\"",              false, "a phrase of stop words finds nothing by itself"),
            (coffee, "\"coffee\" \"sugar\"", true,  "all phrases"),
            (coffee, "\"coffee\" \"salt\"",  false, "not only one of them"),
            (coffee, "tea \"sugar\"",        true,  "words beside a phrase need not be there"),
            (coffee, "\"coffee",             true,  "a phrase without end is words"),
            (coffee, "coffee -sugar",        false, "without a word"),
            (coffee, "coffee -tea",          true,  "that is not there"),
            (coffee, "-tea",                 false, "only without finds nothing"),
            (coffee, "coffee -tea-sugar",    false, "a minus holds until the next space"),
            (coffee, "coffee - sugar",       true,  "a minus alone means nothing"),
            (coffee, "coffee-sugar",         true,  "within a word it parts words"),
            (coffee, "coffee -\"and sugar\"", false, "without a phrase"),
            (coffee, "coffee -\"sugar and\"", true,  "that is not there"),
            (coffee, "sugar -\"and tea\"-\"coffee\"", false, "several phrases after one minus"),
            (coffee, "\"coffee -shopping\"", false, "no minus within a phrase"),
            (coffee, ID,                     true,  "the id is text"),
            (bake,   "cakes",                true,  "at any depth"),
            (bake,   "leche",                false, "keys with spaces are keys"),
            (german, "haus",                 true,  "words by the rules of their language"),
            (german, "der",                  false, "which has stop words of its own"),
            (german, "houses",               true,  "which ends where another begins"),
            (german, "de",                   false, "and whose name is not text"),
        ];
        for (document, text, matches, why) in table {
            assert_eq!(score(document, text).is_some(), matches, "{text}: {why}");
        }
    }

    #[test]
    fn scores_are_those_of_upstream() {
        #[rustfmt::skip]
        let table = [
            (r#"{"a":"coffee"}"#,               "coffee",     1.0,         "its stem is not the whole text"),
            (r#"{"a":"cake"}"#,                 "cakes",      1.1,         "its stem is"),
            (r#"{"a":"coffee shop"}"#,          "coffee",     0.75,        "half of the text"),
            (r#"{"a":"shops"}"#,                "shop",       1.0,         "the stem is not the whole text"),
            (r#"{"a":"coffee and cake"}"#,      "coffee",     0.75,        "stop words are not counted"),
            (r#"{"a":"tea tea cake"}"#,         "tea",        1.5 * (0.5 * 2.0 / 3.0 + 0.5), "the second counts half"),
            (r#"{"a":"coffee tea"}"#,           "coffee tea", 1.5,         "words add up"),
            (r#"{"a":"cake","b":"my cake"}"#,   "cake",       2.1,         "strings add up"),
        ];
        for (document, text, expected, why) in table {
            let found = score(document, text).unwrap();
            assert!((found - expected).abs() < 1e-12, "{document} {text}: {found}, {why}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_question(text in "\\PC{0,80}", near in "[a-c \t\"-]{0,40}") {
            let value = Value::String("a b c \"-".into());
            for text in [text, near] {
                let _ = Wanted::read(&text).score(&value, ID);
            }
        }
    }
}
