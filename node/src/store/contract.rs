//! What every [`super::Store`] must do; each implementation calls it from its tests.
