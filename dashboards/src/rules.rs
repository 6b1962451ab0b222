//! Recording rules and alerts.
