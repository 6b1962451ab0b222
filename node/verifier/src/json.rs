//! JSON in: text becomes fields that know where they stand, so that errors can say it.
//! Strict: a field is there once, none is unknown, numbers are whole and written plainly.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::{FILE_BYTES_MAX, Invalid};

/// Most fields of one object: more than any object of a receipt or a genesis has.
const MEMBERS_MAX: usize = 16;
/// Most elements of one list: as many as there may be validators.
const ELEMENTS_MAX: usize = 128;

/// JSON, as far as the files use it.
enum Value {
    Number(u64),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
    /// Null, a truth value, a number that is negative or not written as a whole one.
    Other,
}

/// A value, and its path from the file's name on.
pub(crate) struct Field {
    path: String,
    /// Nothing when the field is missing.
    value: Option<Value>,
}

impl Field {
    /// Reads a whole file; `name` is what errors call it.
    pub(crate) fn read(name: &'static str, text: &[u8]) -> Result<Self, Invalid> {
        if text.len() > FILE_BYTES_MAX {
            let wanted = format!("larger than {FILE_BYTES_MAX} bytes, the most that are read");
            return Err(Invalid::field(name, wanted));
        }
        match serde_json::from_slice(text) {
            Ok(value) => Ok(Self { path: name.to_owned(), value: Some(value) }),
            Err(error) if error.is_data() => Err(Invalid::field(name, error.to_string())),
            Err(error) => Err(Invalid::Syntax { file: name, why: error.to_string() }),
        }
    }

    /// The error for here.
    pub(crate) fn wrong(&self, wanted: &str) -> Invalid {
        let missing = if self.value.is_none() { "missing: " } else { "" };
        Invalid::field(&self.path, format!("{missing}{wanted}"))
    }

    /// The fields of those names, which are all that there may be.
    pub(crate) fn members<const N: usize>(self, names: [&str; N]) -> Result<[Self; N], Invalid> {
        let Some(Value::Object(mut members)) = self.value else {
            return Err(self.wrong(&format!("an object with {} would be fine", names.join(", "))));
        };
        if let Some((name, _)) = members.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            let shown: String = name.chars().take(40).collect();
            let wanted = format!("unknown field {shown:?}: {} are known", names.join(", "));
            return Err(Invalid::field(&self.path, wanted));
        }
        Ok(names.map(|name| {
            let at = members.iter().position(|(known, _)| known == name);
            let value = at.map(|at| members.swap_remove(at).1);
            Self { path: format!("{}.{name}", self.path), value }
        }))
    }

    /// Nothing when it is missing.
    pub(crate) fn optional(self) -> Option<Self> {
        self.value.is_some().then_some(self)
    }

    /// Its elements.
    pub(crate) fn list(self) -> Result<Vec<Self>, Invalid> {
        let Some(Value::List(elements)) = self.value else {
            return Err(self.wrong("a list would be fine"));
        };
        let path = |at| format!("{}[{at}]", self.path);
        let fields = (0..).zip(elements);
        Ok(fields
            .map(|(at, value): (u32, _)| Self { path: path(at), value: Some(value) })
            .collect())
    }

    /// Whether it is an object.
    pub(crate) fn is_object(&self) -> bool {
        matches!(self.value, Some(Value::Object(_)))
    }

    /// Its text; `wanted` says what text would be fine.
    pub(crate) fn text(&self, wanted: &str) -> Result<&str, Invalid> {
        if let Some(Value::Text(text)) = &self.value { Ok(text) } else { Err(self.wrong(wanted)) }
    }

    /// A whole number of that type.
    pub(crate) fn number<T: TryFrom<u64>>(&self) -> Result<T, Invalid> {
        let number = if let Some(Value::Number(number)) = self.value { Some(number) } else { None };
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
            let bits = 8 * size_of::<T>();
            self.wrong(&format!("a whole number of {bits} bits, written plainly, would be fine"))
        })
    }

    /// That many bytes, in hexadecimal digits of lower case.
    pub(crate) fn bytes<const N: usize>(&self) -> Result<[u8; N], Invalid> {
        let wanted = format!("{} hexadecimal digits of lower case would be fine", 2 * N);
        let bytes = from_hex(self.text(&wanted)?).and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or_else(|| self.wrong(&wanted))
    }
}

/// Bytes from digits of lower case only: one value has one spelling.
pub(crate) fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let lower = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    lower.then(|| hex::decode(digits).ok()).flatten()
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("JSON")
    }
    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }
    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Other)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Other)
    }
    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            if elements.len() == ELEMENTS_MAX {
                return Err(A::Error::custom(format!("a list of more than {ELEMENTS_MAX}")));
            }
            elements.push(element);
        }
        Ok(Value::List(elements))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members: Vec<(String, Value)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if members.len() == MEMBERS_MAX {
                return Err(A::Error::custom(format!(
                    "an object of more than {MEMBERS_MAX} fields"
                )));
            }
            if members.iter().any(|(known, _)| *known == name) {
                let shown: String = name.chars().take(40).collect();
                return Err(A::Error::custom(format!("the field {shown:?} is there twice")));
            }
            members.push((name, value));
        }
        Ok(Value::Object(members))
    }
}
