//! Draws a view on a screen of any size: what matters most is there on the smallest, and nothing
//! is drawn outside. Same view, same screen.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
    text::Span,
    widgets::{RenderDirection, Sparkline, Widget},
};

use super::{
    columns::{Aged, Column, Mark, STATE, fitting, of_blocks, of_validators},
    history::whole,
    numbers::{UNKNOWN, known, rate, seconds, share},
    view::{Row, State, View},
};

/// What the person in front of it has chosen.
#[derive(Clone, Debug, Default)]
pub(super) struct Choices {
    /// How many validators have gone out at the top.
    pub(super) scrolled: usize,
    pub(super) paused: bool,
    pub(super) help: bool,
    pub(super) colours: bool,
    /// How often validators are asked, as it was typed.
    pub(super) every: String,
}

/// How many lines each part has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Parts {
    summary: u16,
    figures: u16,
    rates: u16,
    notes: u16,
    gap: u16,
    /// With its head.
    validators: u16,
    /// With its head.
    blocks: u16,
    help: u16,
}

/// Validators that are shown before anything else gets a line.
const ROWS_MIN: u16 = 4;

/// Lines of reasons.
const NOTES_MAX: u16 = 3;

/// Lines of blocks with their head, at least, if any.
const BLOCKS_MIN: u16 = 4;

/// Lines of the rates.
const RATES: u16 = 3;

/// How wide a figure is, with its name.
const FIGURE_WIDTH: u16 = 20;

const HELP: [&str; 4] = [
    "q Esc Ctrl-C end  p pause  j k PgUp PgDn Home End scroll  ? less",
    "*: leads the log   lag: blocks that others have   round: of the next block",
    "req/s: HTTP answers   missed: blocks without its vote   mem: of the process",
    "free: on the disk of its data   interval, apart: from one block to the next",
];

/// Draws everything; how many validators are in sight.
pub(super) fn draw(view: &View, choices: &Choices, area: Rect, buffer: &mut Buffer) -> usize {
    let notes = notes(view);
    let parts = divide(view, choices, u16::try_from(notes.len()).unwrap_or(u16::MAX), area);
    let mut pen = Pen { buffer, area, y: area.y, colours: choices.colours };
    pen.title(view, choices);
    if parts.summary > 0 {
        pen.summary(view);
    }
    pen.figures(view, parts.figures);
    pen.rates(view, parts.rates);
    pen.notes(&notes, parts.notes);
    pen.y += parts.gap;
    let rows = usize::from(parts.validators.saturating_sub(1));
    pen.validators(view, choices.scrolled, rows);
    if parts.blocks > 0 {
        pen.y += parts.gap;
        pen.blocks(view, parts.blocks);
    }
    pen.help(view, choices, rows, parts.help);
    rows
}

/// Gives each part its lines: first what cannot be left out, then what is worth most.
fn divide(view: &View, choices: &Choices, notes: u16, area: Rect) -> Parts {
    let all = u16::try_from(view.validators.len()).unwrap_or(u16::MAX).saturating_add(1);
    let mut lines = Lines(area.height.saturating_sub(1));
    let help = lines.take(if choices.help { 4 } else { 1 });
    let least = lines.take(all.min(ROWS_MIN + 1));
    let summary = lines.take(1);
    let figures = lines.take(8 / figures_in_a_line(area.width));
    let notes = lines.take(notes.min(NOTES_MAX));
    let blocks = lines.all_of(BLOCKS_MIN);
    let validators = least + lines.take(all - least);
    let gap = lines.all_of(2) / 2;
    let rates = lines.all_of(RATES);
    let blocks = if blocks > 0 { blocks + lines.0 } else { 0 };
    Parts { summary, figures, rates, notes, gap, validators, blocks, help }
}

/// As many as fit, and fill every line.
fn figures_in_a_line(width: u16) -> u16 {
    [8, 4, 2].into_iter().find(|figures| figures * FIGURE_WIDTH <= width).unwrap_or(1)
}

/// Lines that are left.
struct Lines(u16);

impl Lines {
    fn take(&mut self, wanted: u16) -> u16 {
        let taken = wanted.min(self.0);
        self.0 -= taken;
        taken
    }

    /// As many, or none.
    fn all_of(&mut self, wanted: u16) -> u16 {
        if self.0 >= wanted { self.take(wanted) } else { 0 }
    }
}

/// What has to be said in words: why there is no quorum, why a validator does not vote, what
/// nobody asked about.
fn notes(view: &View) -> Vec<(Mark, String)> {
    let mut notes = Vec::new();
    let federation = &view.federation;
    let missing = federation.no_quorum_because.as_ref();
    notes.extend(missing.map(|why| (Mark::Bad, format!("no quorum: {why}"))));
    for row in &view.validators {
        let named = |why: &String| format!("{} is {}: {why}", row.name(), row.state.word());
        // Its row says why it does not answer, but may be out of sight.
        let small = view.validators.len() <= usize::from(ROWS_MIN);
        if !(small && row.state == State::NotAnswering) {
            notes.extend(row.because.as_ref().map(|why| (row.state.mark(), named(why))));
        }
        let unread = |why: &String| format!("{}'s metrics cannot be read: {why}", row.name());
        notes.extend(row.metrics_error.as_ref().map(|why| (Mark::Lagging, unread(why))));
    }
    // Those without a row, or without a name in it.
    let rowless = |name: &&String| view.validators.iter().all(|row| row.name() != name.as_str());
    let rowless: Vec<&str> =
        federation.not_heard.iter().filter(rowless).map(String::as_str).collect();
    if !rowless.is_empty() {
        notes.push((Mark::Fine, format!("not heard: {}", rowless.join(", "))));
    }
    notes
}

/// Draws line by line, from the top.
struct Pen<'b> {
    buffer: &'b mut Buffer,
    area: Rect,
    /// The next line.
    y: u16,
    colours: bool,
}

impl Pen<'_> {
    fn style(&self, mark: Mark) -> Style {
        match mark {
            Mark::Fine => Style::new(),
            _ if !self.colours => Style::new().add_modifier(Modifier::BOLD),
            Mark::Lagging => Style::new().fg(Color::Yellow),
            Mark::Bad => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    /// Puts a text at a column of the next line, into so much room.
    fn put(&mut self, x: u16, room: u16, right: bool, text: &str, style: Style) {
        if self.y >= self.area.bottom() || x >= self.area.width {
            return;
        }
        let room = room.min(self.area.width - x);
        let text = clipped(text, room);
        let free = room.saturating_sub(wide_as(&text));
        let x = self.area.x + x + if right { free } else { 0 };
        self.buffer.set_stringn(x, self.y, &text, usize::from(room), style);
    }

    /// A whole line of pieces, two blanks between them.
    fn pieces(&mut self, pieces: &[(Style, String)]) {
        let mut x = 0_u16;
        for (style, text) in pieces.iter().filter(|(_, text)| !text.is_empty()) {
            self.put(x, u16::MAX, false, text, *style);
            x = x.saturating_add(wide_as(text)).saturating_add(2);
        }
        self.y += 1;
    }

    fn title(&mut self, view: &View, choices: &Choices) {
        let federation = &view.federation;
        let all = federation.validators.unwrap_or(view.validators.len() as u64);
        let answering = federation.answering;
        let answer = match (federation.quorum_answers, answering < all) {
            (false, _) => Mark::Bad,
            (true, true) => Mark::Lagging,
            (true, false) => Mark::Fine,
        };
        let quorum = match (federation.quorum, federation.quorum_margin) {
            (Some(true), Some(0)) if answering < all => Mark::Lagging,
            (Some(true), _) => Mark::Fine,
            (Some(false) | None, _) => Mark::Bad,
        };
        let every = if choices.paused {
            (self.style(Mark::Lagging), "PAUSED".to_owned())
        } else {
            (Style::new(), format!("every {} s", choices.every))
        };
        let mut pieces = vec![
            (Style::new().add_modifier(Modifier::BOLD), "cairn top".to_owned()),
            (Style::new(), federation.name.clone().unwrap_or_default()),
            (self.style(answer), format!("{answering} of {all} answer")),
            (self.style(quorum), view.quorum_words()),
        ];
        // Where it is narrow, what everybody knows is left out first; that nothing moves because
        // somebody wanted it so must be seen on any screen.
        let wide = self.area.width;
        let room = u16::try_from(every.1.len() + 2).unwrap_or(wide);
        let used = |pieces: &[(Style, String)]| {
            pieces
                .iter()
                .map(|(_, text)| wide_as(text).saturating_add(2))
                .fold(0, u16::saturating_add)
        };
        let right = choices.paused || used(&pieces).saturating_add(room) <= wide + 2;
        let left = if right { wide.saturating_sub(room) } else { wide };
        if used(&pieces) > left + 2 {
            pieces.remove(1);
        }
        if right {
            self.put(wide.saturating_sub(room), room, true, &every.1, every.0);
        }
        self.area.width = left;
        self.pieces(&pieces);
        self.area.width = wide;
    }

    fn summary(&mut self, view: &View) {
        let federation = &view.federation;
        let leader = match &federation.leader {
            Some(name) => (Style::new(), format!("log led by {name}")),
            None => (self.style(Mark::Lagging), "nobody here leads the log".to_owned()),
        };
        self.pieces(&[
            (Style::new(), format!("height {}", known(federation.height, |it| it.to_string()))),
            leader,
            (Style::new().add_modifier(Modifier::DIM), over(view)),
        ]);
    }

    fn figures(&mut self, view: &View, lines: u16) {
        let of = &view.federation;
        let figures = [
            ("committed/s", known(of.committed_per_second, rate)),
            ("refused/s", known(of.refused_per_second, rate)),
            ("blocks/s", known(of.blocks_per_second, rate)),
            ("interval", known(of.block_interval_seconds, seconds)),
            ("commit p50", known(of.commit_p50_seconds, seconds)),
            ("commit p99", known(of.commit_p99_seconds, seconds)),
            ("fsync p99", known(of.fsync_p99_seconds, seconds)),
            ("append p99", known(of.append_p99_seconds, seconds)),
        ];
        let in_a_line = figures_in_a_line(self.area.width);
        for line in figures.chunks(usize::from(in_a_line)).take(usize::from(lines)) {
            for ((name, value), x) in line.iter().zip((0..).step_by(usize::from(FIGURE_WIDTH))) {
                self.put(
                    x,
                    FIGURE_WIDTH - 1,
                    false,
                    name,
                    Style::new().add_modifier(Modifier::DIM),
                );
                self.put(x + 12, 7, false, value, Style::new());
            }
            self.y += 1;
        }
    }

    /// Committed transactions in a second, the latest on the right.
    fn rates(&mut self, view: &View, lines: u16) {
        if lines == 0 {
            return;
        }
        // As many as fit.
        let latest = view.rates.iter().rev().copied().take(usize::from(self.area.width));
        let most = latest.clone().fold(0.0, f64::max);
        let label = format!("committed/s, up to {}", rate(most));
        self.put(0, u16::MAX, false, &label, Style::new().add_modifier(Modifier::DIM));
        // Whole numbers, fine enough for a federation that commits less than one in a second.
        let heights: Vec<u64> = latest.map(|rate| whole(rate * 1000.0)).collect();
        let bars = Sparkline::default().data(heights).direction(RenderDirection::RightToLeft);
        let area = Rect { y: self.y + 1, height: lines - 1, ..self.area };
        bars.render(area.intersection(self.buffer.area), self.buffer);
        self.y += lines;
    }

    fn notes(&mut self, notes: &[(Mark, String)], lines: u16) {
        let lines = usize::from(lines);
        let hidden = notes.len().saturating_sub(lines);
        for (at, (mark, text)) in notes.iter().take(lines).enumerate() {
            let mut room = self.area.width;
            if hidden > 0 && at + 1 == lines {
                let more = format!("  and {hidden} more");
                room = room.saturating_sub(wide_as(&more));
                self.put(wide_as(text).min(room), u16::MAX, false, &more, Style::new());
            }
            self.put(0, room, false, text, self.style(*mark));
            self.y += 1;
        }
    }

    fn validators(&mut self, view: &View, scrolled: usize, rows: usize) {
        let columns = of_validators();
        let names = view.validators.iter().filter_map(|row| row.validator.as_deref());
        let longest = names.map(wide_as).max().unwrap_or_default();
        let fitting = fitting(&columns, self.area.width, longest);
        self.head(&fitting);
        for row in view.validators.iter().skip(scrolled).take(rows) {
            let because = (row.state == State::NotAnswering).then(|| gone(row));
            // In place of figures that are not known.
            let state = fitting.iter().position(|(column, _)| column.head == STATE);
            let shown = state.filter(|_| because.is_some()).map_or(fitting.len(), |at| at + 1);
            let x = self.cells(&fitting[..shown], row);
            if let Some(because) = because {
                self.put(x, u16::MAX, false, &because, self.style(Mark::Bad));
            }
            self.y += 1;
        }
    }

    fn blocks(&mut self, view: &View, lines: u16) {
        let columns = of_blocks();
        let fitting = fitting(&columns, self.area.width, 0);
        self.head(&fitting);
        if view.blocks.is_empty() {
            self.put(0, u16::MAX, false, "none since it is watched", Style::new());
            self.y += 1;
        }
        for seen in view.blocks.iter().take(usize::from(lines.saturating_sub(1))) {
            self.cells(&fitting, &Aged { seen, unix_ms: view.unix_ms });
            self.y += 1;
        }
    }

    fn head<T>(&mut self, columns: &[(&Column<T>, u16)]) {
        let reversed = Style::new().add_modifier(Modifier::REVERSED);
        if self.y < self.area.bottom() {
            self.buffer.set_style(Rect { y: self.y, height: 1, ..self.area }, reversed);
        }
        let mut x = 0;
        for (column, width) in columns {
            self.put(x, *width, column.right, column.head, reversed);
            x += width + 1;
        }
        self.y += 1;
    }

    /// The cells of a line; where the next one would begin.
    fn cells<T>(&mut self, columns: &[(&Column<T>, u16)], item: &T) -> u16 {
        let mut x = 0;
        for (column, width) in columns {
            let style = self.style((column.mark)(item));
            self.put(x, *width, column.right, &(column.text)(item), style);
            x += width + 1;
        }
        x
    }

    /// On the last lines.
    fn help(&mut self, view: &View, choices: &Choices, rows: usize, lines: u16) {
        if lines == 0 {
            return;
        }
        let dim = Style::new().add_modifier(Modifier::DIM);
        self.y = self.area.bottom() - lines;
        let all = view.validators.len();
        if rows < all {
            let (first, last) = (choices.scrolled + 1, (choices.scrolled + rows).min(all));
            let text = format!("{first}–{last} of {all}");
            self.put(0, u16::MAX, true, &text, Style::new());
        }
        if choices.help {
            for line in HELP.iter().take(usize::from(lines)) {
                self.put(0, u16::MAX, false, line, dim);
                self.y += 1;
            }
        } else {
            self.put(0, u16::MAX, false, "q end  ? help", dim);
        }
    }
}

/// What is known of a validator that does not answer: where it was asked, where it has no name yet, why
/// it does not, and what the others say of it.
fn gone(row: &Row) -> String {
    let address = if row.validator.is_none() { format!("{}: ", row.admin) } else { String::new() };
    let because = row.because.as_deref().unwrap_or(UNKNOWN);
    let missed = match row.votes_missing_share {
        Some(missed) if missed > 0.0 => format!(", {} of its votes missed", share(missed)),
        _ => String::new(),
    };
    format!("{address}{because}{missed}")
}

/// Over how long the figures are.
fn over(view: &View) -> String {
    if view.over_seconds > 0.0 {
        format!("figures of the last {}", seconds(view.over_seconds))
    } else {
        "figures need two looks".to_owned()
    }
}

/// How many columns a text takes.
fn wide_as(text: &str) -> u16 {
    u16::try_from(Span::raw(text).width()).unwrap_or(u16::MAX)
}

/// No wider than that; what is left out is seen to be.
fn clipped(text: &str, room: u16) -> String {
    let room = usize::from(room);
    if Span::raw(text).width() <= room {
        return text.to_owned();
    }
    let mut clipped = String::new();
    for c in text.chars() {
        clipped.push(c);
        if Span::raw(&clipped).width() + 1 > room {
            clipped.pop();
            break;
        }
    }
    if room > 0 {
        clipped.push('…');
    }
    clipped
}
