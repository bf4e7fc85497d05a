//! Files that a passphrase opens: the `scrypt` stanza of age, for passphrases that are made here. Nobody thinks them up, so nobody guesses them.

use std::fmt;

use data_encoding::BASE64_NOPAD;
use scrypt::Params;
use zeroize::Zeroizing;

use super::AgeError;
use super::header::{FILE_KEY, FileKey, wrapped};
use crate::crypto::random;

/// The binary logarithm of scrypt's N; r is 8 and p is 1, as the format of age has them. 2¹⁴ takes 16 MiB and some hundredths of a second, and is
/// what the paper on scrypt (Percival 2009, section 7) takes for logins. `age` takes 2¹⁸, which is for passphrases that somebody thought up; NIST SP 800-63B
/// (5.1.2.2) wants no slow function at all for secrets of 112 random bits, and these have 140. More would cost a gateway 256 MiB for each export.
const WORK: u8 = 14;
const SALT: usize = 16;
const LABEL: &[u8] = b"age-encryption.org/v1/scrypt";

/// Five bits each. There is no `l` and no `o`, no 0 and no 1: a person types it from paper.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Letters of a passphrase, without what stands between the groups.
pub const LENGTH: usize = 28;
const GROUP: usize = 4;

/// Seven groups of four letters, 140 random bits. Wiped when it is dropped; does not print.
pub struct Passphrase(Zeroizing<String>);

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

impl Passphrase {
    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        Self::of(&Zeroizing::new(random::bytes()))
    }

    /// The one that these bytes give, five bits of each: they must be as good as random.
    #[must_use]
    pub fn of(bytes: &[u8; LENGTH]) -> Self {
        // As long as it becomes: what grew would leave a copy behind.
        let mut text = Zeroizing::new(String::with_capacity(LENGTH + LENGTH / GROUP));
        for (at, byte) in bytes.iter().enumerate() {
            if at > 0 && at % GROUP == 0 {
                text.push('-');
            }
            text.extend(LETTERS.get(usize::from(byte & 31)).map(|letter| char::from(*letter)));
        }
        Self(text)
    }

    /// To be shown once.
    #[must_use]
    pub fn show(&self) -> &str {
        &self.0
    }
}

/// What a file is begun with that a passphrase opens: its key, and that key as the passphrase wraps it. The passphrase is not in it. Does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Lock {
    pub(super) file_key: FileKey,
    pub(super) stanza: String,
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lock(…)")
    }
}

impl Lock {
    /// For files that this passphrase opens. Takes some hundredths of a second.
    ///
    /// # Errors
    /// [`AgeError::Key`].
    pub fn new(passphrase: &Passphrase) -> Result<Self, AgeError> {
        let (file_key, salt) = (Zeroizing::new(random::bytes()), random::bytes::<SALT>());
        let mut key = Zeroizing::new([0; 32]);
        let work = Params::new(WORK, 8, 1, key.len()).map_err(|_| AgeError::Key)?;
        let salted = [LABEL, &salt].concat();
        scrypt::scrypt(passphrase.show().as_bytes(), &salted, &work, key.as_mut_slice()).map_err(|_| AgeError::Key)?;
        let body = wrapped(&key, &file_key)?;
        let stanza = format!("-> scrypt {} {WORK}\n{}\n", BASE64_NOPAD.encode(&salt), BASE64_NOPAD.encode(&body));
        Ok(Self { file_key, stanza })
    }

    /// To be kept where nobody reads it: it opens the file without the passphrase.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let key = Zeroizing::new(BASE64_NOPAD.encode(self.file_key.as_slice()));
        let mut text = Zeroizing::new(String::with_capacity(key.len() + 1 + self.stanza.len()));
        text.push_str(&key);
        text.push('\n');
        text.push_str(&self.stanza);
        text
    }

    /// From that text. `None`: it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (key, stanza) = text.split_once('\n')?;
        let key = Zeroizing::new(BASE64_NOPAD.decode(key.as_bytes()).ok()?);
        let file_key: [u8; FILE_KEY] = key.as_slice().try_into().ok()?;
        stanza.starts_with("-> scrypt ").then(|| Self { file_key: Zeroizing::new(file_key), stanza: stanza.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_has_140_bits_in_letters_that_nobody_confuses() {
        let bytes: [u8; LENGTH] = std::array::from_fn(|at| at as u8);
        assert_eq!(Passphrase::of(&bytes).show(), "abcd-efgh-ijkm-npqr-stuv-wxyz-2345");
        let made = Passphrase::generate();
        assert_eq!((made.show().len(), made.show().split('-').count()), (34, 7));
        assert_ne!(made.show(), Passphrase::generate().show());
        assert!(!format!("{made:?}").contains(made.show()));
    }

    #[test]
    fn a_lock_is_read_as_it_was_written_and_says_neither_passphrase_nor_key() {
        let lock = Lock::new(&Passphrase::generate()).unwrap();
        assert_eq!(Lock::parse(&lock.to_text()), Some(lock.clone()));
        assert!(lock.stanza.contains(" 14\n"), "the work stands in the file");
        assert_eq!(format!("{lock:?}"), "Lock(…)");
        for odd in ["", "age1x", "AAAA\n-> scrypt x 14\ny\n", "-> scrypt x 14\ny\n"] {
            assert_eq!(Lock::parse(odd), None, "{odd}");
        }
    }
}
