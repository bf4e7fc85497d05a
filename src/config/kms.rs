//! `keys.kms` and what belongs to it: where the secret at the top of the key tree comes from.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;
use zeroize::Zeroizing;

use super::key_file::{KeyFileError, decode, read_key_file};
use super::kms_aws::{Aws, AwsConfig};
use super::meta::GraphUrl;
use super::reader::{Reader, read_secret_file};
use crate::secret::KmsToken;

/// Where the secret at the top of the key tree comes from.
#[derive(Debug, Clone)]
pub enum KmsSource {
    /// It lies on this machine.
    Local(LocalSecret),
    /// The transit engine of an OpenBao or Vault.
    OpenBao(OpenBaoConfig),
    /// AWS KMS.
    Aws(AwsConfig),
    /// A hardware security module.
    Pkcs11(Pkcs11Config),
}

/// A secret on this machine.
#[derive(Debug, Clone)]
pub enum LocalSecret {
    /// A file of the owner's alone, read when asked.
    File {
        /// Holds 64 hex digits.
        path: PathBuf,
    },
    /// The environment, or a file named there; read and checked at start.
    Env {
        /// The decoded secret.
        secret: KmsSecret,
    },
}

impl LocalSecret {
    /// The 32 bytes. A file is read each time, and its owner and mode are checked each time.
    pub fn read(&self) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
        match self {
            Self::File { path } => read_key_file(path),
            Self::Env { secret } => Ok(secret.0.clone()),
        }
    }
}

/// A secret of 32 bytes that does not print and is wiped when dropped.
#[derive(Clone)]
pub struct KmsSecret(Zeroizing<[u8; 32]>);

impl fmt::Debug for KmsSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KmsSecret(…)")
    }
}

/// Where the transit engine is.
#[derive(Debug, Clone)]
pub struct OpenBaoConfig {
    /// Base, without `/v1`.
    pub url: Url,
    /// Path of the engine.
    pub mount: String,
    /// Name of the key.
    pub key: String,
    /// Namespace; empty: none.
    pub namespace: String,
    /// What opens it.
    pub token: KmsToken,
    /// File with certificates of authorities, in PEM, that are believed beside the system's.
    pub authorities: Option<PathBuf>,
}

/// Which key of which token.
#[derive(Debug, Clone)]
pub struct Pkcs11Config {
    /// The module's library.
    pub module: PathBuf,
    /// Label of the token.
    pub token: String,
    /// Label of the key.
    pub key: String,
    /// PIN of the token's user.
    pub pin: KmsToken,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Env,
    OpenBao,
    Aws,
    Pkcs11,
}

/// A kind of KMS that is not on this machine, or none.
struct Before(Option<Kind>);

impl FromStr for Before {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.parse() {
            _ if text.is_empty() => Ok(Self(None)),
            Ok(Kind::File | Kind::Env) | Err(()) => Err(()),
            Ok(kind) => Ok(Self(Some(kind))),
        }
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "file" => Ok(Self::File),
            "env" => Ok(Self::Env),
            "openbao" => Ok(Self::OpenBao),
            "aws" => Ok(Self::Aws),
            "pkcs11" => Ok(Self::Pkcs11),
            _ => Err(()),
        }
    }
}

/// Where the secret comes from, and where the one of before came from. Every key is read whatever the kind, so that the unknown-key check
/// and the printed configuration know them.
pub(super) fn sources(reader: &mut Reader) -> Option<(KmsSource, Option<KmsSource>)> {
    let kind = reader.parsed("keys.kms", "\"file\", \"env\", \"openbao\", \"aws\" or \"pkcs11\"");
    let (text, path) = (reader.shown_secret("keys.secret"), reader.path("keys.secret_file"));
    let remote = Remote::read(reader);
    let before: Option<Before> = reader.parsed("keys.previous_kms", "empty, \"openbao\", \"aws\" or \"pkcs11\"");
    let before_path = reader.path("keys.previous_secret_file");
    let (kind, before) = (kind?, before?.0);
    let source = match kind {
        Kind::File => file(reader, text.as_deref(), path),
        Kind::Env => env(reader, text.as_deref(), path),
        Kind::OpenBao | Kind::Aws | Kind::Pkcs11 => {
            if text.is_some() || path.is_some() {
                let key = if text.is_some() { "keys.secret" } else { "keys.secret_file" };
                reader.fault(key, "is used with keys.kms = \"file\" or \"env\" alone");
            }
            remote.chosen(reader, kind)
        }
    };
    let previous = match (before, before_path) {
        (Some(_), Some(_)) => {
            reader.fault("keys.previous_kms", "is set, and so is keys.previous_secret_file; keep one");
            return None;
        }
        (Some(before), None) if before == kind => {
            reader.fault("keys.previous_kms", "is the same as keys.kms");
            return None;
        }
        (Some(before), None) => Some(remote.chosen(reader, before)?),
        (None, path) => path.map(|path| KmsSource::Local(LocalSecret::File { path })),
    };
    Some((source?, previous))
}

fn file(reader: &mut Reader, text: Option<&str>, path: Option<PathBuf>) -> Option<KmsSource> {
    match (text, path) {
        (None, Some(path)) => return Some(KmsSource::Local(LocalSecret::File { path })),
        (Some(_), _) => reader.fault("keys.secret", "is used with keys.kms = \"env\" alone"),
        (None, None) => {
            reader
                .fault("keys.secret_file", "required: a file of mode 600 with 64 hex digits (`openssl rand -hex 32`)");
        }
    }
    None
}

fn env(reader: &mut Reader, text: Option<&str>, path: Option<PathBuf>) -> Option<KmsSource> {
    match (text, path) {
        (Some(text), None) => return decoded(reader, "keys.secret", text),
        (None, Some(path)) => match read_secret_file(&path) {
            Ok(text) => return decoded(reader, "keys.secret_file", &text),
            Err(problem) => reader.fault("keys.secret_file", problem),
        },
        (Some(_), Some(_)) => reader.fault("keys.secret", "is set, and so is keys.secret_file; keep one"),
        (None, None) => {
            reader.fault("keys.secret", "required: 64 hex digits (or keys.secret_file with the path of a file)");
        }
    }
    None
}

fn decoded(reader: &mut Reader, key: &str, text: &str) -> Option<KmsSource> {
    let secret = decode(text).map_err(|fault| reader.fault(key, fault.to_string())).ok()?;
    Some(KmsSource::Local(LocalSecret::Env { secret: KmsSecret(secret) }))
}

/// What addresses of providers may be.
pub(super) const ADDRESS: &str =
    "an https URL without user, query or fragment (http is for loopback, private addresses and names without a dot)";

/// An address, or none.
pub(super) struct Address(pub(super) Option<Url>);

impl FromStr for Address {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        text.parse::<GraphUrl>().map(|url| Self(Some(url.0))).map_err(drop)
    }
}

/// What is written of providers that are not on this machine.
struct Remote {
    aws: Aws,
    openbao: Option<(Option<Url>, String, String, String)>,
    openbao_token: Option<KmsToken>,
    openbao_authorities: Option<PathBuf>,
    pkcs11: Option<(String, String)>,
    pkcs11_module: Option<PathBuf>,
    pkcs11_pin: Option<KmsToken>,
}

impl Remote {
    fn read(reader: &mut Reader) -> Self {
        let url: Option<Address> = reader.parsed("keys.openbao_url", ADDRESS);
        let mut word = |key: &str| reader.parsed::<String>(key, "a name");
        let (mount, key, namespace) =
            (word("keys.openbao_mount"), word("keys.openbao_key"), word("keys.openbao_namespace"));
        let (token_label, key_label) = (word("keys.pkcs11_token"), word("keys.pkcs11_key"));
        Self {
            aws: Aws::read(reader),
            openbao: url.map(|url| url.0).zip(mount).zip(key).zip(namespace).map(|(((a, b), c), d)| (a, b, c, d)),
            openbao_token: reader.secret("keys.openbao_token").map(KmsToken::new),
            openbao_authorities: reader.path("keys.openbao_ca_file"),
            pkcs11: token_label.zip(key_label),
            pkcs11_module: reader.path("keys.pkcs11_module"),
            pkcs11_pin: reader.secret("keys.pkcs11_pin").map(KmsToken::new),
        }
    }

    fn chosen(&self, reader: &mut Reader, kind: Kind) -> Option<KmsSource> {
        match kind {
            Kind::OpenBao => self.openbao(reader).map(KmsSource::OpenBao),
            Kind::Aws => self.aws.chosen(reader).map(KmsSource::Aws),
            Kind::Pkcs11 => self.pkcs11(reader).map(KmsSource::Pkcs11),
            Kind::File | Kind::Env => None,
        }
    }

    fn openbao(&self, reader: &mut Reader) -> Option<OpenBaoConfig> {
        let (url, mount, key, namespace) = self.openbao.clone()?;
        if url.is_none() {
            reader.fault("keys.openbao_url", "required: where OpenBao or Vault answers");
        }
        if self.openbao_token.is_none() {
            let needed = "required: a token that may encrypt and decrypt (or keys.openbao_token_file)";
            reader.fault("keys.openbao_token", needed);
        }
        let (url, token) = url.zip(self.openbao_token.clone())?;
        Some(OpenBaoConfig { url, mount, key, namespace, token, authorities: self.openbao_authorities.clone() })
    }

    fn pkcs11(&self, reader: &mut Reader) -> Option<Pkcs11Config> {
        let (token, key) = self.pkcs11.clone()?;
        if self.pkcs11_module.is_none() {
            reader.fault("keys.pkcs11_module", "required: the module's library");
        }
        if self.pkcs11_pin.is_none() {
            reader.fault("keys.pkcs11_pin", "required: the PIN of the token's user (or keys.pkcs11_pin_file)");
        }
        let (module, pin) = self.pkcs11_module.clone().zip(self.pkcs11_pin.clone())?;
        Some(Pkcs11Config { module, token, key, pin })
    }
}
