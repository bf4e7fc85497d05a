//! `[tls]`: which listeners speak TLS, with which certificates, and whose certificates they want to see.

use std::path::PathBuf;

use super::reader::Reader;

/// TLS of the three listeners. `None`: plain HTTP.
#[derive(Debug, Clone, Default)]
pub struct TlsConfig {
    /// Meta.
    pub public: Option<ListenerTls>,
    /// Applications.
    pub internal: Option<ListenerTls>,
    /// Operators.
    pub admin: Option<ListenerTls>,
}

/// Where a listener's certificate is.
#[derive(Debug, Clone)]
pub struct ListenerTls {
    /// `public`, `internal` or `admin`: how keys of the configuration begin.
    pub listener: &'static str,
    /// The chain in PEM, ours first.
    pub certificate_file: PathBuf,
    /// Its key in PEM.
    pub key_file: PathBuf,
    /// Who is let in. `None`: everybody.
    pub clients: Option<TlsClients>,
}

/// Whose certificates open a connection.
#[derive(Debug, Clone)]
pub struct TlsClients {
    /// Certificates of their authorities in PEM.
    pub authorities_file: PathBuf,
    /// The name that a certificate must bear, in lower case. `None`: any.
    pub name: Option<String>,
    /// Whether one may connect without a certificate.
    pub optional: bool,
}

impl TlsConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let name: Option<String> = reader.parsed("tls.public_client_name", "a name");
        let clients: Option<String> = reader.parsed("tls.internal_clients", "required or optional");
        let optional = clients.and_then(|word| is_optional(reader, &word));
        let meta =
            authorities(reader, "tls.public_authorities_file", name.map(|name| name.to_ascii_lowercase()), false);
        let apps = authorities(reader, "tls.internal_authorities_file", None, optional.unwrap_or_default());
        if meta.as_ref().is_some_and(|meta| meta.name.as_deref() == Some("")) {
            reader.fault(
                "tls.public_client_name",
                "is empty: whoever has any certificate of the authorities would be Meta",
            );
        }
        let config = Self {
            public: listener(reader, "public", meta),
            internal: listener(reader, "internal", apps),
            admin: listener(reader, "admin", None),
        };
        for listener in config.all() {
            // All that is wrong with the files is said now, together with the rest.
            if let Err(faults) = listener.read_files() {
                reader.faults.extend(faults);
            }
        }
        optional.map(|_| config)
    }

    /// Those listeners that speak TLS.
    pub fn all(&self) -> impl Iterator<Item = &ListenerTls> {
        [&self.public, &self.internal, &self.admin].into_iter().flatten()
    }
}

fn is_optional(reader: &mut Reader, word: &str) -> Option<bool> {
    match word {
        "required" => Some(false),
        "optional" => Some(true),
        _ => {
            reader.fault("tls.internal_clients", "must be required or optional");
            None
        }
    }
}

fn authorities(reader: &mut Reader, key: &str, name: Option<String>, optional: bool) -> Option<TlsClients> {
    Some(TlsClients { authorities_file: reader.path(key)?, name, optional })
}

fn listener(reader: &mut Reader, listener: &'static str, clients: Option<TlsClients>) -> Option<ListenerTls> {
    let [certificate, key] = ["certificate", "key"].map(|what| format!("tls.{listener}_{what}_file"));
    match (reader.path(&certificate), reader.path(&key)) {
        (Some(certificate_file), Some(key_file)) => Some(ListenerTls { listener, certificate_file, key_file, clients }),
        (Some(_), None) => missing(reader, &key, &certificate),
        (None, Some(_)) => missing(reader, &certificate, &key),
        (None, None) if clients.is_some() => missing(reader, &certificate, &format!("tls.{listener}_authorities_file")),
        (None, None) => None,
    }
}

fn missing<T>(reader: &mut Reader, key: &str, because: &str) -> Option<T> {
    reader.fault(key, format!("required: {because} is set"));
    None
}
