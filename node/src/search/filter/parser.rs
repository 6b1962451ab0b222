//! From text to conditions: one pass, one function for each line of the grammar.

use cairn_ledger::json::{self, Strictness};

use super::{
    COMPARISONS_MAX, Condition, Edge, FILTER_BYTES_MAX, FilterError, NESTING_MAX, ORDER_BYTES_MAX,
    Path, Root, Scalar, Side, Test,
};

pub(super) fn filter(text: &str) -> Result<Condition, FilterError> {
    let mut parser = Parser::new(text)?;
    let condition = parser.any(0)?;
    parser.end("\"and\", \"or\" or the end")?;
    Ok(condition)
}

pub(super) fn path(text: &str) -> Result<Path, FilterError> {
    let mut parser = Parser::new(text)?;
    let path = parser.path()?;
    parser.end("\".\" and a key, or the end")?;
    Ok(path)
}

/// Whether a key needs no quotes.
pub(super) fn is_plain(key: &str) -> bool {
    let starts_well = key.chars().next().is_some_and(|c| !c.is_numeric() && c != '-');
    starts_well && key.chars().all(is_of_key)
}

fn is_of_key(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}

struct Parser<'t> {
    text: &'t str,
    /// In bytes.
    at: usize,
    comparisons: usize,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str) -> Result<Self, FilterError> {
        let parser = Self { text, at: 0, comparisons: 0 };
        if text.len() > FILTER_BYTES_MAX {
            let (size, most) = (text.len(), FILTER_BYTES_MAX);
            return Err(parser.wanted(format!("the text has {size} bytes, at most {most} fit")));
        }
        Ok(parser)
    }

    fn any(&mut self, depth: usize) -> Result<Condition, FilterError> {
        let mut some = vec![self.all(depth)?];
        while self.takes_word("or") {
            some.push(self.all(depth)?);
        }
        Ok(one_or(some, Condition::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Condition, FilterError> {
        let mut all = vec![self.each(depth)?];
        while self.takes_word("and") {
            all.push(self.each(depth)?);
        }
        Ok(one_or(all, Condition::All))
    }

    fn each(&mut self, depth: usize) -> Result<Condition, FilterError> {
        self.skip_space();
        if depth > NESTING_MAX {
            return Err(self.wanted(format!("at most {NESTING_MAX} levels of \"not\" and \"(\"")));
        }
        if self.takes("(") {
            let condition = self.any(depth + 1)?;
            self.skip_space();
            return match self.takes(")") {
                true => Ok(condition),
                false => Err(self.wanted("\"and\", \"or\" or \")\"")),
            };
        }
        if self.takes_word("not") {
            return Ok(Condition::Not(Box::new(self.each(depth + 1)?)));
        }
        self.comparisons += 1;
        if self.comparisons > COMPARISONS_MAX {
            return Err(self.wanted(format!("at most {COMPARISONS_MAX} comparisons")));
        }
        if self.takes_word("exists") {
            self.skip_space();
            return self.path().map(Condition::Exists);
        }
        let path = self.path()?;
        self.comparison(path)
    }

    fn comparison(&mut self, path: Path) -> Result<Condition, FilterError> {
        self.skip_space();
        // The longer ones first.
        let operators = ["^=", "!=", "<=", ">=", "=", "<", ">"];
        let operator = operators.into_iter().find(|operator| self.takes(operator));
        let Some(operator) = operator else {
            return Err(self.wanted("one of = != < <= > >= ^="));
        };
        self.skip_space();
        let at = self.at;
        let literal = self.literal()?;
        let side = match operator {
            "=" => return Ok(Condition::Compare(path, Test::Equals(literal))),
            "!=" => {
                let equal = Condition::Compare(path, Test::Equals(literal));
                return Ok(Condition::Not(Box::new(equal)));
            }
            "<" => Some(Side::Below),
            "<=" => Some(Side::BelowOrAt),
            ">" => Some(Side::Above),
            ">=" => Some(Side::AboveOrAt),
            _ => None,
        };
        let test = match (side, literal) {
            (_, Scalar::Text(text)) if text.len() > ORDER_BYTES_MAX => {
                Err(format!("a string of at most {ORDER_BYTES_MAX} bytes, or = and a longer one"))
            }
            (Some(side), Scalar::Text(text)) => Ok(Test::Range(side, Edge::Text(text))),
            (Some(side), Scalar::Number(number)) => Ok(Test::Range(side, Edge::Number(number))),
            (None, Scalar::Text(text)) => Ok(Test::Begins(text)),
            (Some(_), _) => Err("a number or a string".to_owned()),
            (None, _) => Err("a string".to_owned()),
        };
        let test = test.map_err(|wanted| self.wanted_at(at, wanted))?;
        Ok(Condition::Compare(path, test))
    }

    fn path(&mut self) -> Result<Path, FilterError> {
        let roots = [Root::Asset, Root::Metadata];
        let Some(root) = roots.into_iter().find(|root| self.takes_word(root.name())) else {
            return Err(self.wanted("a path: asset or metadata, then \".\" and a key"));
        };
        let mut keys = Vec::new();
        while self.takes(".") {
            keys.push(self.key()?);
        }
        Ok(Path { root, keys })
    }

    fn key(&mut self) -> Result<String, FilterError> {
        if self.rest().starts_with('"') {
            return self.string();
        }
        let rest = self.rest();
        let key = &rest[..rest.find(|c| !is_of_key(c)).unwrap_or(rest.len())];
        if !is_plain(key) {
            return Err(self.wanted("a key: letters, digits, _ and -, or any string in \"\""));
        }
        self.at += key.len();
        Ok(key.to_owned())
    }

    fn literal(&mut self) -> Result<Scalar, FilterError> {
        for (word, scalar) in
            [("null", Scalar::Null), ("true", Scalar::Bool(true)), ("false", Scalar::Bool(false))]
        {
            if self.takes_word(word) {
                return Ok(scalar);
            }
        }
        let rest = self.rest();
        if rest.starts_with('"') {
            return self.string().map(Scalar::Text);
        }
        let is_of_number = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let digits = &rest[..rest.find(|c| !is_of_number(c)).unwrap_or(rest.len())];
        // What JSON calls a number, and not all that Rust does.
        let value = json::parse(digits.as_bytes(), Strictness::Strict).ok();
        let wanted = "a string in \"\", a number, true, false or null";
        let number = value.as_ref().and_then(super::number);
        let number = number.ok_or_else(|| self.wanted(wanted))?;
        self.at += digits.len();
        Ok(Scalar::Number(number))
    }

    /// A JSON string, its first quote next.
    fn string(&mut self) -> Result<String, FilterError> {
        let bytes = self.rest().as_bytes();
        let mut end = 1;
        while let Some(byte) = bytes.get(end) {
            match byte {
                b'"' => {
                    let text = &self.rest()[..=end];
                    let string = serde_json::from_str(text)
                        .map_err(|_| self.wanted("a string as JSON spells it"))?;
                    self.at += end + 1;
                    return Ok(string);
                }
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        Err(self.wanted("a string that ends with \""))
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn takes(&mut self, sign: &str) -> bool {
        let takes = self.rest().starts_with(sign);
        if takes {
            self.at += sign.len();
        }
        takes
    }

    /// Takes a word that stands for itself; spaces before it are skipped.
    fn takes_word(&mut self, word: &str) -> bool {
        let before = self.at;
        self.skip_space();
        let ends = |rest: &str| !rest.chars().next().is_some_and(is_of_key);
        let takes = self.rest().strip_prefix(word).is_some_and(ends);
        self.at = if takes { self.at + word.len() } else { before };
        takes
    }

    fn end(&mut self, wanted: &str) -> Result<(), FilterError> {
        self.skip_space();
        if self.rest().is_empty() { Ok(()) } else { Err(self.wanted(wanted)) }
    }

    fn wanted(&self, wanted: impl Into<String>) -> FilterError {
        self.wanted_at(self.at, wanted)
    }

    fn wanted_at(&self, at: usize, wanted: impl Into<String>) -> FilterError {
        FilterError { at: self.text[..at].chars().count() + 1, wanted: wanted.into() }
    }
}

fn one_or(mut conditions: Vec<Condition>, many: fn(Vec<Condition>) -> Condition) -> Condition {
    match conditions.len() {
        1 => conditions.remove(0),
        _ => many(conditions),
    }
}
