//! From text to words, as MongoDB's text index makes them: split, freed of stop words,
//! stemmed, folded. Which language does that is the text's to say.

use std::{borrow::Cow, collections::HashSet, sync::LazyLock};

use rust_stemmers::{Algorithm, Stemmer};
use unicode_normalization::UnicodeNormalization;

/// A longer word is taken as it is: no language has a rule for it.
const STEMMED_BYTES_MAX: usize = 128;

/// How words are made of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Danish,
    Dutch,
    English,
    Finnish,
    French,
    German,
    Hungarian,
    Italian,
    None,
    Norwegian,
    Portuguese,
    Romanian,
    Russian,
    Spanish,
    Swedish,
    Turkish,
}

type StopWords = HashSet<&'static str>;

/// Snowball's lists; it has none for Romanian and Turkish.
macro_rules! stop_words {
    ($name:ident) => {{
        static WORDS: LazyLock<StopWords> = LazyLock::new(|| {
            include_str!(concat!("words/stop/", stringify!($name), ".txt")).lines().collect()
        });
        Some(&WORDS)
    }};
}

impl Language {
    /// The language of that name or two-letter code.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "danish" | "da" => Self::Danish,
            "dutch" | "nl" => Self::Dutch,
            "english" | "en" => Self::English,
            "finnish" | "fi" => Self::Finnish,
            "french" | "fr" => Self::French,
            "german" | "de" => Self::German,
            "hungarian" | "hu" => Self::Hungarian,
            "italian" | "it" => Self::Italian,
            "none" => Self::None,
            "norwegian" | "nb" => Self::Norwegian,
            "portuguese" | "pt" => Self::Portuguese,
            "romanian" | "ro" => Self::Romanian,
            "russian" | "ru" => Self::Russian,
            "spanish" | "es" => Self::Spanish,
            "swedish" | "sv" => Self::Swedish,
            "turkish" | "tr" => Self::Turkish,
            _ => return None,
        })
    }

    fn algorithm(self) -> Option<Algorithm> {
        Some(match self {
            Self::Danish => Algorithm::Danish,
            Self::Dutch => Algorithm::Dutch,
            Self::English => Algorithm::English,
            Self::Finnish => Algorithm::Finnish,
            Self::French => Algorithm::French,
            Self::German => Algorithm::German,
            Self::Hungarian => Algorithm::Hungarian,
            Self::Italian => Algorithm::Italian,
            Self::None => return None,
            Self::Norwegian => Algorithm::Norwegian,
            Self::Portuguese => Algorithm::Portuguese,
            Self::Romanian => Algorithm::Romanian,
            Self::Russian => Algorithm::Russian,
            Self::Spanish => Algorithm::Spanish,
            Self::Swedish => Algorithm::Swedish,
            Self::Turkish => Algorithm::Turkish,
        })
    }

    fn stop_words(self) -> Option<&'static LazyLock<StopWords>> {
        match self {
            Self::Danish => stop_words!(danish),
            Self::Dutch => stop_words!(dutch),
            Self::English => stop_words!(english),
            Self::Finnish => stop_words!(finnish),
            Self::French => stop_words!(french),
            Self::German => stop_words!(german),
            Self::Hungarian => stop_words!(hungarian),
            Self::Italian => stop_words!(italian),
            Self::Norwegian => stop_words!(norwegian),
            Self::Portuguese => stop_words!(portuguese),
            Self::Russian => stop_words!(russian),
            Self::Spanish => stop_words!(spanish),
            Self::Swedish => stop_words!(swedish),
            Self::None | Self::Romanian | Self::Turkish => None,
        }
    }
}

/// The words of a text in their order: delimiters and stop words are gone, what is left is
/// in lower case, stemmed, and without diacritics.
pub(super) fn words(text: &str, language: Language) -> impl Iterator<Item = String> + '_ {
    let stemmer = language.algorithm().map(Stemmer::create);
    let stop_words = language.stop_words();
    let pieces = text.split(move |c| is_delimiter(c, language)).filter(|piece| !piece.is_empty());
    pieces.filter_map(move |piece| {
        let word = lower(piece, language);
        // Stop words are told apart by their diacritics, and so do stems: folding comes last.
        if stop_words.is_some_and(|stop_words| stop_words.contains(&*word)) {
            return None;
        }
        let stemmed = match &stemmer {
            Some(stemmer) if word.len() <= STEMMED_BYTES_MAX => stemmer.stem(&word),
            Some(_) | None => Cow::Borrowed(&*word),
        };
        Some(without_diacritics(&stemmed).into_owned())
    })
}

/// Text as phrases are compared: without case and diacritics.
pub(super) fn fold(text: &str, language: Language) -> String {
    without_diacritics(&lower(text, language)).into_owned()
}

fn lower(text: &str, language: Language) -> Cow<'_, str> {
    if text.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
        return Cow::Borrowed(text);
    }
    let one = |c: char| match (c, language) {
        ('I', Language::Turkish) => 'ı',
        ('İ', Language::Turkish) => 'i',
        // One character each, so that no word grows by being folded.
        _ => c.to_lowercase().next().unwrap_or(c),
    };
    Cow::Owned(text.chars().map(one).collect())
}

fn without_diacritics(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.nfd().filter(|c| !is_diacritic(*c)).nfc().collect())
}

/// Marks that change how a letter sounds and not which letter it is.
#[rustfmt::skip]
fn is_diacritic(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36F}' | '\u{483}'..='\u{487}' | '\u{591}'..='\u{5BD}' | '\u{64B}'..='\u{652}'
        | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20FF}'
        | '\u{3099}'..='\u{309A}' | '\u{FE20}'..='\u{FE2F}')
}

/// Whether a character stands between words: Unicode's white space, dashes, quotation marks,
/// ends of sentences and pattern syntax. English words may have an apostrophe.
#[rustfmt::skip]
fn is_delimiter(c: char, language: Language) -> bool {
    if c.is_ascii() {
        let part = c == '_' || (c == '\'' && language == Language::English);
        return (c.is_ascii_punctuation() && !part) || c.is_whitespace();
    }
    c.is_whitespace() || matches!(c,
        // Pattern syntax.
        '\u{A1}'..='\u{A7}' | '\u{A9}' | '\u{AB}' | '\u{AC}' | '\u{AE}' | '\u{B0}' | '\u{B1}'
        | '\u{B6}' | '\u{BB}' | '\u{BF}' | '\u{D7}' | '\u{F7}' | '\u{2010}'..='\u{2027}'
        | '\u{2030}'..='\u{203E}' | '\u{2041}'..='\u{2053}' | '\u{2055}'..='\u{205E}'
        | '\u{2190}'..='\u{245F}' | '\u{2500}'..='\u{2775}' | '\u{2794}'..='\u{2BFF}'
        | '\u{2E00}'..='\u{2E7F}' | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3020}' | '\u{3030}'
        | '\u{FD3E}' | '\u{FD3F}' | '\u{FE45}' | '\u{FE46}'
        // Dashes, hyphens and quotation marks beyond those.
        | '\u{AD}' | '\u{58A}' | '\u{5BE}' | '\u{1400}' | '\u{1806}' | '\u{207B}' | '\u{208B}'
        | '\u{30A0}' | '\u{30FB}' | '\u{FE31}' | '\u{FE32}' | '\u{FE41}'..='\u{FE44}'
        | '\u{FE58}' | '\u{FE63}' | '\u{FF02}' | '\u{FF07}' | '\u{FF0D}' | '\u{FF62}'
        | '\u{FF63}' | '\u{FF65}'
        // What ends a sentence or a part of one.
        | '\u{37E}' | '\u{387}' | '\u{589}' | '\u{5C3}' | '\u{60C}' | '\u{61B}' | '\u{61F}'
        | '\u{6D4}' | '\u{700}'..='\u{70A}' | '\u{70C}' | '\u{7F8}' | '\u{7F9}'
        | '\u{830}'..='\u{83E}' | '\u{85E}' | '\u{964}' | '\u{965}' | '\u{E5A}' | '\u{E5B}'
        | '\u{F08}' | '\u{F0D}'..='\u{F12}' | '\u{104A}' | '\u{104B}' | '\u{1361}'..='\u{1368}'
        | '\u{166E}' | '\u{16EB}'..='\u{16ED}' | '\u{1735}' | '\u{1736}'
        | '\u{17D4}'..='\u{17D6}' | '\u{17DA}' | '\u{1802}'..='\u{1805}' | '\u{1808}'
        | '\u{1809}' | '\u{1944}' | '\u{1945}' | '\u{1AA8}'..='\u{1AAB}' | '\u{1B5A}'
        | '\u{1B5B}' | '\u{1B5D}'..='\u{1B5F}' | '\u{1C3B}'..='\u{1C3F}' | '\u{1C7E}'
        | '\u{1C7F}' | '\u{A4FE}' | '\u{A4FF}' | '\u{A60D}'..='\u{A60F}'
        | '\u{A6F3}'..='\u{A6F7}' | '\u{A876}' | '\u{A877}' | '\u{A8CE}' | '\u{A8CF}'
        | '\u{A92F}' | '\u{A9C7}'..='\u{A9C9}' | '\u{AA5D}'..='\u{AA5F}' | '\u{AADF}'
        | '\u{AAF0}' | '\u{AAF1}' | '\u{ABEB}' | '\u{FE50}'..='\u{FE52}'
        | '\u{FE54}'..='\u{FE57}' | '\u{FF01}' | '\u{FF0C}' | '\u{FF0E}' | '\u{FF1A}'
        | '\u{FF1B}' | '\u{FF1F}' | '\u{FF61}' | '\u{FF64}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Language; 16] = [
        Language::Danish,
        Language::Dutch,
        Language::English,
        Language::Finnish,
        Language::French,
        Language::German,
        Language::Hungarian,
        Language::Italian,
        Language::None,
        Language::Norwegian,
        Language::Portuguese,
        Language::Romanian,
        Language::Russian,
        Language::Spanish,
        Language::Swedish,
        Language::Turkish,
    ];

    #[test]
    fn words_are_split_stemmed_and_folded() {
        use Language::{English, French, German, None, Turkish};
        #[rustfmt::skip]
        let table = [
            ("Running, runs and RAN!", English,  "run run ran",       "stems, and no stop word"),
            ("don't o'clock",          English,  "o'clock",           "an apostrophe is part of an English word"),
            ("l'eau d'Évian",          French,   "eau evian",   "and no part of others"),
            ("blue-green snake_case",  English,  "blue green snake_cas", "hyphens part words, underscores do not"),
            ("Café CAFE\u{301}",       English,  "cafe cafe",         "composed or not"),
            ("der Häuser",             German,   "haus",              "stop words of its language"),
            ("the Running",            None,     "the running",       "no language has no rules"),
            ("ISPARTA İzmir",          Turkish,  "ıspar izmir", "Turkish has two letters i"),
            ("4957744b3ac5",           English,  "4957744b3ac5",      "digits are letters"),
            ("  \t\u{3000}…—«»",       English,  "",                  "nothing but delimiters"),
            ("",                       English,  "",                  "nothing"),
        ];
        for (text, language, expected, why) in table {
            let found: Vec<_> = words(text, language).collect();
            let expected: Vec<_> = expected.split(' ').filter(|word| !word.is_empty()).collect();
            assert_eq!(found, expected, "{text}: {why}");
        }
    }

    #[test]
    fn a_language_goes_by_its_name_and_code() {
        assert_eq!(Language::named("german"), Language::named("de"));
        assert_eq!(Language::named("nb"), Some(Language::Norwegian));
        assert_eq!(Language::named("German"), None);
        assert_eq!(Language::named("klingon"), None);
    }

    proptest! {
        // The stemmers are not ours, and what they read may be anything.
        #[test]
        fn any_text_has_words_in_every_language(text in "\\PC{0,60}", near in "[a-zıİßéêñöüőіїяёйщ'’ ]{0,60}") {
            for language in ALL {
                let _ = words(&text, language).count();
                let _ = words(&near, language).count();
                let _ = fold(&text, language);
            }
        }
    }
}
