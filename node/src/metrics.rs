//! Every metric of a validator, its name and meaning, in one list.
