//! How far a large file has come, on one line of a terminal. Nothing where nobody watches.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// Files below this are through before anybody looks.
const WORTH_IT: u64 = 1024 * 1024;
/// The line is drawn this often.
const EVERY: Duration = Duration::from_millis(100);
/// Characters of the bar.
const WIDTH: u64 = 30;

/// A line that grows.
pub(super) struct Progress {
    what: &'static str,
    all: u64,
    done: u64,
    drawn: Instant,
    is_shown: bool,
}

impl Progress {
    /// Of `all` bytes.
    pub(super) fn of(what: &'static str, all: u64) -> Self {
        let is_shown = all >= WORTH_IT && stderr().is_terminal();
        Self { what, all, done: 0, drawn: Instant::now(), is_shown }
    }

    /// So many more are through.
    pub(super) fn add(&mut self, bytes: usize) {
        self.done += bytes as u64;
        if self.is_shown && (self.drawn.elapsed() >= EVERY || self.done >= self.all) {
            self.drawn = Instant::now();
            // A terminal that is gone is no reason to stop.
            let _drawn = write!(stderr(), "\r{}", self.line());
        }
    }

    fn line(&self) -> String {
        let part = |of: u64| self.done.saturating_mul(of).checked_div(self.all).unwrap_or(of).min(of);
        let filled = part(WIDTH);
        let bar: String = (0..WIDTH).map(|at| if at < filled { '█' } else { '░' }).collect();
        format!("{}  {bar}  {:>3} %  {} of {}", self.what, part(100), shown(self.done), shown(self.all))
    }
}

/// A line that says how far one thing after another has come.
pub(super) struct Steps {
    shown: String,
    drawn: Instant,
    is_shown: bool,
}

impl Steps {
    pub(super) fn new() -> Self {
        Self { shown: String::new(), drawn: Instant::now(), is_shown: stderr().is_terminal() }
    }

    /// So much of it is done; of how much is not always known.
    pub(super) fn tell(&mut self, what: &str, done: u64, all: u64) {
        let is_other = self.shown != what;
        if self.is_shown && (is_other || done == all || self.drawn.elapsed() >= EVERY) {
            let begin = if is_other && !self.shown.is_empty() { "\n" } else { "\r" };
            self.drawn = Instant::now();
            what.clone_into(&mut self.shown);
            // A terminal that is gone is no reason to stop.
            let _drawn = write!(stderr(), "{begin}{}", step(what, done, all));
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        if !self.shown.is_empty() {
            let _ended = writeln!(stderr());
        }
    }
}

fn step(what: &str, done: u64, all: u64) -> String {
    if all == 0 {
        return format!("{what:>17}  {done}");
    }
    let part = |of: u64| u64::try_from(u128::from(done) * u128::from(of) / u128::from(all)).unwrap_or(of).min(of);
    let filled = part(WIDTH);
    let bar: String = (0..WIDTH).map(|at| if at < filled { '█' } else { '░' }).collect();
    format!("{what:>17}  {bar}  {:>3} %", part(100))
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            let _ended = writeln!(stderr());
        }
    }
}

/// A length as people read it.
pub(super) fn shown(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut size, mut unit) = (bytes as f64 / 1000.0, "kB");
    for larger in UNITS.into_iter().skip(1) {
        if size < 999.95 {
            break;
        }
        (size, unit) = (size / 1000.0, larger);
    }
    format!("{size:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_shown_with_one_place_and_the_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (104_857_600, "104.9 MB"),
        ] {
            assert_eq!(shown(bytes), text);
        }
    }

    #[test]
    fn a_step_is_a_bar_where_its_end_is_known() {
        assert_eq!(step("data.tar.zst.age", 1, 2), " data.tar.zst.age  ███████████████░░░░░░░░░░░░░░░   50 %");
        assert_eq!(step("files.tar.zst.age", 7, 0), "files.tar.zst.age  7");
    }

    #[test]
    fn the_line_says_how_far_it_has_come() {
        let progress = Progress { done: 50_000_000, ..Progress::of("reading", 100_000_000) };
        assert_eq!(progress.line(), "reading  ███████████████░░░░░░░░░░░░░░░   50 %  50.0 MB of 100.0 MB");
    }
}
