//! Signed notes (C2SP signed-note): a text, a blank line, and a line for each signature. Ed25519 alone: as the key of a log, or as
//! that of a witness, whose signatures carry a time (C2SP tlog-cosignature, version 1).

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Begins each signature line: an em dash and a space.
const DASH: &str = "\u{2014} ";
/// Longer notes are refused.
const LONGEST_NOTE: usize = 1 << 20;
/// More signatures are refused.
const MOST_SIGNATURES: usize = 100;

/// What a key signs, and how. The number stands in front of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Use {
    /// The text itself: what logs do.
    Log = 1,
    /// The text behind a time: what witnesses do.
    Witness = 4,
}

/// Why a text is no note, no key, or not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Another form than the specification's.
    #[error("the note is malformed")]
    Malformed,
    /// Another form than that of a verifier key.
    #[error("the key is malformed")]
    Key,
    /// A signature under a known key does not match.
    #[error("a signature is wrong")]
    Wrong,
    /// No signature under the key.
    #[error("there is no signature of the key")]
    Unsigned,
}

/// Who signs: a name and a public key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: String,
    used: Use,
    public: [u8; 32],
}

impl VerifierKey {
    /// A key of this name. `None`: the name is empty, or holds white space or a plus sign.
    #[must_use]
    pub fn new(name: &str, used: Use, public: [u8; 32]) -> Option<Self> {
        is_name(name).then(|| Self { name: name.to_owned(), used, public })
    }

    /// Reads `name+id+key`.
    ///
    /// # Errors
    /// [`NoteError::Key`] for anything else, and for a key of another kind.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let bytes = BASE64.decode(key.as_bytes()).map_err(|_| NoteError::Key)?;
        let (&kind, public) = bytes.split_first().ok_or(NoteError::Key)?;
        let used = [Use::Log, Use::Witness].into_iter().find(|used| *used as u8 == kind).ok_or(NoteError::Key)?;
        let public = <[u8; 32]>::try_from(public).map_err(|_| NoteError::Key)?;
        let read = Self::new(name, used, public).ok_or(NoteError::Key)?;
        if HEXLOWER.encode(&read.id()) == id { Ok(read) } else { Err(NoteError::Key) }
    }

    /// The name that signature lines bear.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the key signs.
    #[must_use]
    pub const fn used(&self) -> Use {
        self.used
    }

    /// The public key alone.
    #[must_use]
    pub const fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// Tells keys of one name apart.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let hash = Sha256::new()
            .chain_update(&self.name)
            .chain_update([b'\n', self.used as u8])
            .chain_update(self.public)
            .finalize();
        std::array::from_fn(|at| hash.get(at).copied().unwrap_or(0))
    }

    /// Returns the time that a witness signed.
    fn verifies(&self, text: &str, signature: &[u8]) -> Result<Option<u64>, NoteError> {
        let key = UnparsedPublicKey::new(&ED25519, self.public);
        match self.used {
            Use::Log => key.verify(text.as_bytes(), signature).map(|()| None).map_err(|_| NoteError::Wrong),
            Use::Witness => {
                let (time, signature) = signature.split_first_chunk::<8>().ok_or(NoteError::Wrong)?;
                let time = u64::from_be_bytes(*time);
                let signed = key.verify(timed(text, time).as_bytes(), signature);
                signed.map(|()| Some(time)).map_err(|_| NoteError::Wrong)
            }
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.used as u8];
        key.extend_from_slice(&self.public);
        write!(f, "{}+{}+{}", self.name, HEXLOWER.encode(&self.id()), BASE64.encode(&key))
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|letter| letter.is_whitespace() || letter.is_control() || letter == '+')
}

fn timed(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// Signs notes. Its key is wiped when it is dropped.
pub struct Signer {
    seed: Zeroizing<[u8; 32]>,
    key: VerifierKey,
}

impl Signer {
    /// A signer of this name with the key that this seed gives (RFC 8032). `None`: the name cannot stand in a note.
    #[must_use]
    pub fn new(name: &str, used: Use, seed: Zeroizing<[u8; 32]>) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).ok()?;
        let public = <[u8; 32]>::try_from(pair.public_key().as_ref()).ok()?;
        Some(Self { key: VerifierKey::new(name, used, public)?, seed })
    }

    /// The key that verifies what is signed here.
    #[must_use]
    pub const fn verifier(&self) -> &VerifierKey {
        &self.key
    }

    /// The signature line for `text`, which must end with a newline. `now` in Unix seconds is signed by witnesses alone.
    #[must_use]
    pub fn line(&self, text: &str, now: u64) -> String {
        let mut bytes = self.key.id().to_vec();
        let message = match self.key.used {
            Use::Log => text.to_owned(),
            Use::Witness => {
                bytes.extend_from_slice(&now.to_be_bytes());
                timed(text, now)
            }
        };
        if let Ok(pair) = Ed25519KeyPair::from_seed_unchecked(self.seed.as_slice()) {
            bytes.extend_from_slice(pair.sign(message.as_bytes()).as_ref());
        }
        format!("{DASH}{} {}\n", self.key.name, BASE64.encode(&bytes))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.key.name)
    }
}

/// A text with signatures that nobody has looked at yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
    line: String,
}

impl Note {
    /// A text without signatures yet. `None`: it does not end with a newline, or holds control characters.
    #[must_use]
    pub fn unsigned(text: &str) -> Option<Self> {
        is_text(text).then(|| Self { text: text.to_owned(), signatures: Vec::new() })
    }

    /// Reads a note.
    ///
    /// # Errors
    /// [`NoteError::Malformed`].
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        let end = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
        let (text, lines) = note.split_at_checked(end + 1).ok_or(NoteError::Malformed)?;
        let lines = lines.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n')).ok_or(NoteError::Malformed)?;
        if note.len() > LONGEST_NOTE || !is_text(text) {
            return Err(NoteError::Malformed);
        }
        let mut read = Self { text: text.to_owned(), signatures: Vec::new() };
        for line in lines.split('\n') {
            read.add(line)?;
        }
        Ok(read)
    }

    /// Adds a signature line, with or without its newline.
    ///
    /// # Errors
    /// [`NoteError::Malformed`].
    pub fn add(&mut self, line: &str) -> Result<(), NoteError> {
        let line = line.strip_suffix('\n').unwrap_or(line);
        let (name, bytes) =
            line.strip_prefix(DASH).and_then(|rest| rest.split_once(' ')).ok_or(NoteError::Malformed)?;
        let bytes = BASE64.decode(bytes.as_bytes()).map_err(|_| NoteError::Malformed)?;
        let (id, bytes) = bytes.split_first_chunk::<4>().ok_or(NoteError::Malformed)?;
        if !is_name(name) || bytes.is_empty() || self.signatures.len() >= MOST_SIGNATURES {
            return Err(NoteError::Malformed);
        }
        let (name, bytes, line) = (name.to_owned(), bytes.to_vec(), line.to_owned());
        self.signatures.push(Signature { name, id: *id, bytes, line });
        Ok(())
    }

    /// The text, with the newline at its end.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether `key` signed the text; for witnesses, when, in Unix seconds.
    ///
    /// # Errors
    /// [`NoteError::Unsigned`] without a signature of the key, [`NoteError::Wrong`] for one that does not match.
    pub fn verify(&self, key: &VerifierKey) -> Result<Option<u64>, NoteError> {
        let id = key.id();
        let mut own = self.signatures.iter().filter(|one| one.name == key.name && one.id == id).peekable();
        if own.peek().is_none() {
            return Err(NoteError::Unsigned);
        }
        let times: Vec<Option<u64>> = own.map(|one| key.verifies(&self.text, &one.bytes)).collect::<Result<_, _>>()?;
        Ok(times.into_iter().max().flatten())
    }

    /// The note without the signatures that none of these keys made.
    #[must_use]
    pub fn only(&self, keys: &[VerifierKey]) -> Self {
        let known = |one: &&Signature| keys.iter().any(|key| one.name == key.name && one.id == key.id());
        Self { text: self.text.clone(), signatures: self.signatures.iter().filter(known).cloned().collect() }
    }
}

fn is_text(text: &str) -> bool {
    text.ends_with('\n') && !text.chars().any(|letter| letter.is_control() && letter != '\n')
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|one| writeln!(f, "{}", one.line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification (Go's `golang.org/x/mod/sumdb/note`).
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const SIGNED: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn signer(used: Use) -> Signer {
        Signer::new("example.com/log", used, Zeroizing::new([7; 32])).unwrap()
    }

    #[test]
    fn the_example_of_the_specification_verifies() {
        let (note, key) = (Note::parse(SIGNED).unwrap(), VerifierKey::parse(KEY).unwrap());
        assert_eq!(note.verify(&key), Ok(None));
        assert_eq!((note.to_string(), key.to_string()), (SIGNED.to_owned(), KEY.to_owned()));
    }

    #[test]
    fn what_is_signed_verifies_under_its_key_alone() {
        for (used, time) in [(Use::Log, None), (Use::Witness, Some(1_795_000_000))] {
            let signer = signer(used);
            let mut note = Note::unsigned("example.com/log\n1\nAAAA\n").unwrap();
            note.add(&signer.line(note.text(), 1_795_000_000)).unwrap();
            let read = Note::parse(&note.to_string()).unwrap();
            assert_eq!(read.verify(signer.verifier()), Ok(time));
            let other = Signer::new("example.com/log", used, Zeroizing::new([8; 32])).unwrap();
            assert_eq!(read.verify(other.verifier()), Err(NoteError::Unsigned));
            let changed = read.to_string().replacen("\n1\n", "\n2\n", 1);
            assert_eq!(Note::parse(&changed).unwrap().verify(signer.verifier()), Err(NoteError::Wrong));
            assert_eq!(read.only(&[]).to_string(), "example.com/log\n1\nAAAA\n\n");
        }
    }

    #[test]
    fn a_log_key_and_a_witness_key_are_not_mistaken_for_each_other() {
        let (log, witness) = (signer(Use::Log), signer(Use::Witness));
        let mut note = Note::unsigned("text\n").unwrap();
        note.add(&log.line("text\n", 0)).unwrap();
        assert_eq!(note.verify(witness.verifier()), Err(NoteError::Unsigned));
        assert_ne!(log.verifier().id(), witness.verifier().id());
    }

    #[test]
    fn other_forms_are_refused() {
        for wrong in [
            "",
            "text\n",
            "text\n\n",
            "text\n\n— a\n",
            "text\n\n— a AAAA\n",
            "te\u{1}xt\n\n— a AAAAAAAA\n",
            "text\n\n— a+b AAAAAAAA\n",
            "text\n\n- a AAAAAAAA\n",
            "text\n\n— a AAAAAAAA",
        ] {
            assert_eq!(Note::parse(wrong), Err(NoteError::Malformed), "{wrong:?}");
        }
        for wrong in [
            "",
            "a",
            "a+b+c",
            "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a3+AhpcTQcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        ] {
            assert_eq!(VerifierKey::parse(wrong), Err(NoteError::Key), "{wrong:?}");
        }
        assert!(VerifierKey::new("a b", Use::Log, [0; 32]).is_none());
    }
}
