//! Whether an endpoint may be delivered to: its address is allowed, and, for Meta's format, it repeats a challenge.

use std::time::Duration;

use url::Url;

use super::body::Faults;
use super::fields::VerifyTokenText;
use super::problem::{Code, Problem};
use crate::domain::endpoint::{Auth, Endpoint, Format};
use crate::egress::client::EgressClient;
use crate::secret::VerifyToken;

/// How long an endpoint has to repeat the challenge.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a caller wants to be delivered to.
pub(super) struct Address<'a> {
    pub(super) url: &'a Url,
    pub(super) format: Format,
    pub(super) verify_token: Option<&'a VerifyTokenText>,
}

/// Notes what is wrong with the address, and refuses together with the faults found before.
pub(super) async fn check(egress: &EgressClient, address: &Address<'_>, mut faults: Faults) -> Result<(), Problem> {
    if let Err(refused) = egress.vet(address.url).await {
        faults.note("/url", refused.code(), refused.to_string()).unwrap_or(());
    }
    match (address.format, address.verify_token) {
        (Format::Meta, None) => {
            faults.note("/verify_token", "required", "required for this format and a new URL").unwrap_or(());
        }
        (Format::Standard | Format::CloudEvents, Some(_)) => {
            faults.note("/verify_token", "format", "absent: this format has no handshake").unwrap_or(());
        }
        _ => {}
    }
    faults.refuse()
}

/// Notes what is wrong with the address that an endpoint's tokens are fetched from.
pub(super) async fn check_token_url(egress: &EgressClient, endpoint: &Endpoint, faults: &mut Faults) {
    if let Some(Auth::OAuth2(client)) = &endpoint.credentials.auth
        && let Err(refused) = egress.vet(client.token_url.expose()).await
    {
        faults.note("/auth/oauth2/token_url", refused.code(), refused.to_string()).unwrap_or(());
    }
}

/// Meta's handshake, for its format. Passed by every endpoint of another.
pub(super) async fn challenge(egress: &EgressClient, address: &Address<'_>) -> Result<(), Problem> {
    let (Format::Meta, Some(token)) = (address.format, address.verify_token) else { return Ok(()) };
    let challenge = egress.get_challenge(address.url, &VerifyToken::new(token.0.as_str()), PATIENCE).await;
    if challenge.passed {
        return Ok(());
    }
    let detail = match challenge.attempt.http_status {
        Some(status) => format!("it answered {status}; expected are 200 and the bare challenge"),
        None => format!("it did not answer ({})", challenge.attempt.class.as_str()),
    };
    Err(Problem::new(Code::VerificationFailed).with_detail(detail))
}
