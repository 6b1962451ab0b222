//! Prometheus's text format (0.0.4), as `GET /metrics` answers it. Read strictly: a page that is cut
//! short, or is no such page, is refused with the line, and what is kept of one has a bound.

use std::collections::BTreeMap;

/// Most lines of a page. A validator of the largest federation has some thousand.
const LINES_MAX: usize = 50_000;

/// Most series that are kept of a page.
const SERIES_MAX: usize = 10_000;

/// Most labels of a series.
const LABELS_MAX: usize = 16;

/// Where a page is not one, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub(super) struct Fault {
    line: usize,
    why: &'static str,
}

type Labels = BTreeMap<String, String>;

/// What was wanted of a page.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Page {
    series: BTreeMap<String, BTreeMap<Labels, f64>>,
}

/// Reads all of a page, and keeps the wanted metrics: all series of a histogram by its name.
pub(super) fn read(text: &str, wanted: &[&str]) -> Result<Page, Fault> {
    if text.is_empty() {
        return Err(Fault { line: 1, why: "the page is empty" });
    }
    let mut page = Page::default();
    let mut kept = 0;
    let mut lines = 0;
    for line in text.split_terminator('\n') {
        lines += 1;
        let fail = |why| Fault { line: lines, why };
        if lines > LINES_MAX {
            return Err(fail("more lines than any validator has"));
        }
        let Some((name, labels, value)) = line_of(line).map_err(fail)? else { continue };
        if !wanted.contains(&name) && !wanted.contains(&family(name)) {
            continue;
        }
        kept += 1;
        if kept > SERIES_MAX {
            return Err(fail("more series than any validator has"));
        }
        let before = page.series.entry(name.to_owned()).or_default().insert(labels, value);
        if before.is_some() {
            return Err(fail("the series was there before"));
        }
    }
    if !text.ends_with('\n') {
        return Err(Fault { line: lines, why: "the page ends in the middle of it" });
    }
    Ok(page)
}

impl Page {
    /// The only series of a metric without labels.
    pub(super) fn value(&self, name: &str) -> Option<f64> {
        self.series.get(name)?.get(&Labels::new()).copied().filter(|value| value.is_finite())
    }

    /// All series of a metric, added up.
    pub(super) fn sum(&self, name: &str) -> Option<f64> {
        let sum = self.series.get(name)?.values().sum::<f64>();
        sum.is_finite().then_some(sum)
    }

    /// A metric by one of its labels.
    pub(super) fn by(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut found = BTreeMap::new();
        for (labels, value) in self.series.get(name).into_iter().flatten() {
            if let Some(of) = labels.get(label)
                && value.is_finite()
            {
                *found.entry(of.clone()).or_default() += value;
            }
        }
        found
    }

    /// The series of a metric, whatever labels they have.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = (&Labels, f64)> {
        self.series.get(name).into_iter().flatten().map(|(labels, value)| (labels, *value))
    }
}

/// The value as it is written: also a bucket's bound.
pub(super) fn number(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        // Rust reads more words as numbers than the format has.
        _ if text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) => text.parse().ok(),
        _ => None,
    }
}

/// The histogram that a series belongs to, if it is one's.
fn family(name: &str) -> &str {
    let suffixes = ["_bucket", "_sum", "_count"];
    suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

/// A series and its value; nothing for an empty line or a comment.
fn line_of(line: &str) -> Result<Option<(&str, Labels, f64)>, &'static str> {
    let mut rest = Rest(line);
    rest.skip();
    if rest.0.is_empty() {
        return Ok(None);
    }
    if let Some(comment) = rest.0.strip_prefix('#') {
        return comment_of(comment).map(|()| None);
    }
    let name = rest.word(":").ok_or("no name of a metric begins so")?;
    rest.skip();
    let labels = if rest.take('{') { rest.labels()? } else { Labels::new() };
    let mut words = rest.0.split_ascii_whitespace();
    let value = words.next().and_then(number).ok_or("no number behind the name")?;
    if words.next().is_some_and(|time| time.parse::<i64>().is_err()) || words.next().is_some() {
        return Err("more than a time behind the number");
    }
    Ok(Some((name, labels, value)))
}

/// Comments may say anything, but for those that have a meaning.
fn comment_of(comment: &str) -> Result<(), &'static str> {
    let mut words = comment.split_ascii_whitespace();
    let kind = words.next();
    if !matches!(kind, Some("HELP" | "TYPE")) {
        return Ok(());
    }
    let mut name = Rest(words.next().unwrap_or_default());
    if name.word(":").is_none() || !name.0.is_empty() {
        return Err("HELP and TYPE are of a metric");
    }
    let kinds = ["counter", "gauge", "histogram", "summary", "untyped"];
    match (kind, words.next()) {
        (Some("TYPE"), Some(said)) if kinds.contains(&said) && words.next().is_none() => Ok(()),
        (Some("TYPE"), _) => Err("no such type"),
        _ => Ok(()),
    }
}

/// What is left of a line.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn take(&mut self, wanted: char) -> bool {
        let after = self.0.strip_prefix(wanted);
        self.0 = after.unwrap_or(self.0);
        after.is_some()
    }

    /// A name: letters, digits, `_`, and what else it may have; no digit first.
    fn word(&mut self, also: &str) -> Option<&'a str> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || also.contains(c);
        let end = self.0.find(|c| !fits(c)).unwrap_or(self.0.len());
        let (word, after) = self.0.split_at(end);
        if word.is_empty() || word.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        self.0 = after;
        Some(word)
    }

    /// `name="value"`, commas between, up to the brace that closes.
    fn labels(&mut self) -> Result<Labels, &'static str> {
        let mut labels = Labels::new();
        loop {
            self.skip();
            if self.take('}') {
                return Ok(labels);
            }
            let name = self.word("").ok_or("no name of a label begins so")?;
            self.skip();
            if !self.take('=') {
                return Err("no = behind a label");
            }
            self.skip();
            let value = self.quoted()?;
            if labels.insert(name.to_owned(), value).is_some() {
                return Err("a label twice");
            }
            if labels.len() > LABELS_MAX {
                return Err("more labels than any series has");
            }
            self.skip();
            if !self.take(',') && !self.0.starts_with('}') {
                return Err("no comma between labels");
            }
        }
    }

    fn quoted(&mut self) -> Result<String, &'static str> {
        if !self.take('"') {
            return Err("the value of a label is not quoted");
        }
        let mut value = String::new();
        let mut chars = self.0.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.0 = &self.0[at + 1..];
                    return Ok(value);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, c @ ('\\' | '"'))) => value.push(c),
                    _ => return Err("no such escape"),
                },
                c => value.push(c),
            }
        }
        Err("the value of a label does not end")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WANTED: [&str; 3] = ["cairn_height", "cairn_refused_total", "cairn_seconds"];

    const PAGE: &str = "cairn_height 17\ncairn_refused_total{code=\"\u{fc}ber\"} 12.5\n";

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_wanted_is_kept_and_the_rest_is_only_read() {
        let text = "# HELP cairn_height Height of the last stored block\n\
                    # TYPE cairn_height gauge\n\
                    cairn_height 7\n\n# whatever\n\
                    other{a=\"b\"} NaN 1700000000000\n\
                    cairn_refused_total{code=\"A\"} 2\n\
                    cairn_refused_total { code = \"B\\n\\\"\\\\\" , } 3e0\n\
                    cairn_seconds_bucket{le=\"+Inf\"} 4\n\
                    cairn_seconds_sum 0.5\ncairn_seconds_count 4\n";
        let page = read(text, &WANTED).unwrap();
        assert_eq!(page.value("cairn_height"), Some(7.0));
        assert_eq!(page.sum("cairn_refused_total"), Some(5.0));
        let by = page.by("cairn_refused_total", "code");
        assert_eq!(by, [("A".to_owned(), 2.0), ("B\n\"\\".to_owned(), 3.0)].into());
        let buckets: Vec<_> = page.all("cairn_seconds_bucket").collect();
        assert_eq!(buckets, [(&labels(&[("le", "+Inf")]), 4.0)]);
        assert_eq!(page.value("cairn_seconds_sum"), Some(0.5));
        assert_eq!((page.sum("other"), page.value("cairn_refused_total")), (None, None));
    }

    #[test]
    fn numbers_that_are_none_are_not_known() {
        let page = read("cairn_height NaN\ncairn_refused_total{code=\"A\"} +Inf\n", &WANTED);
        let page = page.unwrap();
        assert_eq!((page.value("cairn_height"), page.sum("cairn_refused_total")), (None, None));
        assert!(page.by("cairn_refused_total", "code").is_empty());
    }

    #[test]
    fn what_is_no_page_is_refused_with_its_line() {
        #[rustfmt::skip]
        let table = [
            ("",                                    1, "empty",             "nothing"),
            ("<html>not found</html>\n",            1, "no name",           "another server"),
            ("{\"height\": 7}\n",                   1, "no name",           "another route"),
            ("a 1\ncairn_hei",                      2, "no number",         "cut in a name"),
            ("a 1\ncairn_height 1",                 2, "in the middle",     "cut in a number, which reads well"),
            ("a 1\na{b=\"c",                        2, "does not end",      "cut in a label"),
            ("a{b=\"c\"\n",                         1, "no comma",          "cut behind a label"),
            ("a 1\n\na\n",                          3, "no number",         "no value"),
            ("7a 1\n",                              1, "no name",           "a digit first"),
            ("a one\n",                             1, "no number",         "a word"),
            ("a infinity\n",                        1, "no number",         "Rust's word"),
            ("a 1 2 3\n",                           1, "more than a time",  "too much"),
            ("a 1 later\n",                         1, "more than a time",  "no time"),
            ("a 1 # {trace_id=\"x\"} 1\n",          1, "more than a time",  "an exemplar of OpenMetrics"),
            ("a{b} 1\n",                            1, "no =",              "half a label"),
            ("a{b=c} 1\n",                          1, "not quoted",        "no quotes"),
            ("a{b=\"\\t\"} 1\n",                    1, "no such escape",    "another escape"),
            ("a{b=\"1\" c=\"2\"} 1\n",              1, "no comma",          "no comma"),
            ("a{b=\"1\",b=\"2\"} 1\n",              1, "a label twice",     "the same label"),
            ("a{=\"1\"} 1\n",                       1, "no name of a label", "no label"),
            ("a 1\r\n",                             0, "",                  "a line end of another machine is white space"),
            ("# TYPE a thing\n",                    1, "no such type",      "another type"),
            ("# HELP\n",                            1, "of a metric",       "help of nothing"),
            ("cairn_height 1\ncairn_height 1\n",    2, "there before",      "twice the same"),
        ];
        for (text, line, why, reason) in table {
            match read(text, &WANTED) {
                Ok(_) => assert_eq!(line, 0, "{reason}: {text:?} was read"),
                Err(fault) => {
                    assert_eq!(fault.line, line, "{reason}: {fault}");
                    assert!(!why.is_empty() && fault.why.contains(why), "{reason}: {fault}");
                }
            }
        }
    }

    #[test]
    fn a_page_without_end_is_read_up_to_a_bound() {
        let lines = "x 1\n".repeat(LINES_MAX + 1);
        assert_eq!(read(&lines, &WANTED).unwrap_err().line, LINES_MAX + 1);
        let series: String = (0..=SERIES_MAX)
            .map(|number| format!("cairn_refused_total{{code=\"{number}\"}} 1\n"))
            .collect();
        assert!(read(&series, &WANTED).unwrap_err().why.contains("more series"));
        let labels: String = (0..=LABELS_MAX).map(|number| format!("l{number}=\"\",")).collect();
        assert!(read(&format!("a{{{labels}}} 1\n"), &WANTED).unwrap_err().why.contains("labels"));
    }

    proptest! {
        /// Whatever becomes of a page: an answer, and no panic.
        #[test]
        fn junk_is_read_or_refused(
            at in 0usize..60, cut in 0usize..60, junk in "[{}=\"\\\\,# 0-9.+\n\u{e9}-\u{eb}]{0,4}",
        ) {
            let (page, size) = (PAGE.chars(), PAGE.chars().count());
            let rest: String = page.clone().skip((at + cut).min(size)).collect();
            let text: String = page.take(at).chain(junk.chars()).collect();
            let _ = read(&format!("{text}{rest}"), &WANTED);
            let _ = read(&text, &WANTED);
        }

        /// A page that is cut anywhere but at a line's end is refused.
        #[test]
        fn a_page_that_is_cut_is_refused(at in 0usize..58) {
            let cut = PAGE.get(..at).unwrap_or("a");
            prop_assert_eq!(read(cut, &WANTED).is_ok(), cut.ends_with('\n'));
        }
    }
}
