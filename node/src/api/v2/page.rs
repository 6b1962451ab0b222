//! Pages: rows of a list that is fixed at one height, and where the next ones begin.

use cairn_ledger::ids::Height;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    super::error::Failure,
    cursor::{Belonging, Cursor},
    question::Question,
    schema,
};
use crate::search::Explained;

/// What is read for one page, about. A page that would be larger has fewer rows.
pub(super) const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A page of rows.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// The height that all pages are true at.
    #[schema(value_type = u64)]
    pub(super) as_of: Height,
    /// The rows.
    pub(super) items: Vec<T>,
    /// Where the next page begins; null on the last.
    #[schema(value_type = Option<schema::Cursor>)]
    pub(super) next_cursor: Option<String>,
    /// How it was found, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Explain>, nullable = false)]
    pub(super) explain: Option<Explained>,
}

impl<T: Serialize> Page<T> {
    /// As JSON.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).expect("text keys and plain fields always serialise")
    }
}

/// How a page was found.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes `Explained` of the search room")]
pub(super) struct Explain {
    /// Which index served it: `fields`, `owners`, `assets` (the transactions of one asset), `chain`.
    index: String,
    /// One line for each part of the question, and what it cost to apply.
    steps: Vec<String>,
    /// Rows that were looked at to find those of the page.
    examined: u64,
}

impl Cursor {
    /// The cursor of a question, if it has one; it must be as of the height that the question
    /// names, if it names one.
    pub(super) fn of(
        question: &Question,
        belonging: &Belonging,
        as_of: Option<Height>,
    ) -> Result<Option<Self>, Failure> {
        let Some(text) = question.text("cursor") else { return Ok(None) };
        let cursor = Self::read(text, belonging)?;
        if as_of.is_some_and(|wanted| wanted != cursor.as_of) {
            return Err(Failure::Cursor);
        }
        Ok(Some(cursor))
    }
}
