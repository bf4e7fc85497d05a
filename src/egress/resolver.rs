//! The resolver under the client: it hands out vetted addresses alone. The address that was checked is the one that is
//! connected to, so a name that changes its answer in between (DNS rebinding) gains nothing.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::guard::{AddressPolicy, Refused};

/// Resolves through the operating system, then asks the guard about every address.
#[derive(Debug, Clone)]
pub struct GuardedResolver {
    policy: Arc<AddressPolicy>,
}

impl GuardedResolver {
    /// A resolver under `policy`.
    #[must_use]
    pub const fn new(policy: Arc<AddressPolicy>) -> Self {
        Self { policy }
    }

    /// The addresses of `host`, all of them allowed. Ports are zero.
    ///
    /// # Errors
    /// [`Refused::Unresolved`] when the lookup fails or is empty; [`Refused::Address`] when one address is not allowed.
    pub async fn lookup(&self, host: &str) -> Result<Vec<SocketAddr>, Refused> {
        let found: Vec<_> = tokio::net::lookup_host((host, 0)).await.map_err(|_| Refused::Unresolved)?.collect();
        let addresses: Vec<_> = found.iter().map(SocketAddr::ip).collect();
        self.policy.check_resolved(host, &addresses)?;
        Ok(found)
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
