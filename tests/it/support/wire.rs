//! The wire to Postgres. It can fall silent, as when a machine vanishes or a firewall forgets a connection: nothing is refused and
//! nothing is closed, and no byte comes through any more.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// A way to a database that passes through here.
pub struct Wire {
    pub url: String,
    silent: watch::Sender<bool>,
}

impl Wire {
    pub async fn to(database: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut url = url::Url::parse(database).unwrap();
        let (host, port) = (url.host_str().unwrap().replace("%2F", "/"), url.port().unwrap_or(5432));
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let (silent, heard) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((stream, _peer)) = listener.accept().await {
                tokio::spawn(carry(stream, host.clone(), port, heard.clone()));
            }
        });
        Self { url: url.into(), silent }
    }

    /// From now on nothing comes through.
    pub fn fall_silent(&self) {
        self.silent.send_replace(true);
    }

    /// New connections come through again. Those that fell silent stay so for ever.
    pub fn restore(&self) {
        self.silent.send_replace(false);
    }
}

async fn carry(mut near: TcpStream, host: String, port: u16, mut heard: watch::Receiver<bool>) {
    let silence = async move { heard.wait_for(|silent| *silent).await.map(drop) };
    if host.starts_with('/') {
        let mut far = UnixStream::connect(format!("{host}/.s.PGSQL.{port}")).await.unwrap();
        tokio::select! { biased; _ = silence => {}, _ = copy_bidirectional(&mut near, &mut far) => return }
        std::future::pending::<()>().await;
    } else {
        let mut far = TcpStream::connect((host, port)).await.unwrap();
        tokio::select! { biased; _ = silence => {}, _ = copy_bidirectional(&mut near, &mut far) => return }
        std::future::pending::<()>().await;
    }
}
