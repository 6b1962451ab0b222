//! Who gets something, as a flag says it: `KEY`, `KEY:AMOUNT`, `KEY+KEY:AMOUNT`.

use std::str::FromStr;

use cairn_ledger::{
    condition::Condition, ids::PublicKey, limits::AMOUNT_MAX, transaction::build::Share,
};

/// One output to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recipient {
    /// Who must sign to spend it.
    condition: Condition,
    /// How much, if the flag says so.
    pub(super) amount: Option<u64>,
}

impl Recipient {
    pub(super) fn share(&self, amount: u64) -> Share {
        Share { amount, condition: self.condition.clone() }
    }
}

impl FromStr for Recipient {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (keys, amount) = match text.split_once(':') {
            None => (text, None),
            Some((keys, amount)) => (keys, Some(checked(amount)?)),
        };
        let key = |text: &str| text.parse::<PublicKey>().map_err(|error| error.to_string());
        let keys = keys.split('+').map(key).collect::<Result<Vec<_>, _>>()?;
        let condition = Condition::all_of(&keys);
        condition.check().map_err(|error| error.to_string())?;
        condition.check_keys_once().map_err(|error| error.to_string())?;
        Ok(Self { condition, amount })
    }
}

fn checked(amount: &str) -> Result<u64, String> {
    let wrong = || format!("the amount {amount:?} is none; 1 to {AMOUNT_MAX} would be fine");
    let number: u64 = amount.parse().map_err(|_| wrong())?;
    if (1..=AMOUNT_MAX).contains(&number) { Ok(number) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "4K9sWUMFwTgaDGPfdynrbxWqWS6sWmKbZoTjxLtVUibD";
    const BOB: &str = "3yfQPHeWAa1MxTX9Zf9176QqcpcnWcanVZZbaHb8B3h9";

    #[test]
    fn a_recipient_is_keys_and_perhaps_an_amount() {
        let alone: Recipient = ALICE.parse().unwrap();
        assert_eq!((alone.condition.keys().len(), alone.amount), (1, None));
        let both: Recipient = format!("{ALICE}+{BOB}:7").parse().unwrap();
        assert_eq!((both.condition.keys().len(), both.amount), (2, Some(7)));
        assert!(matches!(both.condition, Condition::Threshold { threshold: 2, .. }));
        #[rustfmt::skip]
        let table = [
            (String::new(),                "nothing"),
            ("alice".to_owned(),           "a name is no key"),
            (format!("{ALICE}:"),          "no amount"),
            (format!("{ALICE}:0"),         "nothing to give"),
            (format!("{ALICE}:-1"),        "less than nothing"),
            (format!("{ALICE}:{}", u64::MAX), "more than there can be"),
            (format!("{ALICE}+{ALICE}"),   "the same key twice"),
            (format!("{ALICE}+"),          "half a list"),
        ];
        for (text, why) in table {
            assert!(text.parse::<Recipient>().is_err(), "{why}: {text}");
        }
    }
}
