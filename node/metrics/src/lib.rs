//! Metrics that say what they are.
