//! What every [`super::Order`] must do; each implementation's tests call it.
