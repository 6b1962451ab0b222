//! Wires the rooms together: opens, starts, and ends in order.
