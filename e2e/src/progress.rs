//! How far long work is: a bar on stderr where that is a terminal, a line where it is not.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};

/// Says what is done next.
pub(crate) fn say(what: &str) {
    eprintln!("{what}");
}

/// A bar over so many things; it goes when it is dropped.
pub(crate) fn bar(what: &str, of: usize) -> Bar {
    if !io::stderr().is_terminal() {
        return Bar(ProgressBar::hidden());
    }
    let style = ProgressStyle::with_template("  {msg} [{bar:30}] {percent:>3} % · {eta}");
    let bar = ProgressBar::new(of as u64).with_message(what.to_owned());
    Bar(bar.with_style(style.expect("the template is a constant")))
}

/// A bar, removed at its end.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// So many more are done.
    pub(crate) fn advance(&self, by: usize) {
        self.0.inc(by as u64);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
