//! How the posture is told: to people by groups of the article, to programs as JSON.

use std::io::{self, Write};

use serde_json::json;

use crate::cli::moment::shown;
use crate::posture::{Control, Measured, Reveals, State};

/// Columns of a terminal that lines are broken for.
const WIDTH: usize = 110;
/// Where what was measured begins.
const MARGIN: usize = 31;

/// What there is to tell.
pub(super) struct Told<'a> {
    pub(super) measured: &'a Measured,
    pub(super) accepted: &'a [String],
}

impl Told<'_> {
    fn is_accepted(&self, one: &Control) -> bool {
        self.accepted.iter().any(|name| name == one.name)
    }

    pub(super) fn text(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        let mut claim = "";
        for one in &self.measured.controls {
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
        for one in &self.measured.reveals {
            lines(&format!("  {:<27}  ", one.stolen), &one.reveals, out)?;
        }
        let [green, red, yours] = [State::Green, State::Red, State::Yours].map(|state| self.measured.count(state));
        writeln!(out, "\n{green} green, {red} red, {yours} that nobody can measure from here")?;
        let accepted =
            self.measured.controls.iter().filter(|one| one.state == State::Red && self.is_accepted(one)).count();
        if accepted > 0 { writeln!(out, "* {accepted} of the red are accepted (--accept)") } else { Ok(()) }
    }

    pub(super) fn json(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        let control = |one: &Control| {
            let accepted = one.state == State::Red && self.is_accepted(one);
            json!({ "control": one.name, "claim": one.claim, "state": one.state.word(), "accepted": accepted,
                    "evidence": one.evidence })
        };
        let reveals = |one: &Reveals| json!({ "stolen": one.stolen, "reveals": one.reveals });
        let all = json!({
            "measured_at": shown(self.measured.at),
            "green": self.measured.count(State::Green),
            "red": self.measured.count(State::Red),
            "yours": self.measured.count(State::Yours),
            "controls": self.measured.controls.iter().map(control).collect::<Vec<_>>(),
            "stores": self.measured.reveals.iter().map(reveals).collect::<Vec<_>>(),
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

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn an_accepted_control_stays_red_and_is_marked() {
        let control = |name, state| Control { name, claim: "Records", state, evidence: "nobody cosigns ".repeat(20) };
        let controls = vec![control("witnesses", State::Red), control("rows", State::Green)];
        let reveals = vec![Reveals { stolen: "data, keys, cell and secret", reveals: "everything".repeat(3) }];
        let measured = Measured::new(datetime!(2026-11-24 12:00 UTC), controls, reveals);
        let mut out = Vec::new();
        Told { measured: &measured, accepted: &["witnesses".to_owned()] }.text(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("red*   witnesses") && text.contains("1 red"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
    }
}
