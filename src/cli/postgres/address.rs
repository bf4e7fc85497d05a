//! Where a private server listens, and how it is reached there.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use super::NAME;
use crate::secret::Dsn;

/// Socket addresses hold 104 bytes at least on every system we know, the ending zero included.
const LONGEST_SOCKET_PATH: usize = 100;
/// Names the socket only: without TCP there is no port to collide.
const SOCKET_PORT: u16 = 5432;

/// Where the server listens: a socket in its private folder, or a loopback port where that path would be too long or would
/// need quoting in the server's settings.
pub(super) enum Address {
    Socket(PathBuf),
    Loopback(u16),
}

impl Address {
    pub(super) fn choose(root: &Path) -> io::Result<Self> {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
        let socket = root.join(format!(".s.PGSQL.{SOCKET_PORT}"));
        let path = socket.as_os_str().as_encoded_bytes();
        if path.len() <= LONGEST_SOCKET_PATH && path.iter().all(plain) {
            return Ok(Self::Socket(root.to_owned()));
        }
        // Free a moment ago; should somebody else be quicker, the server says so and does not start.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Ok(Self::Loopback(port))
    }

    pub(super) fn dsn(&self, password: &str) -> Dsn {
        Dsn::new(match self {
            Self::Socket(folder) => {
                let host: String =
                    url::form_urlencoded::byte_serialize(folder.as_os_str().as_encoded_bytes()).collect();
                // Form encoding writes a space as "+", which a host name would keep.
                format!("postgres://{NAME}:{password}@{}:{SOCKET_PORT}/{NAME}", host.replace('+', "%20"))
            }
            Self::Loopback(port) => format!("postgres://{NAME}:{password}@127.0.0.1:{port}/{NAME}"),
        })
    }

    pub(super) fn settings(&self) -> Vec<String> {
        match self {
            Self::Socket(folder) => vec![
                "listen_addresses=".to_owned(),
                format!("port={SOCKET_PORT}"),
                format!("unix_socket_directories={}", folder.display()),
                "unix_socket_permissions=0700".to_owned(),
            ],
            Self::Loopback(port) => vec![
                "listen_addresses=127.0.0.1".to_owned(),
                format!("port={port}"),
                "unix_socket_directories=".to_owned(),
            ],
        }
    }
}
