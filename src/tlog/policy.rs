//! Policies (C2SP tlog-policy): which logs are believed, and which witnesses must have seen the same.

use std::collections::{HashMap, HashSet};

use super::checkpoint::Checkpoint;
use super::note::{Note, NoteError, Use, VerifierKey};

/// Why a checkpoint is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unaccepted {
    /// The text of the note is no checkpoint.
    #[error("the note is no checkpoint")]
    NoCheckpoint,
    /// No log of the policy signed it.
    #[error("no log of the policy signed the checkpoint")]
    UnknownLog,
    /// A signature of a log or witness of the policy is wrong.
    #[error("a signature on the checkpoint is wrong")]
    WrongSignature,
    /// Fewer witnesses than the quorum asks for.
    #[error("the checkpoint lacks witnesses")]
    Unwitnessed,
}

/// Why a text is no policy: the line, counted from 1, and what is wrong with it. Line 0: something is missing in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct BadPolicy {
    /// Line.
    pub line: usize,
    /// What is wrong.
    pub what: &'static str,
}

/// A witness of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Its key.
    pub key: VerifierKey,
    /// Where it is asked, when the policy says so.
    pub url: Option<String>,
}

#[derive(Debug, Clone)]
enum Member {
    Witness(usize),
    Group { wanted: usize, members: Vec<String> },
}

/// Whom to believe.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    logs: Vec<VerifierKey>,
    witnesses: Vec<Witness>,
    names: HashMap<String, Member>,
    quorum: Option<String>,
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(text: &str) -> Result<Self, BadPolicy> {
        let mut reading = Reading::default();
        for (at, line) in text.split('\n').enumerate() {
            let fault = |what| BadPolicy { line: at + 1, what };
            if line.chars().any(|letter| letter.is_ascii_control() && letter != '\t') {
                return Err(fault("control characters"));
            }
            reading.line(line).map_err(fault)?;
        }
        if reading.has_quorum {
            Ok(reading.policy)
        } else {
            Err(BadPolicy { line: 0, what: "there is no quorum line" })
        }
    }

    /// A policy that believes one log without witnesses.
    #[must_use]
    pub fn only_log(key: VerifierKey) -> Self {
        Self { logs: vec![key], ..Self::default() }
    }

    /// The logs that are believed.
    #[must_use]
    pub fn logs(&self) -> &[VerifierKey] {
        &self.logs
    }

    /// The witnesses that count.
    #[must_use]
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// Checks the signatures on a checkpoint.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub fn accept(&self, note: &Note) -> Result<Checkpoint, Unaccepted> {
        let checkpoint = Checkpoint::parse(note.text()).ok_or(Unaccepted::NoCheckpoint)?;
        let own = self.logs.iter().filter(|log| log.name() == checkpoint.origin);
        // One good signature of a log does; a wrong one beside it is somebody's mistake.
        let signed: Vec<_> = own.map(|log| note.verify(log)).collect();
        if !signed.iter().any(Result::is_ok) {
            let wrong = signed.contains(&Err(NoteError::Wrong));
            return Err(if wrong { Unaccepted::WrongSignature } else { Unaccepted::UnknownLog });
        }
        let seen: Vec<_> = self.witnesses.iter().map(|witness| note.verify(&witness.key)).collect();
        let is_enough = self.quorum.as_ref().is_none_or(|quorum| self.has_seen(quorum, &seen));
        match (is_enough, seen.contains(&Err(NoteError::Wrong))) {
            (true, _) => Ok(checkpoint),
            (false, true) => Err(Unaccepted::WrongSignature),
            (false, false) => Err(Unaccepted::Unwitnessed),
        }
    }

    fn has_seen(&self, name: &str, seen: &[Result<Option<u64>, NoteError>]) -> bool {
        match self.names.get(name) {
            None => false,
            Some(Member::Witness(at)) => seen.get(*at).is_some_and(Result::is_ok),
            Some(Member::Group { wanted, members }) => {
                members.iter().filter(|member| self.has_seen(member, seen)).count() >= *wanted
            }
        }
    }
}

/// Lines, witnesses and groups in all; more is nobody's policy.
const MOST_NAMES: usize = 256;

#[derive(Default)]
struct Reading {
    policy: Policy,
    members: HashSet<String>,
    has_quorum: bool,
}

impl Reading {
    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["log", key] | ["log", key, _] => self.log(key),
            ["witness", name, key] => self.witness(name, key, None),
            ["witness", name, key, url] => self.witness(name, key, Some(url)),
            ["group", name, wanted, members @ ..] => self.group(name, wanted, members),
            ["quorum", name] => self.quorum(name),
            _ => Err("expected log, witness, group or quorum with what belongs to it"),
        }
    }

    fn log(&mut self, key: &str) -> Result<(), &'static str> {
        let key = read_key(key, Use::Log)?;
        if self.policy.logs.iter().any(|log| log.public() == key.public()) {
            return Err("the key of this log stands here twice");
        }
        self.policy.logs.push(key);
        Ok(())
    }

    fn witness(&mut self, name: &str, key: &str, url: Option<&str>) -> Result<(), &'static str> {
        let key = read_key(key, Use::Witness)?;
        if self.policy.witnesses.iter().any(|witness| witness.key.public() == key.public()) {
            return Err("the key of this witness stands here twice");
        }
        self.name(name, Member::Witness(self.policy.witnesses.len()))?;
        self.policy.witnesses.push(Witness { key, url: url.map(str::to_owned) });
        Ok(())
    }

    fn group(&mut self, name: &str, wanted: &str, members: &[&str]) -> Result<(), &'static str> {
        let wanted = match wanted {
            "all" => members.len(),
            "any" => 1,
            number => number.parse().map_err(|_| "expected all, any or a number")?,
        };
        if wanted == 0 || wanted > members.len() {
            return Err("the number is not between 1 and that of the members");
        }
        for member in members {
            if !self.policy.names.contains_key(*member) {
                return Err("a member is not defined above");
            }
            if !self.members.insert((*member).to_owned()) {
                return Err("a member belongs to two groups");
            }
        }
        self.name(name, Member::Group { wanted, members: members.iter().map(|one| (*one).to_owned()).collect() })
    }

    fn quorum(&mut self, name: &str) -> Result<(), &'static str> {
        if std::mem::replace(&mut self.has_quorum, true) {
            return Err("there are two quorum lines");
        }
        match name {
            "none" => Ok(()),
            _ if self.policy.names.contains_key(name) => {
                self.policy.quorum = Some(name.to_owned());
                Ok(())
            }
            _ => Err("the quorum is not defined above"),
        }
    }

    fn name(&mut self, name: &str, member: Member) -> Result<(), &'static str> {
        if self.policy.names.len() >= MOST_NAMES {
            return Err("more names than are read");
        }
        let is_new = name != "none" && self.policy.names.insert(name.to_owned(), member).is_none();
        if is_new { Ok(()) } else { Err("the name is taken") }
    }
}

fn read_key(text: &str, used: Use) -> Result<VerifierKey, &'static str> {
    let key = VerifierKey::parse(text).map_err(|_| "expected a verifier key")?;
    if key.used() == used { Ok(key) } else { Err("the key is of the other kind") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::merkle::{Head, empty_root};
    use crate::tlog::note::Signer;
    use zeroize::Zeroizing;

    fn signer(name: &str, used: Use, seed: u8) -> Signer {
        Signer::new(name, used, Zeroizing::new([seed; 32])).unwrap()
    }

    struct World {
        log: Signer,
        witnesses: Vec<Signer>,
        policy: Policy,
    }

    fn world(quorum: &str) -> World {
        let log = signer("example.com/log", Use::Log, 1);
        let witnesses: Vec<Signer> =
            (2..5).map(|seed| signer(&format!("w{seed}.example"), Use::Witness, seed)).collect();
        let mut text = format!("# who\nlog {} https://log.example\n\n", log.verifier());
        let lines = witnesses.iter().enumerate().map(|(at, witness)| format!("witness W{at} {}\n", witness.verifier()));
        text.extend(lines.chain([format!("\tgroup two 2 W0 W1 W2\nquorum {quorum}")]));
        World { policy: Policy::parse(&text).unwrap(), log, witnesses }
    }

    fn checkpoint(signers: &[&Signer]) -> Note {
        let head = Head { size: 0, root: empty_root() };
        let text = Checkpoint { origin: "example.com/log".into(), head }.to_string();
        let mut note = Note::unsigned(&text).unwrap();
        for signer in signers {
            note.add(&signer.line(&text, 9)).unwrap();
        }
        note
    }

    #[test]
    fn a_checkpoint_needs_its_log_and_its_quorum() {
        let World { log, witnesses, policy } = world("two");
        let [a, b, c] = [&witnesses[0], &witnesses[1], &witnesses[2]];
        assert!(policy.accept(&checkpoint(&[&log, a, c])).is_ok());
        assert!(policy.accept(&checkpoint(&[&log, a, b, c])).is_ok());
        assert_eq!(policy.accept(&checkpoint(&[&log, b])), Err(Unaccepted::Unwitnessed));
        assert_eq!(policy.accept(&checkpoint(&[&log, b, b])), Err(Unaccepted::Unwitnessed));
        assert_eq!(policy.accept(&checkpoint(&[a, b])), Err(Unaccepted::UnknownLog));
        assert!(world("none").policy.accept(&checkpoint(&[&log])).is_ok());
        assert_eq!(world("W1").policy.accept(&checkpoint(&[&log, a])), Err(Unaccepted::Unwitnessed));
    }

    #[test]
    fn a_wrong_signature_of_somebody_known_is_told_as_such() {
        let World { log, policy, .. } = world("none");
        let forged = checkpoint(&[&log]).to_string().replacen("\n0\n", "\n7\n", 1);
        assert_eq!(policy.accept(&Note::parse(&forged).unwrap()), Err(Unaccepted::WrongSignature));
    }

    #[test]
    fn what_is_wrong_with_a_policy_is_told_by_its_line() {
        let (log, witness) = (signer("l", Use::Log, 1), signer("w", Use::Witness, 2));
        let (log, witness) = (log.verifier(), witness.verifier());
        for (text, line) in [
            (String::new(), 0),
            ("quorum two".into(), 1),
            ("quorum none\nquorum none".into(), 2),
            (format!("log {witness}\nquorum none"), 1),
            (format!("witness a {log}\nquorum none"), 1),
            (format!("log {log}\nlog {log}\nquorum none"), 2),
            (format!("witness a {witness}\nwitness b {witness}\nquorum none"), 2),
            (format!("witness none {witness}\nquorum none"), 1),
            (format!("witness a {witness}\ngroup g 2 a\nquorum g"), 2),
            (format!("witness a {witness}\ngroup g any a\ngroup h any a\nquorum g"), 3),
            ("group g any\nquorum none".into(), 1),
            ("nonsense\nquorum none".into(), 1),
            ("quorum none\r\n".into(), 1),
        ] {
            assert_eq!(Policy::parse(&text).unwrap_err().line, line, "{text}");
        }
    }
}
