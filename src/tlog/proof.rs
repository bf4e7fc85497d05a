//! Proofs that stand alone (C2SP tlog-proof): index, path and signed checkpoint in one text; and the requests that witnesses take
//! (C2SP tlog-witness), which are of the same kind.

use std::fmt;

use data_encoding::BASE64;

use super::checkpoint::{Checkpoint, decimal};
use super::merkle::{Hash, is_included};
use super::note::Note;
use super::policy::{Policy, Unaccepted};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
/// A tree of 64 bits has no longer paths.
const LONGEST_PATH: usize = 63;

/// That an entry is in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// What the application adds; nobody signed it.
    pub extra: Option<Vec<u8>>,
    /// Position of the entry.
    pub index: u64,
    /// From the leaf's sibling up.
    pub path: Vec<Hash>,
    /// The checkpoint, signed.
    pub checkpoint: Note,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unproved {
    /// The text is no proof.
    #[error("the proof is malformed")]
    Malformed,
    /// The path does not lead from the entry to the root.
    #[error("the entry is not in the log at this place")]
    NotIncluded,
    /// The checkpoint does not meet the policy.
    #[error(transparent)]
    Checkpoint(#[from] Unaccepted),
}

impl Proof {
    /// Reads a proof.
    ///
    /// # Errors
    /// [`Unproved::Malformed`].
    pub fn parse(text: &str) -> Result<Self, Unproved> {
        Self::read(text).ok_or(Unproved::Malformed)
    }

    fn read(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(FIRST_LINE)?.strip_prefix('\n')?;
        let (extra, rest) = match rest.strip_prefix("extra ").map(|rest| rest.split_once('\n')) {
            Some(Some((extra, rest))) => (Some(BASE64.decode(extra.as_bytes()).ok()?), rest),
            Some(None) => return None,
            None => (None, rest),
        };
        let (index, rest) = rest.strip_prefix("index ")?.split_once('\n')?;
        let (path, checkpoint) = read_path(rest)?;
        let (index, checkpoint) = (decimal(index)?, Note::parse(checkpoint).ok()?);
        Some(Self { extra, index, path, checkpoint })
    }

    /// Checks that the entry with this leaf hash is in a log that the policy accepts. Returns the checkpoint.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(&self, leaf: &Hash, policy: &Policy) -> Result<Checkpoint, Unproved> {
        let checkpoint = policy.accept(&self.checkpoint)?;
        let head = checkpoint.head;
        if is_included(leaf, self.index, head.size, &self.path, &head.root) {
            Ok(checkpoint)
        } else {
            Err(Unproved::NotIncluded)
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        write_path(f, &self.path)?;
        write!(f, "{}", self.checkpoint)
    }
}

/// What a log asks of a witness: to cosign a checkpoint that continues the one that it cosigned last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size that the witness cosigned last; 0 when it never did.
    pub old: u64,
    /// Consistency proof.
    pub path: Vec<Hash>,
    /// The new checkpoint, signed by the log.
    pub checkpoint: Note,
}

impl AddCheckpoint {
    /// Reads a request. `None`: another form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (old, rest) = text.strip_prefix("old ")?.split_once('\n')?;
        let (path, checkpoint) = read_path(rest)?;
        Some(Self { old: decimal(old)?, path, checkpoint: Note::parse(checkpoint).ok()? })
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        write_path(f, &self.path)?;
        write!(f, "{}", self.checkpoint)
    }
}

/// Hashes until the empty line, and what follows it.
fn read_path(mut rest: &str) -> Option<(Vec<Hash>, &str)> {
    let mut path = Vec::new();
    loop {
        let (line, behind) = rest.split_once('\n')?;
        if line.is_empty() {
            return Some((path, behind));
        }
        if path.len() >= LONGEST_PATH {
            return None;
        }
        path.push(BASE64.decode(line.as_bytes()).ok()?.try_into().ok()?);
        rest = behind;
    }
}

fn write_path(f: &mut fmt::Formatter<'_>, path: &[Hash]) -> fmt::Result {
    path.iter().try_for_each(|hash| writeln!(f, "{}", BASE64.encode(hash)))?;
    writeln!(f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::merkle::{Head, leaf_hash, node_hash};
    use crate::tlog::note::{Signer, Use};
    use zeroize::Zeroizing;

    fn proof() -> (Proof, Policy) {
        let signer = Signer::new("example.com/log", Use::Log, Zeroizing::new([7; 32])).unwrap();
        let (one, other) = (leaf_hash(b"one"), leaf_hash(b"other"));
        let head = Head { size: 2, root: node_hash(&one, &other) };
        let text = Checkpoint { origin: "example.com/log".into(), head }.to_string();
        let mut checkpoint = Note::unsigned(&text).unwrap();
        checkpoint.add(&signer.line(&text, 0)).unwrap();
        let policy = Policy::parse(&format!("log {}\nquorum none\n", signer.verifier())).unwrap();
        (Proof { extra: None, index: 1, path: vec![one], checkpoint }, policy)
    }

    #[test]
    fn a_proof_survives_being_written_and_proves_its_entry_alone() {
        let (proof, policy) = proof();
        for extra in [None, Some(b"salt".to_vec())] {
            let proof = Proof { extra, ..proof.clone() };
            let read = Proof::parse(&proof.to_string()).unwrap();
            assert_eq!(read, proof);
            assert_eq!(read.verify(&leaf_hash(b"other"), &policy).unwrap().head.size, 2);
            assert_eq!(read.verify(&leaf_hash(b"one"), &policy), Err(Unproved::NotIncluded));
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        let text = proof().0.to_string();
        for end in 0..text.len() {
            if let Some(part) = text.get(..end) {
                assert_eq!(Proof::parse(part), Err(Unproved::Malformed), "{end}");
            }
        }
    }

    #[test]
    fn a_request_to_a_witness_survives_being_written() {
        let (proof, _) = proof();
        let request = AddCheckpoint { old: 1, path: proof.path, checkpoint: proof.checkpoint };
        assert_eq!(AddCheckpoint::parse(&request.to_string()), Some(request));
        assert_eq!(AddCheckpoint::parse("old 01\n\n"), None);
    }
}
