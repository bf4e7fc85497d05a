//! Which witnesses cosign the log's checkpoints, and how many of them it takes.

use std::fmt::Write;

use url::Url;

use crate::tlog::note::{NoteError, Use, VerifierKey};

/// Why a list of witnesses cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadWitnesses {
    /// A key of another form, or that of a log.
    #[error("a witness's key is not the key of a witness")]
    Key,
    /// Who stands there twice would count twice.
    #[error("a witness stands there twice")]
    Twice,
    /// More than there are, or none of some.
    #[error("the quorum is not between 1 and the number of the witnesses")]
    Quorum,
}

/// Somebody who cosigns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Verifies what it signs.
    pub key: VerifierKey,
    /// What `/add-checkpoint` is put behind.
    pub url: Url,
}

/// Witnesses, and how many of them a checkpoint needs before it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Witnesses {
    all: Vec<Witness>,
    quorum: usize,
}

impl Witnesses {
    /// These, each as key and URL. None of them with a quorum of 0: checkpoints are shown at once.
    ///
    /// # Errors
    /// What is wrong with the first that cannot be used.
    pub fn new<'a>(all: impl IntoIterator<Item = (&'a str, Url)>, quorum: usize) -> Result<Self, BadWitnesses> {
        let mut witnesses = Self { all: Vec::new(), quorum };
        for (key, url) in all {
            let read = |_: NoteError| BadWitnesses::Key;
            let key = VerifierKey::parse(key).map_err(read)?;
            if key.used() != Use::Witness {
                return Err(BadWitnesses::Key);
            }
            if witnesses.all.iter().any(|other| other.key.public() == key.public()) {
                return Err(BadWitnesses::Twice);
            }
            witnesses.all.push(Witness { key, url });
        }
        let least = usize::from(!witnesses.all.is_empty());
        if (least..=witnesses.all.len()).contains(&quorum) { Ok(witnesses) } else { Err(BadWitnesses::Quorum) }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Witness] {
        &self.all
    }

    /// How many must have signed.
    #[must_use]
    pub const fn quorum(&self) -> usize {
        self.quorum
    }

    /// What those who verify this log's checkpoints ask for (C2SP tlog-policy): the log's key, the witnesses, the quorum.
    #[must_use]
    pub fn policy(&self, log: &str) -> String {
        let mut policy = format!("log {log}\n");
        let mut names = String::new();
        for (number, Witness { key, url }) in (1..).zip(&self.all) {
            // Writing into a text does not fail.
            let _ = writeln!(policy, "witness w{number} {key} {url}");
            let _ = write!(names, " w{number}");
        }
        match self.quorum {
            0 => policy + "quorum none\n",
            quorum => policy + &format!("group witnesses {quorum}{names}\nquorum witnesses\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::note::Signer;
    use crate::tlog::policy::Policy;
    use zeroize::Zeroizing;

    fn key(seed: u8, used: Use) -> String {
        Signer::new("example.com/w", used, Zeroizing::new([seed; 32])).unwrap().verifier().to_string()
    }

    fn witnesses(keys: &[String], quorum: usize) -> Result<Witnesses, BadWitnesses> {
        Witnesses::new(keys.iter().map(|key| (key.as_str(), Url::parse("https://w.example.com/x").unwrap())), quorum)
    }

    #[test]
    fn nobody_counts_twice_and_no_log_counts() {
        let [one, other, log] =
            [(1, Use::Witness), (2, Use::Witness), (3, Use::Log)].map(|(seed, used)| key(seed, used));
        assert_eq!(witnesses(&[one.clone(), one.clone()], 1), Err(BadWitnesses::Twice));
        assert_eq!(witnesses(&[one.clone(), log], 1), Err(BadWitnesses::Key));
        assert_eq!(witnesses(&["nonsense".to_owned()], 1), Err(BadWitnesses::Key));
        for quorum in [0, 3] {
            assert_eq!(witnesses(&[one.clone(), other.clone()], quorum), Err(BadWitnesses::Quorum));
        }
        assert!(witnesses(&[one, other], 2).is_ok() && witnesses(&[], 0).is_ok());
        assert_eq!(witnesses(&[], 1), Err(BadWitnesses::Quorum));
    }

    #[test]
    fn the_policy_for_verifiers_names_the_same_witnesses() {
        let log = key(9, Use::Log);
        let both = witnesses(&[key(1, Use::Witness), key(2, Use::Witness)], 2).unwrap();
        let policy = Policy::parse(&both.policy(&log)).unwrap();
        let keys: Vec<_> = policy.witnesses().iter().map(|witness| witness.key.clone()).collect();
        assert_eq!(keys, both.all().iter().map(|witness| witness.key.clone()).collect::<Vec<_>>());
        assert_eq!(Policy::parse(&Witnesses::default().policy(&log)).unwrap().witnesses().len(), 0);
    }
}
