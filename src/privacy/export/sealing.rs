//! What stands between the archive and where it is kept: an age file (age-encryption.org/v1), for a public key that was named, or one whose
//! secret half whoever asked was shown once, or for a passphrase that they were shown once.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

use super::super::{PrivacyError, Writing};
use super::zip::Zip;
use crate::crypto::age::{Identity, Lock, Passphrase, Recipient, Writer};

/// Bytes that are handed on at once.
const PIECE: usize = 128 * 1024;

/// For whom an archive is encrypted. The secret half of a key is never in it, nor a passphrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealedFor {
    /// Whoever has the identity of a public key that was named.
    Recipient(Recipient),
    /// Whoever was shown the identity that was made for it.
    NewKey(Recipient),
    /// Whoever was shown the passphrase.
    Passphrase(Lock),
}

impl SealedFor {
    /// Whoever has the identity of this public key, `age1…`. `None`: it is none.
    #[must_use]
    pub fn recipient(text: &str) -> Option<Self> {
        Recipient::parse(text).ok().map(Self::Recipient)
    }

    /// Whoever is given the identity that comes with it: it is stored nowhere.
    pub fn new_key() -> Result<(Self, Zeroizing<String>), PrivacyError> {
        let identity = Identity::generate();
        let recipient = identity.recipient().map_err(|_| PrivacyError::Archive)?;
        Ok((Self::NewKey(recipient), identity.show()))
    }

    /// Whoever has this passphrase: it is stored nowhere. Takes some hundredths of a second, and 16 MiB meanwhile.
    pub async fn passphrase(passphrase: Passphrase) -> Result<(Self, Passphrase), PrivacyError> {
        let locked = move || Lock::new(&passphrase).map(|lock| (Self::Passphrase(lock), passphrase));
        let made = tokio::task::spawn_blocking(locked).await.map_err(|_| PrivacyError::Archive)?;
        made.map_err(|_| PrivacyError::Archive)
    }

    /// The stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Recipient(_) => "recipient",
            Self::NewKey(_) => "new_key",
            Self::Passphrase(_) => "passphrase",
        }
    }

    /// To be kept, sealed, until the archive is there.
    pub(super) fn text(&self) -> Zeroizing<String> {
        match self {
            Self::Recipient(recipient) | Self::NewKey(recipient) => Zeroizing::new(recipient.to_string()),
            Self::Passphrase(lock) => lock.to_text(),
        }
    }

    /// From that text. `None`: it is none.
    pub(super) fn kept(text: &str) -> Option<Self> {
        Self::recipient(text).or_else(|| Lock::parse(text).map(Self::Passphrase))
    }

    fn begin(&self, to: Spool) -> io::Result<Writer<Spool>> {
        match self {
            Self::Recipient(recipient) | Self::NewKey(recipient) => Writer::new(to, std::slice::from_ref(recipient)),
            Self::Passphrase(lock) => Writer::locked(to, lock),
        }
    }
}

/// Where age writes to: what it wrote is taken from here.
#[derive(Clone, Default)]
struct Spool(Arc<Mutex<Vec<u8>>>);

impl Spool {
    /// What was written, when it is worth the way.
    fn take(&self, at_least: usize) -> Vec<u8> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if written.len() < at_least { Vec::new() } else { std::mem::take(&mut *written) }
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An archive on its way to where it is kept. Holds some hundred kilobytes of it.
pub(super) struct Archive {
    zip: Zip,
    age: Writer<Spool>,
    spool: Spool,
    to: Box<dyn Writing>,
}

impl Archive {
    /// Begins it.
    pub(super) async fn begin(sealed_for: &SealedFor, zip: Zip, to: Box<dyn Writing>) -> Result<Self, PrivacyError> {
        let spool = Spool::default();
        let Ok(age) = sealed_for.begin(spool.clone()) else {
            to.abort().await;
            return Err(PrivacyError::Archive);
        };
        Ok(Self { zip, age, spool, to })
    }

    /// Begins a file in it.
    pub(super) async fn file(&mut self, name: &str) -> Result<(), PrivacyError> {
        let bytes = self.zip.begin(name);
        self.put(&bytes).await
    }

    /// Adds to that file.
    pub(super) async fn add(&mut self, content: &[u8]) -> Result<(), PrivacyError> {
        let bytes = Zeroizing::new(self.zip.content(content));
        self.put(&bytes).await
    }

    /// Ends that file.
    pub(super) async fn end(&mut self) -> Result<(), PrivacyError> {
        let bytes = self.zip.end().map_err(|_| PrivacyError::Archive)?;
        self.put(&bytes).await
    }

    async fn put(&mut self, bytes: &[u8]) -> Result<(), PrivacyError> {
        for piece in bytes.chunks(PIECE) {
            self.age.write_all(piece).map_err(|_| PrivacyError::Archive)?;
            let sealed = self.spool.take(PIECE);
            if !sealed.is_empty() && !self.to.push(sealed).await {
                return Err(PrivacyError::Files);
            }
        }
        Ok(())
    }

    /// Leaves everything as it was before.
    pub(super) async fn abort(self) {
        self.to.abort().await;
    }

    /// Puts it where it is kept. Returns its length. Where it cannot be, everything is as it was before.
    pub(super) async fn finish(self) -> Result<u64, PrivacyError> {
        let Self { zip, mut age, spool, mut to } = self;
        let ended = age.write_all(&zip.finish()).and_then(|()| age.finish()).map_err(|_| PrivacyError::Archive);
        let ended = match ended {
            Ok(_) if to.push(spool.take(0)).await => Ok(()),
            Ok(_) => Err(PrivacyError::Files),
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            to.abort().await;
            return Err(error);
        }
        to.finish().await.ok_or(PrivacyError::Files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipient_is_a_public_key_of_age_and_a_new_key_is_shown_and_not_kept() {
        let (made, identity) = SealedFor::new_key().unwrap();
        let known = Identity::parse(&identity).unwrap().recipient().unwrap().to_string();
        assert_eq!((made.kind(), made.text()), ("new_key", Zeroizing::new(known.clone())));
        assert_eq!(SealedFor::recipient(&known).map(|one| one.kind()), Some("recipient"));
        assert_ne!(SealedFor::new_key().unwrap().0, made);
        for other in ["", "age1", "ssh-ed25519 AAAA", "AGE-SECRET-KEY-1", &identity] {
            assert!(SealedFor::recipient(other).is_none(), "{other}");
        }
    }
}
