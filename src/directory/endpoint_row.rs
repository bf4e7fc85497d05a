//! Endpoints as they are stored: sealed into a row, and opened out of it.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use super::Directory;
use super::load::LoadError;
use super::save::SaveError;
use crate::domain::endpoint::{
    Auth, ClientCertificate, ClientCredentials, Credentials, Direction, DisabledReason, Endpoint, EndpointUrl, Fields,
    Filter, Format, Order, Pace, State,
};
use crate::domain::predicate::Predicate;
use crate::ids::{ChannelId, EndpointId, TenantId};
use crate::keyring::places;
use crate::secret::{EndpointSecret, SigningSecret};
use crate::store::endpoints::EndpointRow;

/// What `endpoint.options` holds, sealed.
#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Options {
    #[serde(skip_serializing_if = "Option::is_none")]
    predicate: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, Zeroizing<String>)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<StoredAuth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<StoredCertificate>,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredAuth {
    Bearer(Zeroizing<String>),
    Basic { user: String, password: Zeroizing<String> },
    OAuth2 { token_url: String, client_id: String, client_secret: Zeroizing<String>, scope: Option<String> },
}

#[derive(PartialEq, Serialize, Deserialize)]
struct StoredCertificate {
    chain: String,
    key: Zeroizing<String>,
}

impl Options {
    fn of(endpoint: &Endpoint) -> Self {
        let text = |secret: &EndpointSecret| Zeroizing::new(secret.expose().to_owned());
        let credentials = &endpoint.credentials;
        let auth = credentials.auth.as_ref().map(|auth| match auth {
            Auth::Bearer(token) => StoredAuth::Bearer(text(token)),
            Auth::Basic { user, password } => StoredAuth::Basic { user: user.clone(), password: text(password) },
            Auth::OAuth2(client) => StoredAuth::OAuth2 {
                token_url: client.token_url.expose().to_string(),
                client_id: client.client_id.clone(),
                client_secret: text(&client.client_secret),
                scope: client.scope.clone(),
            },
        });
        let certificate = credentials.certificate.as_ref();
        Self {
            predicate: endpoint.filter.predicate.as_ref().map(|predicate| predicate.source().clone()),
            headers: credentials.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
            auth,
            certificate: certificate.map(|one| StoredCertificate { chain: one.chain.clone(), key: text(&one.key) }),
        }
    }

    /// The predicate and the credentials. `None` when one of them is not what was stored.
    fn open(self) -> Option<(Option<Predicate>, Credentials)> {
        let secret = |text: Zeroizing<String>| EndpointSecret::new(text.as_str());
        let predicate = self.predicate.map(Predicate::parse).transpose().ok()?;
        let auth = match self.auth {
            None => None,
            Some(StoredAuth::Bearer(token)) => Some(Auth::Bearer(secret(token))),
            Some(StoredAuth::Basic { user, password }) => Some(Auth::Basic { user, password: secret(password) }),
            Some(StoredAuth::OAuth2 { token_url, client_id, client_secret, scope }) => {
                let token_url = EndpointUrl::new(Url::parse(&token_url).ok()?);
                let client_secret = secret(client_secret);
                Some(Auth::OAuth2(ClientCredentials { token_url, client_id, client_secret, scope }))
            }
        };
        let certificate = self.certificate.map(|one| ClientCertificate { chain: one.chain, key: secret(one.key) });
        let headers = self.headers.into_iter().map(|(name, value)| (name, secret(value))).collect();
        Some((predicate, Credentials { headers, auth, certificate }))
    }
}

impl Directory {
    pub(super) async fn endpoint_row(&self, endpoint: &Endpoint) -> Result<EndpointRow, SaveError> {
        let (tenant, row) = (endpoint.tenant, endpoint.id.uuid());
        let seal = |column, text: Zeroizing<String>| async move {
            self.seal_text(tenant, "endpoint", column, row, &text).await
        };
        let secret = |secret: &SigningSecret| Zeroizing::new(secret.expose().to_owned());
        let options = Options::of(endpoint);
        let options = if options == Options::default() {
            None
        } else {
            // Texts and JSON that was read before: there is nothing that would not serialise.
            Some(seal("options", Zeroizing::new(serde_json::to_string(&options).unwrap_or_default())).await?)
        };
        let previous_signing_secret = match &endpoint.previous_secret {
            Some((previous, _)) => Some(seal("previous_signing_secret", secret(previous)).await?),
            None => None,
        };
        let (pace, now) = (endpoint.pace, self.clock.now());
        Ok(EndpointRow {
            tenant_id: tenant.uuid(),
            endpoint_id: row,
            name: endpoint.name.clone(),
            url: seal("url", Zeroizing::new(endpoint.url.expose().to_string())).await?,
            url_host: endpoint.url.host(),
            format: endpoint.format.as_str().to_owned(),
            event_types: endpoint.filter.event_types.clone(),
            channel_ids: endpoint.filter.channels.iter().map(|channel| channel.uuid()).collect(),
            direction: endpoint.filter.direction.map(|direction| direction.as_str().to_owned()),
            fields: endpoint.fields.as_str().to_owned(),
            pseudonymous: endpoint.pseudonymous,
            ordering: pace.order.as_str().to_owned(),
            skip_after: pace.order.after().and_then(|after| after.get().try_into().ok()),
            max_per_second: pace.max_per_second.and_then(|rate| rate.get().try_into().ok()),
            max_in_flight: pace.max_in_flight.and_then(|most| most.get().try_into().ok()),
            timeout_ms: pace.timeout.and_then(|timeout| timeout.as_millis().try_into().ok()),
            options,
            previous_signing_secret,
            previous_secret_until: endpoint.previous_secret.as_ref().map(|(_, until)| *until),
            signing_secret: seal("signing_secret", secret(&endpoint.secret)).await?,
            state: endpoint.state.as_str().to_owned(),
            disabled_reason: endpoint.disabled_reason.map(|reason| reason.as_str().to_owned()),
            created_at: now,
            updated_at: now,
        })
    }

    pub(super) async fn open_endpoint(&self, row: &EndpointRow) -> Result<Endpoint, LoadError> {
        let at = |column| places::setting(row.tenant_id, "endpoint", column, row.endpoint_id);
        let damaged = |column| LoadError::Damaged { table: "endpoint", column, row: row.endpoint_id };
        let url = self.open_text(at("url"), &row.url).await?;
        let options = match &row.options {
            Some(sealed) => {
                let text = Zeroizing::new(self.open_text(at("options"), sealed).await?);
                serde_json::from_str(&text).map_err(|_| damaged("options"))?
            }
            None => Options::default(),
        };
        let (predicate, credentials) = options.open().ok_or_else(|| damaged("options"))?;
        let previous_secret = match (&row.previous_signing_secret, row.previous_secret_until) {
            (Some(sealed), Some(until)) => {
                Some((SigningSecret::new(self.open_text(at("previous_signing_secret"), sealed).await?), until))
            }
            _ => None,
        };
        let direction = row.direction.as_deref().map(|text| Direction::parse(text).ok_or_else(|| damaged("direction")));
        let reason = row.disabled_reason.as_deref();
        let reason = reason.map(|text| DisabledReason::parse(text).ok_or_else(|| damaged("disabled_reason")));
        Ok(Endpoint {
            tenant: TenantId::from_uuid(row.tenant_id),
            id: EndpointId::from_uuid(row.endpoint_id),
            name: row.name.clone(),
            url: EndpointUrl::new(Url::parse(&url).map_err(|_| damaged("url"))?),
            format: Format::parse(&row.format).ok_or_else(|| damaged("format"))?,
            filter: Filter {
                event_types: row.event_types.clone(),
                channels: row.channel_ids.iter().copied().map(ChannelId::from_uuid).collect(),
                direction: direction.transpose()?,
                predicate,
            },
            fields: Fields::parse(&row.fields).ok_or_else(|| damaged("fields"))?,
            pseudonymous: row.pseudonymous,
            pace: pace(row).ok_or_else(|| damaged("ordering"))?,
            secret: SigningSecret::new(self.open_text(at("signing_secret"), &row.signing_secret).await?),
            previous_secret,
            credentials,
            state: State::parse(&row.state).ok_or_else(|| damaged("state"))?,
            disabled_reason: reason.transpose()?,
            changed_at: Some(row.updated_at),
        })
    }
}

fn pace(row: &EndpointRow) -> Option<Pace> {
    let small = |number: i16| u16::try_from(number).ok().and_then(NonZeroU16::new);
    let rate = |number: i32| u32::try_from(number).ok().and_then(NonZeroU32::new);
    Some(Pace {
        order: Order::parse(&row.ordering, row.skip_after.and_then(small))?,
        max_per_second: row.max_per_second.and_then(rate),
        max_in_flight: row.max_in_flight.and_then(small),
        timeout: row.timeout_ms.and_then(|millis| u64::try_from(millis).ok()).map(Duration::from_millis),
    })
}
