//! A progress bar on standard error, where somebody sees it.

use std::io::{self, IsTerminal, Write};

/// Characters of the bar.
const WIDTH: usize = 40;

/// How far long work has come.
pub(in crate::cli) struct Progress {
    total: u64,
    done: u64,
    /// Parts of [`WIDTH`] that are drawn; `None`: nobody looks.
    drawn: Option<usize>,
}

impl Progress {
    /// Work of so many pieces.
    pub(in crate::cli) fn new(total: u64) -> Self {
        let drawn = io::stderr().is_terminal().then_some(usize::MAX);
        Self { total: total.max(1), done: 0, drawn }
    }

    /// So many more are done.
    pub(in crate::cli) fn add(&mut self, pieces: u64) {
        self.done += pieces;
        let Some(drawn) = self.drawn else { return };
        let parts = (self.done.min(self.total) * WIDTH as u64 / self.total) as usize;
        if parts != drawn {
            self.drawn = Some(parts);
            let (bar, rest) = ("=".repeat(parts), " ".repeat(WIDTH - parts));
            let _ = write!(io::stderr(), "\r[{bar}{rest}] {:>3} %", self.done * 100 / self.total);
        }
    }

    /// Takes the bar away.
    pub(in crate::cli) fn finish(self) {
        if self.drawn.is_some() {
            let _ = write!(io::stderr(), "\r{:width$}\r", "", width = WIDTH + 8);
        }
    }
}
