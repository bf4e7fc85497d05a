//! Says on the standard error stream what is going on. The results go to the standard output stream alone.

use std::io::Write;

/// Begins a line, which the steps to come end.
pub(crate) fn say(text: &str) {
    // A terminal that is gone does not stop the benchmark.
    let _gone = write!(std::io::stderr(), "\n{text}");
}

/// One step of many.
pub(crate) fn tick() {
    let _gone = write!(std::io::stderr(), ".");
}
