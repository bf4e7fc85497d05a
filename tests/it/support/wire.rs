//! The wire to Postgres. It can fall silent, as when a machine vanishes or a firewall forgets a connection: nothing is refused and
//! nothing is closed, and no byte comes through any more. Or it loses the answer to one word alone.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

#[derive(Clone, Copy, PartialEq)]
enum State {
    Sound,
    /// No byte passes.
    Silent,
    /// What asks passes. A connection that asks to commit hears nothing any more.
    DeafToCommit,
}

/// A way to a database that passes through here.
pub struct Wire {
    pub url: String,
    state: watch::Sender<State>,
}

impl Wire {
    pub async fn to(database: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut url = url::Url::parse(database).unwrap();
        let (host, port) = (url.host_str().unwrap().replace("%2F", "/"), url.port().unwrap_or(5432));
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let (state, seen) = watch::channel(State::Sound);
        tokio::spawn(async move {
            while let Ok((near, _peer)) = listener.accept().await {
                let (host, seen) = (host.clone(), seen.clone());
                tokio::spawn(async move {
                    if host.starts_with('/') {
                        carry(near, UnixStream::connect(format!("{host}/.s.PGSQL.{port}")).await.unwrap(), seen).await;
                    } else {
                        carry(near, TcpStream::connect((host, port)).await.unwrap(), seen).await;
                    }
                });
            }
        });
        Self { url: url.into(), state }
    }

    /// From now on nothing comes through.
    pub fn fall_silent(&self) {
        self.state.send_replace(State::Silent);
    }

    /// From now on every COMMIT arrives, and nobody hears of it.
    pub fn lose_answers_to_commits(&self) {
        self.state.send_replace(State::DeafToCommit);
    }

    /// New connections come through again. Those that fell silent stay so for ever.
    pub fn restore(&self) {
        self.state.send_replace(State::Sound);
    }
}

async fn carry(near: TcpStream, far: impl AsyncRead + AsyncWrite + Unpin, seen: watch::Receiver<State>) {
    let ((mut asks, mut hears), (mut answers, mut is_asked)) = (split(near), split(far));
    let (deaf, mut deafened) = watch::channel(false);
    let mut silence = seen.clone();
    let asking = async {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = asks.read(&mut piece).await {
            let commits = piece[..read].windows(6).any(|word| word == b"COMMIT");
            let is_deaf = *seen.borrow() == State::DeafToCommit;
            if commits && is_deaf {
                deaf.send_replace(true);
            }
            is_asked.write_all(&piece[..read]).await.ok()?;
        }
        Some(())
    };
    let answering = async {
        tokio::select! {
            biased;
            () = becomes(&mut deafened, true) => std::future::pending().await,
            done = copy(&mut answers, &mut hears) => done,
        }
    };
    tokio::select! {
        biased;
        () = becomes(&mut silence, State::Silent) => {}
        _ = asking => return,
        _ = answering => return,
    }
    std::future::pending::<()>().await;
}

async fn becomes<T: PartialEq>(seen: &mut watch::Receiver<T>, wanted: T) {
    let _gone = seen.wait_for(|value| *value == wanted).await.map(drop);
}
