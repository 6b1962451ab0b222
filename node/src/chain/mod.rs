//! The federation decides: proposals and votes over slices of the log.
//!
//! Read in this order: [`message`] what validators tell each other; [`core`] Malachite's
//! voting rules behind one plain `step`; [`machine`] the chain as a pure state machine around them;
//! [`executor`] cutting, examining and storing blocks; [`journal`] sign once, remember
//! across a crash; [`shell`] runs the effects.

pub mod core;
pub mod executor;
pub mod journal;
pub mod machine;
pub mod message;
pub mod shell;
