//! What is kept, forgotten and recorded.

use time::{Duration, OffsetDateTime};

use super::super::facts::Facts;
use super::super::{State, ago};
use super::{Verdict, some, verdict, yours};
use crate::domain::keeping::RuleSource;
use crate::privacy::{Attested, ChannelRule};

/// An entry that waits for longer is not in the tree for a reason.
const LOG_STANDS: Duration = Duration::minutes(5);
/// A posture that is measured more rarely is not looked at regularly.
const AUDITED_WITHIN: Duration = Duration::days(31);
/// The longest that the shop of the article keeps content.
const LONGEST_CONTENT: u16 = 90;

pub(super) fn erasures(facts: &Facts) -> Verdict {
    let count = facts.erasures;
    let told =
        format!("{} under way, {} older than 30 days, {} wait for a hold", count.running, count.overdue, count.held);
    verdict(count.overdue == 0, told)
}

pub(super) fn requests(facts: &Facts) -> Verdict {
    let (open, soon, overdue) = facts.requests;
    let told = format!(
        "{open} requests of people are open, {soon} are due within 7 days, {overdue} should have been answered"
    );
    verdict(overdue == 0, told)
}

pub(super) fn holds(facts: &Facts) -> Verdict {
    let count = facts.holds;
    let told = format!(
        "{} in force, {} end within 7 days, {} have waited for an approval for 7 days",
        count.in_force, count.ending, count.unapproved
    );
    verdict(count.ending == 0 && count.unapproved == 0, told)
}

pub(super) fn consent(facts: &Facts) -> Verdict {
    let word = |is_on: bool| if is_on { "on" } else { "off" };
    let told = format!("send.check_consent is {}, send.check_window is {}", word(facts.consent), word(facts.window));
    verdict(facts.consent && facts.window, told)
}

pub(super) fn training(_: &Facts) -> Verdict {
    yours(
        "nobody measures from here whether people know what to do; `waxseal erase --dry-run` and decoys are good for exercises",
    )
}

pub(super) fn audit_log(facts: &Facts) -> Verdict {
    match &facts.log.checked {
        Ok((size, checkpoints)) => verdict(
            true,
            format!("{size} entries and {checkpoints} checkpoints are of one tree, from the first to the last"),
        ),
        Err(damage) => verdict(false, damage.clone()),
    }
}

pub(super) fn audit_tree(facts: &Facts) -> Verdict {
    let newest = facts
        .log
        .newest_checkpoint
        .map_or_else(|| "none is shown yet".to_owned(), |at| format!("the newest was made {}", ago(facts.now - at)));
    if facts.log.waits > LOG_STANDS {
        let waits = ago(facts.log.waits);
        return verdict(
            false,
            format!("checkpoints: {newest}; an entry of {waits} waits for its place: does a gateway run?"),
        );
    }
    verdict(true, format!("checkpoints: {newest}; no entry waits for its place"))
}

pub(super) fn witnesses(facts: &Facts) -> Verdict {
    let log = &facts.log;
    if log.quorum == 0 {
        return verdict(false, "none (audit.witnesses): who holds the keys could show two different logs".to_owned());
    }
    verdict(true, format!("{} of {} must sign each checkpoint before it is shown", log.quorum, log.witnesses))
}

pub(super) fn alarms(facts: &Facts) -> Verdict {
    let decoys = if facts.decoys { "there are decoys" } else { "there is no decoy (`waxseal contact decoy`)" };
    let told = format!("{} applications are told of alarms, {decoys}", facts.alarm_receivers);
    verdict(facts.decoys && facts.alarm_receivers > 0, told)
}

/// That somebody looks, and not once: what each look found, the other controls say.
pub(super) fn audits(facts: &Facts) -> Verdict {
    let drilled = facts
        .backups
        .drilled_at
        .map_or_else(|| "no restore was tried yet".to_owned(), |at| format!("a restore was tried on {}", at.date()));
    match facts.measured_before {
        Some(at) if facts.now - at <= AUDITED_WITHIN => verdict(
            true,
            format!("this was measured before, {}; the log was read as a whole now; {drilled}", ago(facts.now - at)),
        ),
        Some(at) => {
            verdict(false, format!("this was measured last on {}: do so every month, by cron; {drilled}", at.date()))
        }
        None if facts.now.date() - facts.founded_on <= AUDITED_WITHIN => {
            verdict(true, "this installation is too young to have been measured before".to_owned())
        }
        None => verdict(false, "this was not measured of late: do so every month, by cron".to_owned()),
    }
}

pub(super) fn content_age(facts: &Facts) -> Verdict {
    match facts.content_days {
        Some(days) => {
            let words = |one: &ChannelRule| format!("{} of {} {}", one.class.as_str(), one.channel, one.keep);
            let rules: Vec<String> = facts.rules.iter().map(words).collect();
            let shorter = if rules.is_empty() { String::new() } else { format!("; {}", some(&rules)) };
            // It is cut; what came before content_days was lowered has keys that open it for longer in backups.
            let is_cut = facts.rules.iter().any(|one| one.source == RuleSource::ContentDays);
            let cut = if is_cut { "; a rule is longer than that: lower it" } else { "" };
            verdict(days <= LONGEST_CONTENT && !is_cut, format!("content is kept for {days} days{cut}{shorter}"))
        }
        None => verdict(false, "content is kept for ever (retention.content_days = 0)".to_owned()),
    }
}

pub(super) fn retention(facts: &Facts) -> Verdict {
    let words = |one: &Attested| format!("{} of {}", one.class, one.oldest);
    if !facts.overdue.is_empty() {
        let late: Vec<String> = facts.overdue.iter().map(words).collect();
        return verdict(false, format!("older than the rule allows: {}", some(&late)));
    }
    if facts.oldest.is_empty() {
        return verdict(true, "nothing is stored".to_owned());
    }
    let oldest: Vec<String> = facts.oldest.iter().map(|one| format!("{} {}", one.class, one.oldest)).collect();
    let is_late = |one: &Attested| one.horizon.is_some_and(|horizon| one.oldest < horizon);
    // What is held stays where it is (ADR 14), and is no breach of the rule.
    let held = if facts.oldest.iter().any(is_late) { "; what is older is held, or waits to be sent" } else { "" };
    verdict(true, format!("oldest: {}{held}", oldest.join(", ")))
}

pub(super) fn attestation(facts: &Facts) -> Verdict {
    let today = facts.now.date();
    match facts.attested_on {
        Some(day) if today - day <= Duration::days(2) => {
            verdict(true, format!("the log says of {day} how old the oldest was"))
        }
        None if today - facts.founded_on <= Duration::days(2) => {
            verdict(true, "the log is too young for one".to_owned())
        }
        Some(day) => verdict(false, format!("the last is of {day}: does a gateway run?")),
        None => verdict(false, "none within a week: does a gateway run?".to_owned()),
    }
}

pub(super) fn rows(facts: &Facts) -> Verdict {
    let (found, today) = (&facts.stored, facts.now.date());
    if !found.faults.is_empty() {
        let faults: Vec<String> = found.faults.iter().map(ToString::to_string).collect();
        return verdict(false, format!("not what was stored: {}", some(&faults)));
    }
    match found.said_at.map(OffsetDateTime::date) {
        Some(day) if today - day <= Duration::days(2) => {
            verdict(true, format!("{} rows and all settings are as the log said on {day}", found.rows))
        }
        None if today - facts.founded_on <= Duration::days(2) => {
            verdict(true, "the log is too young to say what is stored".to_owned())
        }
        Some(day) => verdict(false, format!("the log last said on {day} what is stored: does a gateway run?")),
        None => verdict(false, "the log never said what is stored: does a gateway run?".to_owned()),
    }
}

pub(super) fn models(_: &Facts) -> Verdict {
    yours("budgets, decoys and bursts of refusals are watched; no model of this release looks at traffic or content")
}

pub(super) fn minimisation(facts: &Facts) -> Verdict {
    let all = facts.at_the_door.len();
    if all == 0 {
        return yours("there is no number yet");
    }
    let told: Vec<String> =
        facts.at_the_door.iter().filter_map(|(name, kept)| Some(format!("{name}: {}", kept.as_ref()?))).collect();
    let words = format!("{} of {all} numbers keep less than what Meta sends", told.len());
    if told.is_empty() {
        return (State::Yours, format!("{words} (`waxseal channel set --drop`)"));
    }
    verdict(true, format!("{words}; {}", some(&told)))
}
