//! `waxseal health`: asks a running gateway whether it lives, for container engines without curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::config::Config;

/// Answers later than this count as none.
const PATIENCE: Duration = Duration::from_secs(3);

/// Succeeds when `/healthz` of the admin listener answers 200.
pub(super) async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let address = reachable(config.server.admin_listen);
    let status = tokio::time::timeout(PATIENCE, ask(address)).await.context("no answer in time")??;
    anyhow::ensure!(status.starts_with("HTTP/1.1 200"), "the gateway is not healthy");
    Ok(ExitCode::SUCCESS)
}

/// A listener on every address is reached through loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn ask(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await.context("nobody listens")?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
