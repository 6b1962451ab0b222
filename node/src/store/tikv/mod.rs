//! The store in TiKV: one validator, one key prefix.
