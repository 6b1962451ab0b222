//! How far a long command is: a bar on stderr, where that is a terminal and results go elsewhere.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar that may be hidden.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Over so many bytes, if that is known.
    pub(super) fn bytes(doing: &'static str, of: Option<u64>) -> Self {
        let template = match of {
            Some(_) => "{msg} [{bar:30}] {percent:>3} % · {bytes} of {total_bytes} · {eta}",
            None => "{spinner} {msg} {bytes}",
        };
        Self::new(doing, of, template)
    }

    /// Over so many blocks.
    pub(super) fn blocks(doing: &'static str, of: u64) -> Self {
        Self::new(doing, Some(of), "{msg} [{bar:30}] {percent:>3} % · block {pos} of {len} · {eta}")
    }

    fn new(doing: &'static str, of: Option<u64>, template: &str) -> Self {
        // Rows on the same terminal and a bar would write over each other.
        let shown = io::stderr().is_terminal() && !io::stdout().is_terminal();
        Self::on(shown, doing, of, template)
    }

    /// The same, for commands that print nothing before their end.
    pub(super) fn alone(self) -> Self {
        if io::stderr().is_terminal() {
            self.0.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        }
        self
    }

    fn on(shown: bool, doing: &'static str, of: Option<u64>, template: &str) -> Self {
        let target = if shown {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        let style = ProgressStyle::with_template(template).expect("the templates above are sound");
        let bar = ProgressBar::with_draw_target(of, target);
        Self(bar.with_style(style.progress_chars("##-")).with_message(doing))
    }

    pub(super) fn at(&self, now: u64) {
        self.0.set_position(now);
    }

    pub(super) fn done(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // An error is printed on a line of its own.
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_sound() {
        for progress in
            [Progress::bytes("a", Some(10)), Progress::bytes("a", None), Progress::blocks("a", 0)]
        {
            progress.at(5);
            progress.done();
        }
    }
}
