//! What is too large for TiKV, said before it is sent. An entry of TiKV's log ends at 8 MiB,
//! and what is larger may be answered with success first and stand in the way of every reader later.

use crate::{Trouble, Write};

/// TiKV's own limit is twice that, with what it adds.
const KEY_BYTES_MAX: usize = 4 << 10;
/// One key's value, when it is written alone.
const VALUE_BYTES_MAX: usize = 6 << 20;
/// All that is written together.
const WRITE_BYTES_MAX: usize = 4 << 20;

pub(crate) fn check_key(key: &[u8]) -> Result<(), Trouble> {
    if (1..=KEY_BYTES_MAX).contains(&key.len()) {
        return Ok(());
    }
    let bytes = key.len();
    Err(Trouble::Refused(format!("a key of {bytes} bytes; 1 to {KEY_BYTES_MAX} would be fine")))
}

/// An empty value is none: TiKV's own reads cannot tell it from a key that is not there.
pub(crate) fn check_pair(key: &[u8], value: &[u8]) -> Result<(), Trouble> {
    check_key(key)?;
    if (1..=VALUE_BYTES_MAX).contains(&value.len()) {
        return Ok(());
    }
    let bytes = value.len();
    Err(Trouble::Refused(format!("a value of {bytes} bytes; 1 to {VALUE_BYTES_MAX} would be fine")))
}

pub(crate) fn check_writes(writes: &[Write]) -> Result<(), Trouble> {
    for write in writes {
        match write {
            Write::Put(key, value) => check_pair(key, value)?,
            Write::Delete(key) => check_key(key)?,
        }
    }
    let bytes = bytes_of(writes);
    if bytes <= WRITE_BYTES_MAX {
        return Ok(());
    }
    Err(Trouble::Refused(format!(
        "{bytes} bytes to be written together; up to {WRITE_BYTES_MAX} would be fine"
    )))
}

pub(crate) fn bytes_of(writes: &[Write]) -> usize {
    let bytes = |write: &Write| match write {
        Write::Put(key, value) => key.len() + value.len(),
        Write::Delete(key) => key.len(),
    };
    writes.iter().map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tikv_could_choke_on_is_refused() {
        let put = |key, value| Write::Put(vec![1; key], vec![1; value]);
        #[rustfmt::skip]
        let table = [
            (vec![put(1, 1)],                        true,  "the smallest"),
            (vec![put(4096, 1)],                     true,  "the longest key"),
            (vec![put(4097, 1)],                     false, "a longer key"),
            (vec![put(0, 1)],                        false, "no key"),
            (vec![Write::Delete(vec![])],            false, "no key"),
            (vec![put(1, 0)],                        false, "no value"),
            (vec![put(1, (4 << 20) - 1)],            true,  "as much as fits together"),
            (vec![put(1, 4 << 20)],                  false, "a byte more"),
            (vec![put(2, 2 << 20), put(1, 2 << 20)], false, "more together"),
            (vec![],                                 true,  "nothing"),
        ];
        for (writes, fine, why) in table {
            assert_eq!(check_writes(&writes).is_ok(), fine, "{why}");
        }
        assert!(check_pair(b"k", &vec![1; 6 << 20]).is_ok());
        assert!(check_pair(b"k", &vec![1; (6 << 20) + 1]).is_err());
    }
}
