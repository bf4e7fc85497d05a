//! A TCP proxy that can be told to misbehave.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// What becomes of what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It passes.
    Open,
    /// It passes, so many bytes per second and direction.
    Slow(u32),
    /// It is held back until the manner changes, and nobody is told.
    Still,
    /// Connections are closed when they come.
    Shut,
}

/// Where it leads.
#[derive(Debug, Clone)]
pub enum Target {
    Port(u16),
    Socket(PathBuf),
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A listening proxy. Runs until the process ends.
#[derive(Debug, Clone)]
pub struct Proxy {
    pub port: u16,
    manner: watch::Sender<Manner>,
    /// Connections of earlier generations are cut.
    generation: watch::Sender<u64>,
}

impl Proxy {
    pub async fn start(target: Target) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Self { port, manner: watch::Sender::new(Manner::Open), generation: watch::Sender::new(0) };
        tokio::spawn(accept(listener, Arc::new(target), proxy.clone()));
        proxy
    }

    pub fn behave(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }

    /// Cuts every connection that there is.
    pub fn cut(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }
}

async fn accept(listener: TcpListener, target: Arc<Target>, proxy: Proxy) {
    loop {
        let Ok((near, _)) = listener.accept().await else { continue };
        if *proxy.manner.borrow() != Manner::Shut {
            let _ = near.set_nodelay(true); // a slower test is no failure
            tokio::spawn(connect(near, target.clone(), proxy.manner.subscribe(), proxy.generation.subscribe()));
        }
    }
}

async fn connect(
    near: TcpStream,
    target: Arc<Target>,
    manner: watch::Receiver<Manner>,
    mut generation: watch::Receiver<u64>,
) {
    generation.mark_unchanged();
    let far: Box<dyn Stream> = match &*target {
        Target::Port(port) => match TcpStream::connect(("127.0.0.1", *port)).await {
            Ok(stream) => Box::new(stream),
            Err(_) => return,
        },
        Target::Socket(path) => match UnixStream::connect(path).await {
            Ok(stream) => Box::new(stream),
            Err(_) => return,
        },
    };
    let ((near_in, near_out), (far_in, far_out)) = (split(near), split(far));
    let both = async { tokio::join!(pump(near_in, far_out, manner.clone()), pump(far_in, near_out, manner.clone())) };
    tokio::select! {
        _ = both => {}
        _ = generation.changed() => {}
    }
}

/// Carries one direction until its end, and hands the end on.
async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut manner: watch::Receiver<Manner>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let room = match *manner.borrow() {
            Manner::Slow(rate) => (rate as usize / 20).clamp(1, buffer.len()),
            _ => buffer.len(),
        };
        let Ok(read) = from.read(&mut buffer[..room]).await else { break };
        if manner.wait_for(|manner| *manner != Manner::Still).await.is_err() {
            break;
        }
        let slow = if let Manner::Slow(rate) = *manner.borrow() { Some(rate) } else { None };
        if let Some(rate) = slow {
            tokio::time::sleep(Duration::from_secs_f64(read as f64 / f64::from(rate))).await;
        }
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await; // the other side may be gone already
}
