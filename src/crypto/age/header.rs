//! Keys of age, and the header of a file: the file key, wrapped for every recipient, and a code over all of it.

use std::fmt;
use std::io::{self, BufRead, Read};

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use data_encoding::BASE64_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{AgeError, bech32};
use crate::crypto::random;

const VERSION: &str = "age-encryption.org/v1";
const PREFIX: &str = "age";
const SECRET_PREFIX: &str = "age-secret-key-";
const WRAP_LABEL: &[u8] = b"age-encryption.org/v1/X25519";
const TAG: usize = 16;
pub(super) const FILE_KEY: usize = 16;
/// Headers that are longer are refused: room for some thousand recipients.
const LONGEST: u64 = 1 << 20;

/// Key material of a file.
pub(super) type FileKey = Zeroizing<[u8; FILE_KEY]>;

struct Bytes32;

impl KeyType for Bytes32 {
    fn len(&self) -> usize {
        32
    }
}

/// `HKDF-SHA-256(secret, salt, label)`, 32 bytes.
pub(super) fn derive(secret: &[u8], salt: &[u8], label: &[u8]) -> Result<Zeroizing<[u8; 32]>, AgeError> {
    let mut key = Zeroizing::new([0; 32]);
    let labels = [label];
    let expanded = Salt::new(HKDF_SHA256, salt).extract(secret);
    let okm = expanded.expand(&labels, Bytes32).map_err(|_| AgeError::Key)?;
    okm.fill(key.as_mut_slice()).map_err(|_| AgeError::Key)?;
    Ok(key)
}

/// Who can open a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Recipient([u8; 32]);

impl Recipient {
    /// Reads `age1…`.
    ///
    /// # Errors
    /// [`AgeError::Recipient`] for anything else, and for a point of the curve that no secret key leads to.
    pub fn parse(text: &str) -> Result<Self, AgeError> {
        let bytes = bech32::decode(PREFIX, text).ok_or(AgeError::Recipient)?;
        let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| AgeError::Recipient)?;
        let probe = PrivateKey::generate(&X25519).map_err(|_| AgeError::Key)?;
        agree(&probe, UnparsedPublicKey::new(&X25519, &bytes), AgeError::Recipient, |_| Ok(Self(bytes)))
    }

    /// The stanza that holds the file key for this recipient.
    fn stanza(&self, file_key: &FileKey) -> Result<String, AgeError> {
        let ephemeral = PrivateKey::generate(&X25519).map_err(|_| AgeError::Key)?;
        let share = ephemeral.compute_public_key().map_err(|_| AgeError::Key)?;
        let key = wrap_key(&ephemeral, &self.0, share.as_ref(), &self.0)?;
        let body = wrapped(&key, file_key)?;
        Ok(format!("-> X25519 {}\n{}\n", BASE64_NOPAD.encode(share.as_ref()), BASE64_NOPAD.encode(&body)))
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bech32::encode(PREFIX, &self.0))
    }
}

/// What opens files for one recipient. Wiped when it is dropped; does not print.
pub struct Identity(Zeroizing<[u8; 32]>);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}

impl Identity {
    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        Self(Zeroizing::new(random::bytes()))
    }

    /// Reads `AGE-SECRET-KEY-1…`.
    ///
    /// # Errors
    /// [`AgeError::Identity`] for anything else.
    pub fn parse(text: &str) -> Result<Self, AgeError> {
        if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return Err(AgeError::Identity);
        }
        let lower = Zeroizing::new(text.to_ascii_lowercase());
        let bytes = bech32::decode(SECRET_PREFIX, &lower).ok_or(AgeError::Identity)?;
        bytes.as_slice().try_into().map(|key| Self(Zeroizing::new(key))).map_err(|_| AgeError::Identity)
    }

    /// Every identity in the text of a key file, as `age-keygen` writes it: lines that begin with `#` say nothing.
    ///
    /// # Errors
    /// [`AgeError::Identity`] when a line is something else, or there is none.
    pub fn parse_file(text: &str) -> Result<Vec<Self>, AgeError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let all: Vec<Self> = lines.map(Self::parse).collect::<Result<_, _>>()?;
        if all.is_empty() { Err(AgeError::Identity) } else { Ok(all) }
    }

    /// `AGE-SECRET-KEY-1…`, to be written into a file.
    #[must_use]
    pub fn show(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(bech32::encode(SECRET_PREFIX, self.0.as_slice()));
        text.make_ascii_uppercase();
        text
    }

    /// Whose files it opens.
    ///
    /// # Errors
    /// [`AgeError::Key`].
    pub fn recipient(&self) -> Result<Recipient, AgeError> {
        let public = self.key()?.compute_public_key().map_err(|_| AgeError::Key)?;
        public.as_ref().try_into().map(Recipient).map_err(|_| AgeError::Key)
    }

    fn key(&self) -> Result<PrivateKey, AgeError> {
        PrivateKey::from_private_key(&X25519, self.0.as_slice()).map_err(|_| AgeError::Key)
    }

    /// The file key, if the stanza is for this identity.
    fn open(&self, share: &[u8], body: &[u8]) -> Option<FileKey> {
        let ours = self.recipient().ok()?;
        let key = wrap_key(&self.key().ok()?, share, share, &ours.0).ok()?;
        let mut body = Zeroizing::new(body.to_vec());
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let opened = cipher(&key).ok()?.open_in_place(nonce, Aad::empty(), body.as_mut_slice()).ok()?;
        (&*opened).try_into().ok().map(Zeroizing::new)
    }
}

fn cipher(key: &[u8; 32]) -> Result<LessSafeKey, AgeError> {
    Ok(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| AgeError::Key)?))
}

fn wrap_key(ours: &PrivateKey, theirs: &[u8], share: &[u8], recipient: &[u8]) -> Result<Zeroizing<[u8; 32]>, AgeError> {
    let salt = [share, recipient].concat();
    // The library refuses a point of small order, whose secret anybody knows.
    agree(ours, UnparsedPublicKey::new(&X25519, theirs), AgeError::Key, |secret| derive(secret, &salt, WRAP_LABEL))
}

fn code(file_key: &FileKey, text: &str) -> Result<Hmac<Sha256>, AgeError> {
    let key = derive(file_key.as_slice(), &[], b"header")?;
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_slice()).map_err(|_| AgeError::Key)?;
    mac.update(text.as_bytes());
    Ok(mac)
}

/// The file key under a key that wraps nothing else.
pub(super) fn wrapped(key: &[u8; 32], file_key: &FileKey) -> Result<Zeroizing<Vec<u8>>, AgeError> {
    // As long as it becomes: what grew would leave a copy behind.
    let mut body = Zeroizing::new(Vec::with_capacity(FILE_KEY + TAG));
    body.extend_from_slice(file_key.as_slice());
    let (cipher, nonce) = (cipher(key)?, Nonce::assume_unique_for_key([0; 12]));
    cipher.seal_in_place_append_tag(nonce, Aad::empty(), &mut *body).map_err(|_| AgeError::Key)?;
    Ok(body)
}

/// What holds the file key for each of the recipients.
pub(super) fn stanzas(file_key: &FileKey, recipients: &[Recipient]) -> Result<String, AgeError> {
    recipients.iter().map(|one| one.stanza(file_key)).collect()
}

/// The header of a new file.
pub(super) fn write(file_key: &FileKey, stanzas: &str) -> Result<String, AgeError> {
    let text = format!("{VERSION}\n{stanzas}---");
    let code = code(file_key, &text)?.finalize().into_bytes();
    Ok(format!("{text} {}\n", BASE64_NOPAD.encode(&code)))
}

/// Reads a header, and finds the file key by one of the identities.
pub(super) fn read(from: &mut impl BufRead, identities: &[Identity]) -> io::Result<FileKey> {
    let mut limited = from.take(LONGEST);
    let (mut text, mut found, mut line) = (String::new(), None, String::new());
    next(&mut limited, &mut line)?;
    if line != format!("{VERSION}\n") {
        return Err(malformed());
    }
    text.push_str(&line);
    loop {
        next(&mut limited, &mut line)?;
        if let Some(given) = line.strip_prefix("---") {
            text.push_str("---");
            let given = given.strip_prefix(' ').and_then(|rest| rest.strip_suffix('\n')).ok_or_else(malformed)?;
            let given = BASE64_NOPAD.decode(given.as_bytes()).map_err(|_| malformed())?;
            let file_key: FileKey = found.ok_or_else(|| io::Error::other(AgeError::NotForUs))?;
            let code = code(&file_key, &text).map_err(io::Error::other)?;
            return code.verify_slice(&given).map(|()| file_key).map_err(|_| malformed());
        }
        let share = line.strip_prefix("-> ").and_then(|rest| rest.strip_suffix('\n')).ok_or_else(malformed)?.to_owned();
        text.push_str(&line);
        let body = body(&mut limited, &mut line, &mut text)?;
        if let Some(share) = share.strip_prefix("X25519 ")
            && found.is_none()
            && body.len() == FILE_KEY + TAG
        {
            let share = BASE64_NOPAD.decode(share.as_bytes()).map_err(|_| malformed())?;
            found = identities.iter().find_map(|identity| identity.open(&share, &body));
        }
    }
}

/// Lines of 64 letters, ended by a shorter one, which may be empty.
fn body(from: &mut impl BufRead, line: &mut String, text: &mut String) -> io::Result<Vec<u8>> {
    let mut letters = String::new();
    loop {
        next(from, line)?;
        text.push_str(line);
        let part = line.strip_suffix('\n').ok_or_else(malformed)?;
        letters.push_str(part);
        if part.len() < 64 {
            return BASE64_NOPAD.decode(letters.as_bytes()).map_err(|_| malformed());
        }
    }
}

fn next(from: &mut impl BufRead, line: &mut String) -> io::Result<()> {
    line.clear();
    match from.read_line(line) {
        Ok(0) => Err(malformed()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(malformed()),
        result => result.map(drop),
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, AgeError::Header)
}
