//! The resolver under the client: it hands out vetted addresses alone. The address that was checked is the one that is
//! connected to, so a name that changes its answer in between (DNS rebinding) gains nothing.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::guard::{AddressPolicy, Refused};

/// The addresses of a name, some time later.
pub type Found = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Whoever knows the addresses of names.
pub trait Names: Send + Sync {
    /// The addresses that `host` has now.
    fn lookup(&self, host: String) -> Found;
}

/// The operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemNames;

impl Names for SystemNames {
    fn lookup(&self, host: String) -> Found {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Asks for the addresses of a name, then asks the guard about every one of them.
#[derive(Clone)]
pub struct GuardedResolver {
    policy: Arc<AddressPolicy>,
    names: Arc<dyn Names>,
}

impl GuardedResolver {
    /// A resolver under `policy`.
    #[must_use]
    pub const fn new(policy: Arc<AddressPolicy>, names: Arc<dyn Names>) -> Self {
        Self { policy, names }
    }

    /// The addresses of `host`, all of them allowed. Ports are zero.
    ///
    /// # Errors
    /// [`Refused::Unresolved`] when the lookup fails or is empty; [`Refused::Address`] when one address is not allowed.
    pub async fn lookup(&self, host: &str) -> Result<Vec<SocketAddr>, Refused> {
        let found = self.names.lookup(host.to_owned()).await.map_err(|_| Refused::Unresolved)?;
        self.policy.check_resolved(host, &found)?;
        Ok(found.into_iter().map(|address| SocketAddr::new(address, 0)).collect())
    }
}

impl fmt::Debug for GuardedResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedResolver").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let vetted = this.lookup(name.as_str()).await.map_err(Box::<dyn Error + Send + Sync>::from)?;
            Ok(Box::new(vetted.into_iter()) as Addrs)
        })
    }
}
