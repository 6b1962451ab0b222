//! Numbers as they stand in a narrow column: at most seven characters, with their unit.

/// What is not known.
pub(super) const UNKNOWN: &str = "—";

/// A text, or that it is not known.
pub(super) fn known<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), text)
}

/// A number in a second.
pub(super) fn rate(value: f64) -> String {
    scaled(value, 1000.0, ["", "k", "M", "G"])
}

/// A part of all.
pub(super) fn share(value: f64) -> String {
    format!("{:.0}%", value * 100.0)
}

/// Bytes, in powers of 1024 as the other tops have them.
pub(super) fn bytes(value: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "it is shown in three digits")]
    let value = value as f64;
    if value < 1024.0 {
        format!("{value}B")
    } else {
        scaled(value / 1024.0, 1024.0, ["K", "M", "G", "T"])
    }
}

fn scaled(value: f64, step: f64, units: [&str; 4]) -> String {
    let mut value = value;
    let mut units = units.into_iter();
    let mut unit = units.next().unwrap_or_default();
    // What would be rounded up to a step is one.
    while value >= step - 0.5 {
        let Some(next) = units.next() else { break };
        (value, unit) = (value / step, next);
    }
    let digits = digits(value);
    format!("{value:.digits$}{unit}")
}

/// How many behind the point: three in all, none of nothing, and never more than one.
fn digits(value: f64) -> usize {
    usize::from(value > 0.0 && value < 9.95)
}

/// A short time, in the unit that suits it.
pub(super) fn seconds(value: f64) -> String {
    let milliseconds = value * 1000.0;
    if milliseconds < 0.95 {
        format!("{milliseconds:.2} ms")
    } else if milliseconds < 999.5 {
        let digits = digits(milliseconds);
        format!("{milliseconds:.digits$} ms")
    } else if value < 599.5 {
        let digits = digits(value);
        format!("{value:.digits$} s")
    } else {
        ago(value)
    }
}

/// A longer one.
pub(super) fn ago(seconds: f64) -> String {
    let units = [(60.0, "s"), (60.0, "min"), (48.0, "h")];
    let mut value = seconds.max(0.0);
    for (step, unit) in units {
        if value < step {
            return format!("{} {unit}", value.floor());
        }
        value /= if unit == "h" { 24.0 } else { step };
    }
    format!("{} d", value.floor())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_say_their_unit() {
        #[rustfmt::skip]
        let table = [
            (rate(0.0),             "0"),
            (rate(0.04),            "0.0"),
            (rate(1.25),            "1.2"),
            (rate(9.97),            "10"),
            (rate(812.4),           "812"),
            (rate(999.6),           "1.0k"),
            (rate(12_345.0),        "12k"),
            (rate(2.5e6),           "2.5M"),
            (rate(1e13),            "10000G"),
            (share(0.0),            "0%"),
            (share(0.333),          "33%"),
            (share(1.0),            "100%"),
            (bytes(0),              "0B"),
            (bytes(1023),           "1023B"),
            (bytes(1024),           "1.0K"),
            (bytes(124 << 20),      "124M"),
            (bytes(1023 << 20),     "1023M"),
            (bytes((1 << 30) - 1),  "1.0G"),
            (bytes(30 << 40),       "30T"),
            (seconds(0.0),          "0.00 ms"),
            (seconds(0.000_04),     "0.04 ms"),
            (seconds(0.0021),       "2.1 ms"),
            (seconds(0.0421),       "42 ms"),
            (seconds(0.25),         "250 ms"),
            (seconds(0.9996),       "1.0 s"),
            (seconds(1.24),         "1.2 s"),
            (seconds(120.0),        "120 s"),
            (seconds(600.0),        "10 min"),
            (ago(-1.0),             "0 s"),
            (ago(59.9),             "59 s"),
            (ago(60.0),             "1 min"),
            (ago(3_600.0),          "1 h"),
            (ago(86_400.0),         "24 h"),
            (ago(172_800.0),        "2 d"),
            (known(None, rate),     "—"),
            (known(Some(3.0), rate), "3.0"),
        ];
        for (text, expected) in table {
            assert_eq!(text, expected);
        }
    }
}
