//! As little HTTP/1.1 as both ends of the load need: one connection that is kept open, and where a message ends.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No answer to a webhook, and no delivery, is longer.
const LONGEST_MESSAGE: usize = 4 << 20;

/// A connection that reads whole messages.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    /// Length of the message that was handed out last and still stands at the start of `received`.
    used: usize,
}

impl Connection {
    /// Takes a connection that is open.
    pub(crate) fn new(stream: TcpStream) -> anyhow::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(1024), used: 0 })
    }

    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        Self::new(TcpStream::connect(address).await.context("the connection was refused")?)
    }

    /// Sends a whole request and returns the status of its answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        self.stream.write_all(request).await?;
        let answer = self.receive().await?.context("the connection was closed before the answer")?;
        let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let status = std::str::from_utf8(line)?.split(' ').nth(1).context("the answer has no status")?;
        Ok(status.parse()?)
    }

    /// Sends a whole message.
    pub(crate) async fn send(&mut self, message: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(message).await?)
    }

    /// The next whole message; `None` when the other end has closed between two.
    pub(crate) async fn receive(&mut self) -> anyhow::Result<Option<&[u8]>> {
        self.received.drain(..self.used);
        self.used = 0;
        loop {
            if let Some(length) = length_of(&self.received)?.filter(|length| *length <= self.received.len()) {
                self.used = length;
                return Ok(self.received.get(..length));
            }
            if self.received.len() > LONGEST_MESSAGE {
                bail!("the message is too long");
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return if self.received.is_empty() {
                    Ok(None)
                } else {
                    bail!("the connection was closed in a message")
                };
            }
        }
    }
}

/// Head and body of the message at the start of `bytes`, once its head is there. Knows `Content-Length` alone.
fn length_of(bytes: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(bytes.get(..end).unwrap_or_default())?;
    let body = head
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Ok(0), |(_, value)| value.trim().parse::<usize>())?;
    Ok(Some(end + 4 + body))
}
