//! The screen at work: asks, draws and hears keys until somebody ends it, and leaves the terminal as
//! it was, whatever ends it.

use std::time::Duration;

use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};

use super::{
    Watching,
    screen::{self, Choices},
    view::View,
};
use crate::{
    cli::interrupt::Interrupt,
    exit::{ExitCode, Failure},
};

/// How long keys are waited for before it is looked whether somebody has answered.
const KEYS: Duration = Duration::from_millis(50);

/// Runs until it is ended.
pub(super) fn run(watching: &mut Watching, choices: Choices) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    // A panic puts the terminal back too, before it is told.
    let terminal = ratatui::try_init().map_err(|error| {
        // It may have come half of the way.
        let _ = ratatui::try_restore();
        trouble(error)
    })?;
    let ended = Screen { terminal, choices, rows: 0 }.run(watching, &interrupt);
    let restored = ratatui::try_restore().map_err(trouble);
    ended.and(restored)
}

fn trouble(error: std::io::Error) -> Failure {
    Failure::general(format!("the terminal cannot be used: {error}"))
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    End,
    Interrupt,
    Pause,
    Help,
    /// So many lines, down or up.
    Lines(isize),
    /// So many screens.
    Screens(isize),
    Top,
    Bottom,
}

fn wish(key: KeyEvent) -> Option<Wish> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(Wish::Interrupt);
    }
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => Some(Wish::End),
        KeyCode::Char('p') => Some(Wish::Pause),
        KeyCode::Char('?' | 'h') => Some(Wish::Help),
        KeyCode::Char('j') | KeyCode::Down => Some(Wish::Lines(1)),
        KeyCode::Char('k') | KeyCode::Up => Some(Wish::Lines(-1)),
        KeyCode::PageDown | KeyCode::Char(' ') => Some(Wish::Screens(1)),
        KeyCode::PageUp => Some(Wish::Screens(-1)),
        KeyCode::Home | KeyCode::Char('g') => Some(Wish::Top),
        KeyCode::End | KeyCode::Char('G') => Some(Wish::Bottom),
        _ => None,
    }
}

/// Does what a key asks for; whether there is more to come.
fn grant(wish: Wish, choices: &mut Choices, rows: usize, all: usize) -> Result<bool, Failure> {
    let last = all.saturating_sub(rows);
    let screen = isize::try_from(rows).unwrap_or(isize::MAX);
    let by = |lines: isize| choices.scrolled.saturating_add_signed(lines).min(last);
    match wish {
        Wish::End => return Ok(false),
        Wish::Interrupt => return Err(Failure::new(ExitCode::Interrupted, "interrupted")),
        Wish::Pause => choices.paused = !choices.paused,
        Wish::Help => choices.help = !choices.help,
        Wish::Lines(lines) => choices.scrolled = by(lines),
        Wish::Screens(screens) => choices.scrolled = by(screen.saturating_mul(screens)),
        Wish::Top => choices.scrolled = 0,
        Wish::Bottom => choices.scrolled = last,
    }
    Ok(true)
}

struct Screen {
    terminal: DefaultTerminal,
    choices: Choices,
    /// How many validators are in sight.
    rows: usize,
}

impl Screen {
    fn run(&mut self, watching: &mut Watching, interrupt: &Interrupt) -> Result<(), Failure> {
        watching.ask()?;
        // Whoever is well answers at once: no screen full of validators that have not yet.
        watching.hear_all(KEYS * 10)?;
        let mut view = watching.view();
        self.draw(&view)?;
        loop {
            interrupt.check()?;
            let mut changed = watching.hear()?;
            if !self.choices.paused && watching.due() {
                watching.ask()?;
                changed = true;
            }
            if changed && !self.choices.paused {
                view = watching.view();
                self.draw(&view)?;
            }
            if event::poll(KEYS).map_err(trouble)? {
                match event::read().map_err(trouble)? {
                    Event::Key(key) => {
                        let Some(wish) = wish(key) else { continue };
                        let all = view.validators.len();
                        if !grant(wish, &mut self.choices, self.rows, all)? {
                            return Ok(());
                        }
                    }
                    Event::Resize(_, _) => {}
                    _ => continue,
                }
                self.draw(&view)?;
            }
        }
    }

    fn draw(&mut self, view: &View) -> Result<(), Failure> {
        let choices = &mut self.choices;
        let rows = &mut self.rows;
        let drawn = self.terminal.draw(|frame| {
            let area = frame.area();
            *rows = screen::draw(view, choices, area, frame.buffer_mut());
        });
        drawn.map_err(trouble)?;
        // On a screen that grew there is no reason to hide any.
        choices.scrolled = choices.scrolled.min(view.validators.len().saturating_sub(*rows));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_what_the_help_says() {
        let plain = |code| KeyEvent::new(code, KeyModifiers::NONE);
        #[rustfmt::skip]
        let table = [
            (plain(KeyCode::Char('q')),  0, Some((0, false, false)), "ends"),
            (plain(KeyCode::Esc),        0, Some((0, false, false)), "ends"),
            (plain(KeyCode::Char('j')),  0, Some((1, false, true)),  "one down"),
            (plain(KeyCode::Down),       21, Some((21, false, true)), "not behind the last"),
            (plain(KeyCode::Up),         0, Some((0, false, true)),  "not before the first"),
            (plain(KeyCode::Char('k')),  5, Some((4, false, true)),  "one up"),
            (plain(KeyCode::PageDown),   5, Some((15, false, true)), "a screen down"),
            (plain(KeyCode::PageUp),     5, Some((0, false, true)),  "a screen up"),
            (plain(KeyCode::End),        5, Some((21, false, true)), "to the last"),
            (plain(KeyCode::Home),       5, Some((0, false, true)),  "to the first"),
            (plain(KeyCode::Char('p')),  5, Some((5, true, true)),   "stops"),
            (plain(KeyCode::Char('x')),  5, Some((5, false, true)),  "nothing"),
            (KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL), 0, None, "Ctrl-C"),
        ];
        for (key, scrolled, expected, why) in table {
            let mut choices = Choices { scrolled, ..Choices::default() };
            let more = match wish(key) {
                Some(wish) => grant(wish, &mut choices, 10, 31),
                None => Ok(true),
            };
            match (more, expected) {
                (Ok(more), expected) => {
                    assert_eq!(Some((choices.scrolled, choices.paused, more)), expected, "{why}");
                }
                (Err(failure), expected) => {
                    assert_eq!((failure.code, expected), (ExitCode::Interrupted, None), "{why}");
                }
            }
        }
    }
}
