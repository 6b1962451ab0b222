//! `cairn openapi`: the OpenAPI document, for tools that make clients of it.

use super::print::Printed;

/// The document as text, whatever the format: it is JSON already.
pub(super) fn run() -> Printed {
    Printed { table: crate::node::openapi(), json: None }
}
