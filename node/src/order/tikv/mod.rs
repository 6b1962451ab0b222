//! The log in TiKV: slots in a keyspace of its own, written by one sequencer at a time.
