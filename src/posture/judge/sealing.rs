//! What is sealed, and what opens it.

use time::{Duration, OffsetDateTime};

use super::super::backups::Backup;
use super::super::facts::Facts;
use super::super::{State, ago};
use super::{Verdict, some, verdict, yours};

pub(super) fn content_sealed(facts: &Facts) -> Verdict {
    let samples = &facts.samples;
    if samples.rows == 0 {
        return verdict(true, "nothing is stored yet that could be looked at".to_owned());
    }
    let drawn = format!("{} rows drawn of {}", samples.rows, samples.columns.join(", "));
    match samples.faults.first() {
        None => verdict(
            true,
            format!("{drawn}: {} opened in their place, {} have no key any more", samples.opened, samples.forgotten),
        ),
        Some((column, row)) => {
            verdict(false, format!("{drawn}: {} are damaged or not sealed, first {column} {row}", samples.faults.len()))
        }
    }
}

pub(super) fn no_plaintext(facts: &Facts) -> Verdict {
    if !facts.refuses_plaintext {
        return verdict(false, "the check of the domain \"sealed\" is gone: Postgres would store plaintext".to_owned());
    }
    if !facts.open_columns.is_empty() {
        return verdict(false, format!("no longer of the domain \"sealed\": {}", some(&facts.open_columns)));
    }
    verdict(true, format!("Postgres refuses anything but envelopes in {} columns", facts.sealed_columns))
}

pub(super) fn end_to_end(_: &Facts) -> Verdict {
    yours(
        "Meta reads every message on its side, by your contract with Meta: what is true here is sealing from the first byte on",
    )
}

pub(super) fn backups(facts: &Facts) -> Verdict {
    let (kept, terms) = (facts.backup_days, facts.backups.terms);
    let Some(most) = terms.max_age_days else {
        let told = format!("backup.max_age_days is 0: made by other means, and kept for {kept} days, as you said");
        return (State::Yours, told);
    };
    let mut wrong = Vec::new();
    let mut is_young = |what: &str, newest: Option<(OffsetDateTime, Backup)>| match newest {
        Some((at, one)) if facts.now - at <= Duration::days(most.into()) => {
            Some(format!("{what} {}, for {} recipients", ago(facts.now - at), one.recipients))
        }
        Some((at, _)) => {
            wrong.push(format!(
                "the newest of the {what} is of {}, {most} days are allowed (`waxseal backup`)",
                at.date()
            ));
            None
        }
        None => {
            wrong.push(format!("the log knows none of the {what} (`waxseal backup`)"));
            None
        }
    };
    let data = facts.backups.newest(|one| one.data);
    let keys = facts.backups.newest(|one| one.keys);
    let told: Vec<String> = [is_young("data", data), is_young("keys", keys)].into_iter().flatten().collect();
    if [data, keys].into_iter().flatten().any(|(_, one)| one.recipients < 2) {
        wrong.push("one recipient alone can open it: lose that key, and it is lost (--recipient)".to_owned());
    }
    if [data, keys].into_iter().flatten().any(|(_, one)| one.keys && !one.apart) {
        wrong.push("the keys lie beside the data (--keys-to)".to_owned());
    }
    let drilled = facts.backups.drilled_at;
    if let Some(days) = terms.drill_days {
        let since = drilled.unwrap_or_else(|| facts.founded_on.midnight().assume_utc());
        if facts.now - since > Duration::days(days.into()) {
            let last = drilled.map_or_else(|| "never".to_owned(), |at| format!("last on {}", at.date()));
            wrong.push(format!("a restore was tried {last}, {days} days are allowed (`waxseal restore --drill`)"));
        }
    }
    if !wrong.is_empty() {
        return verdict(false, wrong.join("; "));
    }
    let drill = drilled.map_or_else(|| "not yet".to_owned(), |at| format!("on {}", at.date()));
    verdict(
        true,
        format!(
            "the newest are of {}; a restore was tried {drill}; kept for {kept} days, as you said",
            told.join(" and ")
        ),
    )
}

pub(super) fn kms(facts: &Facts) -> Verdict {
    let top = &facts.top;
    match &top.kms_fault {
        Some(fault) => verdict(false, format!("{}: {fault}", top.kms)),
        None => verdict(true, format!("{} answers and opens the root", top.kms)),
    }
}

pub(super) fn epoch_cell(facts: &Facts) -> Verdict {
    let top = &facts.top;
    let lost: Vec<String> = (1..)
        .zip(&top.places)
        .filter_map(|(number, fault)| Some(format!("place {number}: {}", fault.as_ref()?)))
        .collect();
    if top.places.is_empty() {
        let words = "none (keys.cell_files): an old copy of the key tables opens what was forgotten";
        return verdict(false, words.to_owned());
    }
    if !lost.is_empty() {
        return verdict(false, some(&lost));
    }
    let (places, needed, disks) = (top.places.len(), top.needed, top.disks);
    let told = format!("{places} places on {disks} disks hold their share, {needed} are needed");
    if places < 2 {
        return verdict(false, format!("{told}: when that file is lost, everything is"));
    }
    if top.has_leftovers {
        return verdict(false, format!("{told}; one still holds a share of before"));
    }
    verdict(true, told)
}

pub(super) fn epoch_step(facts: &Facts) -> Verdict {
    let top = &facts.top;
    let stepped = top.stepped_at.map_or_else(|| "never stepped".to_owned(), |at| format!("stepped on {}", at.date()));
    match top.waits_since {
        Some(since) if facts.now - since > top.step_within + Duration::HOUR => {
            verdict(false, format!("epoch {}, {stepped}; what was forgotten waits since {}", top.epoch, since.date()))
        }
        Some(_) => {
            verdict(true, format!("epoch {}, {stepped}; something forgotten waits for the next step", top.epoch))
        }
        None => verdict(true, format!("epoch {}, {stepped}; nothing that was forgotten waits", top.epoch)),
    }
}

pub(super) fn separate_stores(facts: &Facts) -> Verdict {
    let (data, keys, top) = (&facts.data, &facts.key_store, &facts.top);
    let mut wrong = Vec::new();
    if data.server == keys.server {
        wrong.push("data and keys are on one database server (keys.url)");
    }
    if top.places.is_empty() {
        wrong.push("there is no epoch cell");
    } else if top.beside_secret == Some(true) {
        wrong.push("a place of the cell is on the disk of the KMS secret");
    }
    let told =
        format!("data and keys on servers of their own, {} places of the cell, KMS {}", top.places.len(), top.kms);
    match top.beside_secret {
        _ if !wrong.is_empty() => verdict(false, wrong.join("; ")),
        None => (State::Yours, format!("{told}; on which disk the KMS secret lies is not seen from here")),
        Some(_) => verdict(true, told),
    }
}

pub(super) fn region(facts: &Facts) -> Verdict {
    match &facts.region {
        None => yours("no region is named (region.name): any process with the passwords may work on the data"),
        Some((name, cloud)) if cloud.is_empty() => verdict(true, format!("the data are marked as those of \"{name}\"")),
        Some((name, cloud)) => verdict(
            true,
            format!("the data are marked as those of \"{name}\"; services of clouds may be in {}", some(cloud)),
        ),
    }
}
