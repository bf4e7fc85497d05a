//! What each store reveals when it is stolen alone, and each two of them together. It follows from where the stores are and from what
//! the key tree has: `docs/privacy.md` says why.

use super::facts::Facts;

/// What somebody learns from what they stole.
#[derive(Debug)]
pub(super) struct Reveals {
    pub(super) stolen: &'static str,
    pub(super) reveals: String,
}

/// Every store alone, every two, and what has to come together before anything opens.
pub(super) fn reveals(facts: &Facts) -> Vec<Reveals> {
    let (numbers, applications) = (facts.numbers.len(), facts.receivers.len());
    let has_cell = !facts.top.places.is_empty();
    let together = facts.data.server == facts.key_store.server;
    let kms = facts.top.kms;
    let data = format!(
        "that things happened: random ids of people, types, times, states; Meta's ids of {numbers} numbers and hosts of {applications} \
         applications. No word, name or number of anybody. {}",
        facts.media
    );
    let beside = if together { "They lie on one server, and are stolen together: data" } else { "Data" };
    let cell = "random bytes";
    let without_kms = "nothing opens without the KMS secret";
    let opened_keys = if has_cell {
        "nothing opens without enough places of the epoch cell"
    } else {
        "there is no epoch cell: the keys open, and every older copy of them"
    };
    let row = |stolen, reveals: &str| Reveals { stolen, reveals: reveals.to_owned() };
    vec![
        row("data", &data),
        row("keys", "locked keys: random ids of people, and in which months they wrote or were written to"),
        row("epoch cell", if has_cell { cell } else { "there is none" }),
        row("KMS secret", &format!("{kms}: a key that opens nothing by itself")),
        row("data + keys", &format!("{beside} and locked keys: {without_kms}")),
        row("data + epoch cell", "what the data reveal alone"),
        row("keys + epoch cell", &format!("locked keys: {without_kms}")),
        row("data + KMS secret", "what the data reveal alone"),
        row("keys + KMS secret", opened_keys),
        row("epoch cell + KMS secret", if has_cell { "the root, and no key below it" } else { "a key alone" }),
        row(if has_cell { "all four" } else { "data + keys + KMS secret" }, "everything that was not forgotten"),
    ]
}
