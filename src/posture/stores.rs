//! What each store reveals when it is stolen alone, and each two of them together. It follows from where the stores are and from what
//! the key tree has: `docs/privacy.md` says why.

use super::facts::Facts;

/// What somebody learns from what they stole.
#[derive(Debug, Clone)]
pub struct Reveals {
    /// Which stores.
    pub stolen: &'static str,
    /// What they reveal. No path, address or datum of a person.
    pub reveals: String,
}

/// Every store alone, every two of those that the keys are made of, and what has to come together before anything opens.
pub(super) fn reveals(facts: &Facts) -> Vec<Reveals> {
    let (numbers, applications) = (facts.numbers.len(), facts.receivers.len());
    let has_cell = !facts.top.places.is_empty();
    let together = facts.data.server == facts.key_store.server;
    let kms = facts.top.kms;
    let data = format!(
        "that things happened: random ids of people, types, times, states; Meta's ids of {numbers} numbers and hosts of {applications} \
         applications. No word, name or number of anybody"
    );
    let beside = if together { "They lie on one server, and are stolen together: data" } else { "Data" };
    let cell = "random bytes";
    let without_kms = "nothing opens without the KMS secret";
    let opened_keys = if has_cell {
        "nothing opens without enough places of the epoch cell"
    } else {
        "there is no epoch cell: the keys open, and every older copy of them"
    };
    let (files, everything) = if facts.files {
        (FILES, "everything that was not forgotten; what is in files, where they are stolen too")
    } else {
        ("files are not kept", "everything that was not forgotten")
    };
    let witnesses = match facts.log.witnesses {
        0 => "there are none".to_owned(),
        some => format!(
            "{some} know the size of the audit log, when it grew, and hashes that are salted: nothing of any entry"
        ),
    };
    let row = |stolen, reveals: &str| Reveals { stolen, reveals: reveals.to_owned() };
    vec![
        row("data", &data),
        row("keys", "locked keys: random ids of people, and in which months they wrote or were written to"),
        row("epoch cell", if has_cell { cell } else { "there is none" }),
        row("KMS secret", &format!("{kms}: a key that opens nothing by itself")),
        row("files", files),
        row("witnesses", &witnesses),
        row("data + keys", &format!("{beside} and locked keys: {without_kms}")),
        row("data + epoch cell", "what the data reveal alone"),
        row("keys + epoch cell", &format!("locked keys: {without_kms}")),
        row("data + KMS secret", "what the data reveal alone"),
        row("keys + KMS secret", opened_keys),
        row("epoch cell + KMS secret", if has_cell { "the root, and no key below it" } else { "a key alone" }),
        row(if has_cell { "data, keys, cell and secret" } else { "data + keys + KMS secret" }, everything),
    ]
}

/// Of names and bytes of objects alone.
const FILES: &str = "sealed files under random ids: how many, how long, and when they came. What they are called and whose they are lies in the data, \
                     sealed; what opens them is made of the keys";
