//! Tables of the screen and of `--once`: which columns there are, and which of them fit.

use super::{
    history::Seen,
    numbers::{ago, bytes, known, rate, seconds, share},
    view::{Row, State},
};

/// What a colour would say; the text says it too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mark {
    /// As it should be.
    #[default]
    Fine,
    /// Not as it should be, and nothing is lost by it yet.
    Lagging,
    /// Gone.
    Bad,
}

/// One column of a table.
pub(super) struct Column<T> {
    pub(super) head: &'static str,
    /// How many characters it has; the first column of a table takes what is left.
    pub(super) width: u16,
    /// Numbers stand on the right.
    pub(super) right: bool,
    /// When it is too narrow for all columns, those with the greatest rank are left out.
    rank: u8,
    pub(super) text: fn(&T) -> String,
    pub(super) mark: fn(&T) -> Mark,
}

impl<T> Column<T> {
    fn new(head: &'static str, width: u16, rank: u8, text: fn(&T) -> String) -> Self {
        Self { head, width, right: true, rank, text, mark: |_| Mark::Fine }
    }

    fn left(self) -> Self {
        Self { right: false, ..self }
    }

    fn marked(self, mark: fn(&T) -> Mark) -> Self {
        Self { mark, ..self }
    }
}

impl State {
    /// What its colour says.
    pub(super) fn mark(self) -> Mark {
        match self {
            Self::Voting | Self::Following => Mark::Fine,
            Self::CatchingUp | Self::Behind | Self::NotReady | Self::Founding => Mark::Lagging,
            Self::OtherChain | Self::NotAnswering => Mark::Bad,
        }
    }
}

/// The head of the column that says how a validator is.
pub(super) const STATE: &str = "state";

/// How wide names are, at least.
const NAME_WIDTH: u16 = 12;

/// Who misses so many of its votes gives none, or always too late.
const MISSED_MAX: f64 = 0.9;

/// The columns of validators. On 80 characters there is room for all up to `free`.
pub(super) fn of_validators() -> Vec<Column<Row>> {
    let leads = |row: &Row| if row.leads == Some(true) { "*".to_owned() } else { String::new() };
    let state = |row: &Row| row.state.word().to_owned();
    let missed = |row: &Row| match row.votes_missing_share {
        Some(share) if share >= MISSED_MAX => Mark::Lagging,
        _ => Mark::Fine,
    };
    let behind = |row: &Row| match row.behind {
        Some(behind) if behind > super::history::BEHIND_MAX => Mark::Lagging,
        _ => Mark::Fine,
    };
    vec![
        Column::new("validator", NAME_WIDTH, 0, |row: &Row| known(row.validator.clone(), |it| it))
            .left(),
        Column::new("*", 1, 4, leads),
        Column::new(STATE, 13, 0, state).left().marked(|row| row.state.mark()),
        Column::new("height", 8, 1, |row: &Row| known(row.height, |it| it.to_string())),
        Column::new("lag", 5, 2, |row: &Row| known(row.behind, |it| it.to_string())).marked(behind),
        Column::new("round", 5, 6, |row: &Row| known(row.round, |it| it.to_string())),
        Column::new("peers", 5, 3, |row: &Row| known(row.peers, |it| it.to_string())),
        Column::new("req/s", 5, 5, |row: &Row| known(row.requests_per_second, rate)),
        Column::new("missed", 6, 7, |row: &Row| known(row.votes_missing_share, share))
            .marked(missed),
        Column::new("mem", 5, 8, |row: &Row| known(row.resident_bytes, bytes)),
        Column::new("free", 5, 9, |row: &Row| known(row.data_free_bytes, bytes)),
        Column::new("version", 9, 11, |row: &Row| known(row.version.clone(), |it| it)).left(),
        Column::new("admin port", 22, 10, |row: &Row| row.admin.clone()).left(),
    ]
}

/// A block, and when it is looked at.
pub(super) struct Aged<'a> {
    pub(super) seen: &'a Seen,
    pub(super) unix_ms: u64,
}

/// The columns of blocks.
pub(super) fn of_blocks<'a>() -> Vec<Column<Aged<'a>>> {
    let heights = |aged: &Aged<'_>| match aged.seen {
        Seen { height, blocks: 1, .. } => height.to_string(),
        Seen { height, blocks, .. } => format!("{}–{height}", height.saturating_sub(blocks - 1)),
    };
    #[expect(clippy::cast_precision_loss, reason = "it is shown in seconds")]
    let age = |aged: &Aged<'_>| {
        ago(aged.unix_ms.saturating_sub(aged.seen.seen_unix_ms) as f64 / 1000.0) + " ago"
    };
    vec![
        Column::new("block", 17, 0, heights).left(),
        Column::new("transactions", 12, 1, |aged: &Aged<'_>| {
            known(aged.seen.transactions, |it| it.to_string())
        }),
        Column::new("committed", 9, 3, |aged: &Aged<'_>| {
            known(aged.seen.committed, |it| it.to_string())
        }),
        Column::new("apart", 8, 4, |aged: &Aged<'_>| known(aged.seen.interval_seconds, seconds)),
        Column::new("seen", 10, 2, age),
    ]
}

/// Those columns that fit, each with its width. The first one may be as wide as `first`: up to a third
/// before others are left out, for names that begin alike, and then with what is left.
pub(super) fn fitting<T>(columns: &[Column<T>], width: u16, first: u16) -> Vec<(&Column<T>, u16)> {
    let mut ranks: Vec<usize> = (0..columns.len()).collect();
    ranks.sort_by_key(|at| columns[*at].rank);
    let mut taken = vec![false; columns.len()];
    let mut left = width.saturating_add(1);
    let wide = |at: usize| match columns[at].width {
        least if at == 0 => first.min(width / 3).max(least).min(width),
        exactly => exactly,
    };
    for at in ranks {
        let Some(rest) = left.checked_sub(wide(at) + 1) else { continue };
        (taken[at], left) = (true, rest);
    }
    let mut fitting: Vec<(&Column<T>, u16)> =
        (0..columns.len()).filter(|at| taken[*at]).map(|at| (&columns[at], wide(at))).collect();
    if let Some((_, name)) = fitting.first_mut() {
        *name = (*name + left).min(first.max(*name));
    }
    fitting
}

/// A table of all columns, its head first.
pub(super) fn table<T>(columns: &[Column<T>], items: &[T]) -> Vec<Vec<String>> {
    let head = columns.iter().map(|column| column.head.to_owned()).collect();
    let line = |item: &T| columns.iter().map(|column| (column.text)(item)).collect();
    let rows = items.iter().map(line);
    std::iter::once(head).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_left_out_by_their_rank_and_none_is_cut() {
        #[rustfmt::skip]
        let table = [
            (80,  11, "validator * state height lag round peers req/s missed mem free",                    "all that matter"),
            (80,  26, "validator * state height lag round peers req/s",                                    "long names"),
            (160, 40, "validator * state height lag round peers req/s missed mem free version admin port", "all"),
            (79,  11, "validator * state height lag round peers req/s missed mem",                         "one less"),
            (60,  11, "validator * state height lag peers req/s",                                          "by rank, not in order"),
            (40,  11, "validator * state height",                                                          "narrow"),
            (20,  11, "validator * lag",                                                                   "very narrow"),
            (5,   11, "validator",                                                                         "nothing fits but a name"),
            (0,   11, "validator",                                                                         "nothing at all"),
        ];
        for (width, first, expected, why) in table {
            let columns = of_validators();
            let fitting = fitting(&columns, width, first);
            let heads: Vec<&str> = fitting.iter().map(|(column, _)| column.head).collect();
            assert_eq!(heads.join(" "), expected, "{why}");
            let used: u16 = fitting.iter().map(|(_, width)| width + 1).sum();
            assert!(used <= width + 1, "{why}: {used}");
        }
    }
}
