//! A hardware security module, or anything else that speaks PKCS#11: an AES key that stays inside it wraps with AES-GCM
//! (`CKM_AES_GCM`, PKCS #11 v3.0 §2.12.5). Wrapped: `nonce (12, random) ‖ ciphertext and tag`, bound to the installation by the
//! associated data.

use std::path::PathBuf;
use std::sync::Arc;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::blocking::Turns;
use super::sealed_share;
use crate::crypto::keys::KeyBytes;
use crate::crypto::kms::{Kms, KmsError, KmsFuture};
use crate::crypto::random;
use crate::secret::KmsToken;

const NONCE: usize = 12;
const TAG_BITS: u64 = 128;

/// Which key of which token.
#[derive(Debug, Clone)]
pub struct Pkcs11Settings {
    /// The module's library, such as `/usr/lib/softhsm/libsofthsm2.so`.
    pub module: PathBuf,
    /// Label of the token.
    pub token: String,
    /// Label of the AES key.
    pub key: String,
    /// PIN of the token's user.
    pub pin: KmsToken,
}

/// Why there is no such provider.
#[derive(Debug, thiserror::Error)]
pub enum BadModule {
    /// The library cannot be loaded, or refuses to begin.
    #[error("the PKCS#11 module cannot be used")]
    Module(#[source] Error),
}

/// A token.
pub struct Pkcs11Kms {
    inner: Arc<Inner>,
    turns: Turns,
}

struct Inner {
    module: Pkcs11,
    settings: Pkcs11Settings,
}

impl std::fmt::Debug for Pkcs11Kms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pkcs11Kms({:?})", self.inner.settings)
    }
}

impl Pkcs11Kms {
    /// Loads the module. The token is not asked yet.
    pub fn new(settings: Pkcs11Settings) -> Result<Self, BadModule> {
        let module = Pkcs11::new(&settings.module).map_err(BadModule::Module)?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Whoever opens it twice in one process shares it.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(BadModule::Module(error)),
        }
        Ok(Self { inner: Arc::new(Inner { module, settings }), turns: Turns::default() })
    }

    /// Modules block, some for ever when their device is gone, and a session belongs to one thread.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Session, ObjectHandle) -> Result<T, KmsError> + Send + 'static,
    ) -> Result<T, KmsError> {
        let inner = self.inner.clone();
        let work = move || {
            let session = inner.session()?;
            let key = inner.key(&session)?;
            work(&session, key)
        };
        self.turns.run(work).await
    }

    async fn encrypt(&self, installation: Uuid, share: &KeyBytes) -> Result<Vec<u8>, KmsError> {
        let joined = sealed_share::join(installation, share);
        self.work(move |session, key| {
            let nonce: [u8; NONCE] = random::bytes();
            let mut used = nonce;
            let parameters = parameters(&mut used, &installation)?;
            let sealed = session.encrypt(&Mechanism::AesGcm(parameters), key, joined.as_slice());
            Ok([&nonce, sealed.map_err(|error| verdict(&error))?.as_slice()].concat())
        })
        .await
    }

    async fn decrypt(&self, installation: Uuid, wrapped: &[u8]) -> Result<KeyBytes, KmsError> {
        let (nonce, sealed) = wrapped.split_first_chunk::<NONCE>().ok_or(KmsError::Refused)?;
        let (mut nonce, sealed) = (*nonce, sealed.to_vec());
        self.work(move |session, key| {
            let parameters = parameters(&mut nonce, &installation)?;
            let joined = session.decrypt(&Mechanism::AesGcm(parameters), key, &sealed);
            let joined = Zeroizing::new(joined.map_err(|error| verdict(&error))?);
            sealed_share::split(installation, &joined).ok_or(KmsError::Refused)
        })
        .await
    }
}

impl Inner {
    fn session(&self) -> Result<Session, KmsError> {
        let slots = self.module.get_slots_with_token().map_err(|error| verdict(&error))?;
        let is_ours = |info: &cryptoki::slot::TokenInfo| info.label().trim_end() == self.settings.token;
        let mut slots = slots.into_iter();
        let slot = slots.find(|slot| self.module.get_token_info(*slot).is_ok_and(|info| is_ours(&info)));
        let slot = slot.ok_or(KmsError::Unavailable)?;
        let session = self.module.open_ro_session(slot).map_err(|error| verdict(&error))?;
        let pin = AuthPin::new(self.settings.pin.expose().into());
        match session.login(UserType::User, Some(&pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => Err(verdict(&error)),
        }
    }

    fn key(&self, session: &Session) -> Result<ObjectHandle, KmsError> {
        let wanted =
            [Attribute::Class(ObjectClass::SECRET_KEY), Attribute::Label(self.settings.key.as_bytes().to_vec())];
        let found = session.find_objects(&wanted).map_err(|error| verdict(&error))?;
        // Two of one name would be a coin toss.
        match found.as_slice() {
            [key] => Ok(*key),
            _ => Err(KmsError::Denied),
        }
    }
}

fn parameters<'a>(nonce: &'a mut [u8; NONCE], installation: &'a Uuid) -> Result<GcmParams<'a>, KmsError> {
    GcmParams::new(nonce, installation.as_bytes(), TAG_BITS.into()).map_err(|error| verdict(&error))
}

/// What an error says: the token is not there now, does nothing for us, or says no to the bytes.
fn verdict(error: &Error) -> KmsError {
    match error {
        Error::Pkcs11(
            RvError::DeviceError
            | RvError::DeviceMemory
            | RvError::DeviceRemoved
            | RvError::FunctionFailed
            | RvError::GeneralError
            | RvError::HostMemory
            | RvError::SessionCount
            | RvError::SessionHandleInvalid
            | RvError::SessionClosed
            | RvError::TokenNotPresent,
            _,
        ) => KmsError::Unavailable,
        Error::Pkcs11(
            RvError::PinIncorrect
            | RvError::PinExpired
            | RvError::PinLocked
            | RvError::UserNotLoggedIn
            | RvError::UserPinNotInitialized
            | RvError::KeyFunctionNotPermitted
            | RvError::KeyTypeInconsistent
            | RvError::MechanismInvalid,
            _,
        ) => KmsError::Denied,
        _ => KmsError::Refused,
    }
}

impl Kms for Pkcs11Kms {
    fn name(&self) -> &'static str {
        "pkcs11"
    }

    fn wrap<'a>(&'a self, installation: Uuid, share: &'a KeyBytes) -> KmsFuture<'a, Vec<u8>> {
        Box::pin(self.encrypt(installation, share))
    }

    fn unwrap<'a>(&'a self, installation: Uuid, wrapped: &'a [u8]) -> KmsFuture<'a, KeyBytes> {
        Box::pin(self.decrypt(installation, wrapped))
    }
}
