//! `[audit]`: who cosigns the checkpoints of the audit log, and for how long its entries are kept.

use std::str::FromStr;

use url::Url;

use super::reader::Reader;

/// More witnesses are nobody's.
const MOST_WITNESSES: usize = 32;

/// The audit log.
#[derive(Debug, Clone)]
pub struct AuditConfig {
    /// Witnesses that are asked to cosign each checkpoint.
    pub witnesses: Vec<WitnessAt>,
    /// How many of them must have signed before a checkpoint is shown: 1 to all of them; 0 without witnesses.
    pub quorum: usize,
    /// Days after which entries are dropped; the tree over them stays.
    pub retention_days: u16,
}

/// A witness: its key and where it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessAt {
    /// As C2SP writes keys; of the right form is what the audit room says.
    pub key: String,
    /// What `/add-checkpoint` is put behind.
    pub url: Url,
}

impl FromStr for WitnessAt {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (key, url) = text.split_once(' ').ok_or(())?;
        let url = Url::parse(url.trim()).map_err(|_| ())?;
        let is_plain = matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
        if is_plain && !key.is_empty() { Ok(Self { key: key.to_owned(), url }) } else { Err(()) }
    }
}

impl AuditConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let witnesses: Option<Vec<WitnessAt>> =
            reader.list("audit.witnesses", "witnesses, each a key, a space and a URL without query");
        let quorum: Option<usize> = reader.number("audit.quorum", 0..=MOST_WITNESSES as u64);
        let retention_days = reader.number("audit.retention_days", 180..=36_525);
        let (witnesses, quorum) = (witnesses?, quorum?);
        match witnesses.len() {
            0 if quorum > 0 => reader.fault("audit.quorum", "must be 0 without audit.witnesses"),
            1.. if quorum == 0 || quorum > witnesses.len() => {
                reader.fault(
                    "audit.quorum",
                    format!("must be a number from 1 to that of the witnesses, {}", witnesses.len()),
                );
            }
            _ => {}
        }
        Some(Self { witnesses, quorum, retention_days: retention_days? })
    }
}
