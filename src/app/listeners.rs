//! The three listeners: where they are, what TLS they speak, and how they begin.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Addresses, Stage};
use crate::clock::SharedClock;
use crate::config::{Config, ListenerTls};
use crate::http::listen::Front;
use crate::http::tls::Tls;
use crate::http::{self, listen};
use crate::telemetry;

/// Simultaneous connections to the public listener. Strangers hold some of them, so that there are more than Meta needs.
const PUBLIC_CONNECTIONS: usize = 4096;
/// How often it is looked whether certificates were replaced.
const CERTIFICATES: Duration = Duration::from_mins(1);

/// Takes the addresses of the public, the internal and the admin listener, and reads their certificates.
pub(super) async fn bind(config: &Config, clock: &SharedClock) -> anyhow::Result<[Front; 3]> {
    let (server, tls) = (&config.server, &config.tls);
    Ok([
        front(server.public_listen, "public", tls.public.as_ref(), clock).await?,
        front(server.internal_listen, "internal", tls.internal.as_ref(), clock).await?,
        front(server.admin_listen, "admin", tls.admin.as_ref(), clock).await?,
    ])
}

async fn front(at: SocketAddr, name: &str, tls: Option<&ListenerTls>, clock: &SharedClock) -> anyhow::Result<Front> {
    let tls = tls.map(|files| Tls::open(files.clone(), clock.clone())).transpose()?;
    let bound = TcpListener::bind(at).await;
    Ok(Front { listener: bound.with_context(|| format!("the {name} listener cannot have {at}"))?, tls })
}

/// Reads certificates anew until told to stop. A replaced file is one that nobody has to tell us of.
async fn keep_fresh(certificates: Vec<Tls>, stop: CancellationToken) {
    if certificates.is_empty() {
        return;
    }
    while stop.run_until_cancelled(tokio::time::sleep(CERTIFICATES)).await.is_some() {
        reload(&certificates);
    }
}

/// Reads certificates anew, now.
pub(super) fn reload(certificates: &[Tls]) {
    for tls in certificates {
        let outcome = match tls.reload() {
            Ok(false) => continue,
            Ok(true) => {
                tracing::info!(listener = tls.listener(), "another certificate is in force");
                "taken"
            }
            Err(error) => {
                tracing::error!(listener = tls.listener(), %error, "certificates are faulty; those of before stay in force");
                "faulty"
            }
        };
        metrics::counter!(telemetry::TLS_RELOADS, "listener" => tls.listener(), "outcome" => outcome).increment(1);
    }
}

/// Begins to answer. Returns the certificates too, to be read anew on demand.
pub(super) fn serve(
    bound: [Front; 3],
    state: &http::AppState,
    requests: &Stage,
    health: &Stage,
) -> anyhow::Result<(Addresses, Vec<Tls>)> {
    let certificates: Vec<Tls> = bound.iter().filter_map(|front| front.tls.clone()).collect();
    requests.tasks.spawn(keep_fresh(certificates.clone(), requests.stop.clone()));
    let [public, internal, admin] = bound;
    let addresses = Addresses {
        public: public.listener.local_addr()?,
        internal: internal.listener.local_addr()?,
        admin: admin.listener.local_addr()?,
    };
    let limits = listen::Limits::default();
    let strangers = listen::Limits { connections: PUBLIC_CONNECTIONS, ..limits };
    requests.tasks.spawn(listen::serve(public, http::router::public(state), strangers, requests.stop.clone()));
    let routers = [
        (internal, http::router::internal(state.clone()), requests),
        (admin, http::router::admin(state.clone()), health),
    ];
    for (front, router, stage) in routers {
        // With its state, routes are not assembled anew for each request.
        stage.tasks.spawn(listen::serve(front, router.with_state::<()>(()), limits, stage.stop.clone()));
    }
    tracing::info!(public = %addresses.public, internal = %addresses.internal, admin = %addresses.admin, "listening");
    Ok((addresses, certificates))
}
