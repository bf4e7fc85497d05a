//! Who may see what.

use time::Duration;

use super::super::facts::Facts;
use super::{Verdict, names, some, verdict};

pub(super) fn masking(facts: &Facts) -> Verdict {
    let (unmasked, personal) =
        (names(&facts.keys, |key| key.personal && key.unmasked), names(&facts.keys, |key| key.personal));
    let open = names(&facts.keys, |key| key.personal && key.unmasked && !key.budget && !key.confined);
    let told = format!("{} of {} keys that see people see names and numbers in clear", unmasked.len(), personal.len());
    if open.is_empty() {
        return verdict(true, told);
    }
    verdict(false, format!("{told}; without a budget and from any network: {}", some(&open)))
}

pub(super) fn tenant_rows(facts: &Facts) -> Verdict {
    match &facts.rows_kept {
        Ok(()) => verdict(
            true,
            "six database roles, each with the rights of its work, and row policies are in force".to_owned(),
        ),
        Err(why) => verdict(false, format!("the database roles are not used: {why}")),
    }
}

pub(super) fn key_expiry(facts: &Facts) -> Verdict {
    let long = names(&facts.keys, |key| key.life > Duration::days(366));
    let longest = facts.keys.iter().map(|key| key.life.whole_days()).max().unwrap_or_default();
    if long.is_empty() {
        return verdict(
            true,
            format!("{} keys in force, all end; the longest was made for {longest} days", facts.keys.len()),
        );
    }
    verdict(false, format!("made for more than a year: {}", some(&long)))
}

pub(super) fn idle_keys(facts: &Facts) -> Verdict {
    let idle = names(&facts.keys, |key| key.idle);
    if idle.is_empty() {
        return verdict(true, format!("each of {} keys was used or made within 90 days", facts.keys.len()));
    }
    verdict(false, format!("not used for 90 days: {}", some(&idle)))
}

pub(super) fn admin_keys(facts: &Facts) -> Verdict {
    let admins = names(&facts.keys, |key| key.admin);
    let open = names(&facts.keys, |key| key.admin && !key.confined);
    if open.is_empty() {
        return verdict(
            true,
            format!("{} keys may make keys, endpoints or apps, all confined to networks", admins.len()),
        );
    }
    verdict(false, format!("may make keys, endpoints or apps from any network (--cidr): {}", some(&open)))
}

pub(super) fn second_factor(facts: &Facts) -> Verdict {
    if facts.listeners.iter().any(|one| one.name == "internal" && one.mutual) {
        return verdict(true, "a client certificate is asked for beside each key".to_owned());
    }
    let open = names(&facts.keys, |key| key.personal && !key.confined);
    if open.is_empty() {
        return verdict(true, "every key that sees people is confined to networks".to_owned());
    }
    verdict(false, format!("see people by the key alone, from any network: {}", some(&open)))
}

pub(super) fn read_budgets(facts: &Facts) -> Verdict {
    let open = names(&facts.keys, |key| key.personal && !key.budget);
    if open.is_empty() {
        return verdict(true, "every key that sees people is locked when it sees too many in an hour".to_owned());
    }
    verdict(false, format!("see as many people as they like (--budget): {}", some(&open)))
}
