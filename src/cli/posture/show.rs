//! How the posture is told: to people by groups of the article, to programs as JSON.

use std::io::{self, Write};

use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::stores::Reveals;
use super::{Control, State};
use crate::cli::moment::shown;

/// Columns of a terminal that lines are broken for.
const WIDTH: usize = 110;
/// Where what was measured begins.
const MARGIN: usize = 31;

/// What there is to tell.
pub(super) struct Told<'a> {
    pub(super) controls: &'a [Control],
    pub(super) reveals: &'a [Reveals],
    pub(super) accepted: &'a [String],
}

impl Told<'_> {
    fn count(&self, state: State) -> usize {
        self.controls.iter().filter(|one| one.state == state).count()
    }

    fn is_accepted(&self, one: &Control) -> bool {
        self.accepted.iter().any(|name| name == one.name)
    }

    pub(super) fn text(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        let mut claim = "";
        for one in self.controls {
            if one.claim != claim {
                claim = one.claim;
                writeln!(out, "\n{claim}")?;
            }
            let word = match one.state {
                State::Red if self.is_accepted(one) => "red*",
                State::Red => "RED",
                state => state.word(),
            };
            let first = format!("  {word:<6} {:<20}  ", one.name);
            lines(&first, &one.evidence, out)?;
        }
        writeln!(out, "\nWhat somebody learns who steals")?;
        for one in self.reveals {
            lines(&format!("  {:<27}  ", one.stolen), &one.reveals, out)?;
        }
        let [green, red, yours] = [State::Green, State::Red, State::Yours].map(|state| self.count(state));
        writeln!(out, "\n{green} green, {red} red, {yours} that nobody can measure from here")?;
        let accepted = self.controls.iter().filter(|one| one.state == State::Red && self.is_accepted(one)).count();
        if accepted > 0 { writeln!(out, "* {accepted} of the red are accepted (--accept)") } else { Ok(()) }
    }

    pub(super) fn json(&self, now: OffsetDateTime, out: &mut (dyn Write + Send)) -> io::Result<()> {
        let control = |one: &Control| {
            let accepted = one.state == State::Red && self.is_accepted(one);
            json!({ "control": one.name, "claim": one.claim, "state": one.state.word(), "accepted": accepted,
                    "evidence": one.evidence })
        };
        let reveals = |one: &Reveals| json!({ "stolen": one.stolen, "reveals": one.reveals });
        let all = json!({
            "measured_at": shown(now),
            "green": self.count(State::Green),
            "red": self.count(State::Red),
            "yours": self.count(State::Yours),
            "controls": self.controls.iter().map(control).collect::<Vec<_>>(),
            "stores": self.reveals.iter().map(reveals).collect::<Vec<_>>(),
        });
        writeln!(out, "{all:#}")
    }
}

/// Breaks what was measured into lines below each other.
fn lines(first: &str, words: &str, out: &mut (dyn Write + Send)) -> io::Result<()> {
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in words.split(' ') {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(out, "{}", line.trim_end())?;
            line = " ".repeat(MARGIN);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    writeln!(out, "{line}")
}

/// How long ago, in the largest whole unit.
pub(super) fn ago(span: Duration) -> String {
    match span.whole_seconds() {
        ..120 => format!("{} s ago", span.whole_seconds().max(0)),
        120..7200 => format!("{} min ago", span.whole_minutes()),
        7200..172_800 => format!("{} h ago", span.whole_hours()),
        _ => format!("{} days ago", span.whole_days()),
    }
}
