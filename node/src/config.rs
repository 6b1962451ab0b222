//! What was asked for: flags, environment and file as people write them, then checked.
