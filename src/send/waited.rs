//! Asks once more before a message that has waited goes on the wire: its window may have closed meanwhile, its person may have
//! said that they want no more marketing.

use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};

use super::Sender;
use super::flight::again;
use super::outcome::{Ended, Ending, Fate};
use super::rules::{Objection, Outgoing};
use super::turns::Ready;
use crate::domain::channel::Channel;
use crate::domain::consent::OPTED_OUT;
use crate::store::lanes::OwnedLane;

/// What was taken longer ago than this is asked about again.
const WAITED: Duration = Duration::minutes(1);
/// Meta's code for a message to somebody whose window is closed.
const WINDOW_CLOSED: i32 = 131_047;
/// Meta has no code for whom we do not write to: that of a message that cannot be delivered to somebody.
pub(super) const RESTRICTED: i32 = 131_026;

/// Meta's message object, and its `type`.
struct Read {
    body: Map<String, Value>,
    kind: String,
}

impl Read {
    fn new(ready: &Ready) -> Self {
        let body: Map<String, Value> = serde_json::from_slice(&ready.body).unwrap_or_default();
        // Meta takes a message without a type for a text.
        let kind = body.get("type").and_then(Value::as_str).unwrap_or("text").to_owned();
        Self { body, kind }
    }
}

impl Sender {
    /// Those that may go, in their order, and those that end here. A template that was given along takes the place of what is too
    /// late.
    pub(super) async fn ask_again(
        &self,
        lane: OwnedLane,
        channel: &Channel,
        all: Vec<Ready>,
    ) -> (Vec<Ready>, Vec<Ended>) {
        let now = self.clock.now();
        let read: Vec<Option<Read>> =
            all.iter().map(|ready| (ready.message.made_at() + WAITED < now).then(|| Read::new(ready))).collect();
        let waited = all.iter().zip(&read).filter_map(|(ready, read)| Some((ready, read.as_ref()?)));
        let outgoing: Vec<Outgoing<'_>> = waited
            .map(|(ready, Read { body, kind })| {
                let contact = Some(ready.contact);
                Outgoing { contact, kind, body, is_later: false, is_marketing: false }
            })
            .collect();
        if outgoing.is_empty() {
            return (all, Vec::new());
        }
        let objections = self.permit(channel, &outgoing).await.inspect_err(|error| {
            tracing::warn!(channel = %channel.id, error = %error, "nobody could be asked whether messages may still go");
        });
        let mut objections = objections.map(Vec::into_iter);
        let (mut going, mut ended) = (Vec::with_capacity(all.len()), Vec::new());
        for (ready, read) in all.into_iter().zip(&read) {
            let (message, contact, attempts) = (ready.message, ready.contact, ready.attempts);
            let judged = match (read, &mut objections) {
                (None, _) => Ok(ready),
                (Some(_), Ok(objections)) => self.judge(channel, ready, objections.next().flatten()).await,
                (Some(_), Err(_)) => Err(put_back(now, attempts)),
            };
            match judged {
                Ok(ready) => going.push(ready),
                Err(fate) => ended.push(Ended { message, contact, mark: Some(lane.epoch), fate }),
            }
        }
        (going, ended)
    }

    async fn judge(&self, channel: &Channel, ready: Ready, objection: Option<Objection>) -> Result<Ready, Fate> {
        let refused = |code| Err(Fate::Ended(Ending::Refused { code }));
        match objection {
            // Templates change: whether it still fits, Meta knows best.
            None | Some(Objection::Faulty(_)) => Ok(ready),
            Some(Objection::OptedOut) => refused(OPTED_OUT),
            Some(Objection::Restricted) => refused(RESTRICTED),
            Some(Objection::WindowClosed) => match self.fallback(channel.tenant, ready.message, ready.contact).await {
                Ok(Some(template)) => Ok(Ready { body: template.to_vec(), ..ready }),
                Ok(None) => refused(WINDOW_CLOSED),
                Err(_) => Err(put_back(self.clock.now(), ready.attempts)),
            },
        }
    }
}

/// The database or the keys are away: later.
fn put_back(now: OffsetDateTime, attempts: i16) -> Fate {
    Fate::PutBack { until: again(now, attempts, None), unburnt: true, resend: false }
}
