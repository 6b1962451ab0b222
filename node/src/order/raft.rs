//! The log on openraft: one group over the validators, its own storage and network.
