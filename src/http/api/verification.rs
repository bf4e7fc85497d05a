//! Whether an endpoint may be delivered to: its address is allowed, and, for Meta's format, it repeats a challenge.

use std::time::Duration;

use url::Url;

use super::body::Faults;
use super::fields::VerifyTokenText;
use super::problem::{Code, Problem};
use crate::domain::endpoint::{Auth, Endpoint, Format, Transport};
use crate::egress::brokers::{self, Destination};
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
    for server in brokers::servers(address.url) {
        if let Err(refused) = egress.vet(&server).await {
            faults.note("/url", refused.code(), refused.to_string()).unwrap_or(());
        }
    }
    check_broker(address, &mut faults);
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

/// Notes why a broker cannot be delivered to.
fn check_broker(address: &Address<'_>, faults: &mut Faults) {
    let Some(transport) = Transport::of(address.url).filter(|transport| transport.is_broker()) else { return };
    if !transport.is_available() {
        let expected = "a transport that this gateway was built with (docs/brokers.md)";
        faults.note("/url", "transport_unavailable", expected).unwrap_or(());
    }
    if let Err(bad) = Destination::of(address.url) {
        faults.note("/url", "url_destination", bad.to_string()).unwrap_or(());
    }
    if address.format == Format::Meta {
        faults.note("/url", "format", "the address of a web server: this format has a handshake").unwrap_or(());
    }
}

/// Notes what an endpoint asks for that only web servers understand.
pub(super) fn check_credentials(url: &Url, endpoint: &Endpoint, faults: &mut Faults) {
    if !Transport::of(url).is_some_and(Transport::is_broker) {
        return;
    }
    let given = &endpoint.credentials;
    let fields = [
        ("/headers", !given.headers.is_empty()),
        ("/auth", given.auth.is_some()),
        ("/client_certificate", given.certificate.is_some()),
    ];
    for (field, _) in fields.into_iter().filter(|(_, is_given)| *is_given) {
        faults.note(field, "transport", "absent: a broker has its user and password in the URL").unwrap_or(());
    }
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
