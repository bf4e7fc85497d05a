//! NATS `JetStream`: a message is done when the stream has it. `Nats-Msg-Id` is the event's id, so that a stream drops what is
//! published again within its duplicate window.

use std::time::Duration;

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, Context};
use async_nats::{ConnectErrorKind, ConnectOptions, Event, HeaderMap, ServerAddr};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::Message;
use super::destination::{Destination, credentials};
use super::link::{Link, Publishing, Site};
use crate::egress::attempt::AttemptClass;

/// A connection to one server, and the subject that everything goes to.
#[derive(Debug)]
pub(super) struct Connection {
    context: Context,
    subject: String,
    /// Cancelled when the connection is gone: what was not acknowledged by then is not waited for.
    lost: CancellationToken,
}

impl Connection {
    pub(super) async fn open(url: &Url, sites: &[Site], deadline: Duration) -> Result<Self, AttemptClass> {
        let Ok(Some(Destination::Subject(subject))) = Destination::of(url) else { return Err(AttemptClass::Refused) };
        let lost = CancellationToken::new();
        let options = options(url, lost.clone()).connection_timeout(deadline);
        let client = options.connect(servers(url, sites)).await.map_err(|error| class_of_connect(error.kind()))?;
        let mut context = jetstream::new(client);
        context.set_timeout(deadline);
        Ok(Self { context, subject, lost })
    }

    async fn send(&self, message: &Message) -> Result<(), PublishError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &message.headers {
            headers.insert(name.as_str(), value.to_str().unwrap_or_default());
        }
        let publish = PublishMessage::build().message_id(message.id.to_string()).payload(message.body.clone());
        let publish = headers.iter().fold(publish, |publish, (name, values)| {
            values.iter().fold(publish, |publish, value| publish.header(name.clone(), value.clone()))
        });
        self.context.send_publish(self.subject.clone(), publish).await?.await.map(drop)
    }
}

impl Link for Connection {
    fn publish<'a>(&'a self, message: &'a Message) -> Publishing<'a> {
        Box::pin(async {
            tokio::select! {
                result = self.send(message) => match result {
                    Ok(()) => AttemptClass::Success,
                    Err(error) => class_of_publish(error.kind()),
                },
                () = self.lost.cancelled() => AttemptClass::Connect,
            }
        })
    }

    fn outlives(&self, class: AttemptClass) -> bool {
        class != AttemptClass::Timeout && !self.lost.is_cancelled()
    }
}

/// Plain connections go to the vetted addresses themselves. Over TLS the certificate is checked against the name, which the
/// client must therefore know, and looks up again: an address that answers otherwise by then has no certificate for it.
fn servers(url: &Url, sites: &[Site]) -> Vec<ServerAddr> {
    let addresses = sites.iter().flat_map(|site| match url.scheme() {
        "tls" => vec![format!("tls://{}:{}", bracketed(&site.host), site.port)],
        _ => site.addresses.iter().map(|address| format!("nats://{address}")).collect(),
    });
    addresses.filter_map(|address| address.parse().ok()).collect()
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn options(url: &Url, lost: CancellationToken) -> ConnectOptions {
    let options = match (credentials(url), url.password()) {
        (None, _) => ConnectOptions::new(),
        // A name without a password is a token, as NATS itself reads its URLs.
        (Some((token, _)), None) => ConnectOptions::with_token(token),
        (Some((user, password)), Some(_)) => ConnectOptions::with_user_and_password(user, password.to_string()),
    };
    let options = options
        .name("waxseal")
        .require_tls(url.scheme() == "tls")
        // Other servers of a cluster have been vetted by nobody; and a lost connection is opened anew by the way of every
        // other, past the guard.
        .ignore_discovered_servers()
        .max_reconnects(1);
    options.event_callback(move |event| {
        let lost = lost.clone();
        async move {
            if matches!(event, Event::Disconnected | Event::Closed | Event::LameDuckMode) {
                lost.cancel();
            }
        }
    })
}

const fn class_of_connect(kind: ConnectErrorKind) -> AttemptClass {
    match kind {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => AttemptClass::Denied,
        ConnectErrorKind::TimedOut => AttemptClass::Timeout,
        ConnectErrorKind::Tls => AttemptClass::Tls,
        _ => AttemptClass::Connect,
    }
}

const fn class_of_publish(kind: PublishErrorKind) -> AttemptClass {
    match kind {
        PublishErrorKind::StreamNotFound => AttemptClass::Unroutable,
        PublishErrorKind::TimedOut => AttemptClass::Timeout,
        PublishErrorKind::BrokenPipe => AttemptClass::Connect,
        _ => AttemptClass::Rejected,
    }
}
