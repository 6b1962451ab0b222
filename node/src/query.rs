//! Reads, each true at a height: what the API asks of the store.
