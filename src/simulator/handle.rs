//! Starting and stopping a simulator.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::line::{Line, LineListener};
use super::platform::Platform;
use super::settings::Settings;
use super::{ladder, routes};
use crate::clock::SharedClock;
use crate::secret::{AccessToken, AppSecret, VerifyToken};

/// Who the simulator plays: one Meta app, one WABA, one phone number.
#[derive(Debug, Clone)]
pub struct SimulatorConfig {
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Signs the webhooks.
    pub app_secret: AppSecret,
    /// What callers of the Graph side must present.
    pub access_token: AccessToken,
    /// What the callback URL is verified with.
    pub verify_token: VerifyToken,
    /// Meta's id of the phone number.
    pub phone_number_id: String,
    /// Meta's id of the WABA.
    pub waba_id: String,
    /// The phone number as people see it, for example `+1 555 010 0000`.
    pub display_phone_number: String,
    /// Where webhooks go; without one they are recorded and not posted.
    pub callback_url: Option<String>,
}

/// A running simulator. Dropping it stops it without waiting; [`Simulator::shutdown`] waits.
pub struct Simulator {
    address: SocketAddr,
    platform: Arc<Platform>,
}

impl Simulator {
    /// Binds the listener and starts serving. Media URLs expire by `clock`; waits on the network run by the machine's
    /// time.
    pub async fn start(config: SimulatorConfig, clock: SharedClock) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let (platform, due) = Platform::new(config, base_url(address), clock)?;
        let app = routes::router(Arc::clone(&platform)).into_make_service_with_connect_info::<Line>();
        let stop = platform.stop.clone();
        platform.tasks.spawn(async move {
            // An axum server ends with an error never; the listener retries by itself.
            let _ = axum::serve(LineListener(listener), app).with_graceful_shutdown(stop.cancelled_owned()).await;
        });
        platform.tasks.spawn(ladder::post_due(Arc::clone(&platform), due));
        Ok(Self { address, platform })
    }

    /// The address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`: the base to put before `/vNN.0/…` and `/control/…`.
    pub fn base_url(&self) -> &str {
        &self.platform.base_url
    }

    /// Replaces the settings, as a `PUT /control/settings` that names every key.
    pub fn configure(&self, settings: Settings) {
        self.platform.configure(settings);
    }

    /// Sets the app's callback URL, as `PUT /control/callback`.
    pub fn set_callback(&self, url: Option<String>) {
        self.platform.account.set_callback(url);
    }

    /// Stops accepting, gives up retries and statuses that are still due, and waits for the requests in hand: at most
    /// five seconds, because a caller may never finish its own.
    pub async fn shutdown(self) {
        self.platform.stop.cancel();
        self.platform.tasks.close();
        let _ = tokio::time::timeout(Duration::from_secs(5), self.platform.tasks.wait()).await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.platform.stop.cancel();
    }
}

// What was sent through it is nobody's business.
impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Simulator({})", self.address)
    }
}

/// Clients cannot connect to an unspecified address everywhere, so that one is shown as loopback.
fn base_url(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("http://127.0.0.1:{}", address.port())
    } else {
        format!("http://{address}")
    }
}
