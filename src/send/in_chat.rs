//! Answers what people ask about their data in the chat: whether they mean it, and then what becomes of it. By ordinary messages, each under an
//! idempotency key, so that whoever is killed on the way asks once.

use std::time::Duration;

use futures_util::future::BoxFuture;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::notice::may_pass;
use super::{QueueError, Sender};
use crate::crypto::age::Passphrase;
use crate::domain::in_chat::{Language, Wish, here_it_is, promise, question};
use crate::ids::{ExportId, TenantId};
use crate::store::in_chat::InChatRow;
use crate::store::notices::Untold;
use crate::telemetry::Trouble;

/// How often is looked.
const LOOK: Duration = Duration::from_secs(1);
/// People who are answered at once.
const AT_ONCE: i64 = 50;

/// Links to archives cannot be made now.
#[derive(Debug, Clone, Copy)]
pub struct NoLink;

/// Makes links to archives that people asked for in the chat.
pub trait ArchiveLinks: Send + Sync + std::fmt::Debug {
    /// Where an archive is, and until when. `None`: it is not there, or not for this person now.
    fn link(&self, tenant: TenantId, id: ExportId) -> BoxFuture<'_, Result<Option<(String, OffsetDateTime)>, NoLink>>;
}

/// Answers until told to stop; at once, when nobody can ask.
pub async fn run(sender: Sender, stop: CancellationToken) {
    if !sender.in_chat {
        return;
    }
    let mut trouble = Trouble::none(
        "people who ask about their data in the chat cannot be answered",
        "people who ask about their data in the chat can be answered again",
    );
    loop {
        trouble.note(&sender.answer_in_chat().await);
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// What is said, and what state that brings.
type Answer = Option<(Zeroizing<String>, &'static str)>;

impl Sender {
    async fn answer_in_chat(&self) -> Result<(), QueueError> {
        for one in self.store.in_chat(&["asked", "confirmed", "ready"], self.clock.now(), AT_ONCE).await? {
            let Some((text, next)) = self.answer_to(&one).await? else { continue };
            let key = format!("in chat {} {next}", one.id);
            let InChatRow { tenant, id, contact, channel, state, profile, .. } = one;
            let to = Untold { tenant, contact, channel, profile };
            let message = match self.say_to(&to, &text, &key).await {
                Err(QueueError::InProgress) => continue,
                // Each try makes a link, which is an entry: whoever answers requests goes on.
                Err(error) if may_pass(&error) && state == "ready" => {
                    tracing::warn!(%error, "somebody cannot be told now where their data are; their request waits for you");
                    None
                }
                // Until what they asked is too old.
                Err(error) if may_pass(&error) => continue,
                result => result?,
            };
            self.store.move_in_chat(tenant, id, (&state, next), message, self.clock.now()).await?;
        }
        Ok(())
    }

    /// Where their archive is, and what opens it. `None`: not now.
    async fn link_for(&self, one: &InChatRow, language: Language) -> Result<Answer, QueueError> {
        let Some(links) = &self.links else { return Ok(None) };
        let passphrase = Passphrase::of(&self.keyring.tenant(one.tenant).await?.chat_passphrase(one.id));
        match links.link(one.tenant, ExportId::from_uuid(one.id)).await {
            Err(NoLink) => Ok(None),
            Ok(None) => {
                tracing::warn!(
                    "somebody who asked for their data in the chat gets no link; their request waits for you"
                );
                let now = self.clock.now();
                self.store.move_in_chat(one.tenant, one.id, ("ready", "done"), None, now).await?;
                Ok(None)
            }
            Ok(Some((link, until))) => {
                let said = here_it_is(language, &link, passphrase.show(), until.date());
                Ok(Some((Zeroizing::new(said), "done")))
            }
        }
    }

    /// What is said, and what state that brings. `None`: of a later release, or nothing now.
    async fn answer_to(&self, one: &InChatRow) -> Result<Answer, QueueError> {
        let (Some(wish), Some(language)) = (Wish::parse(&one.wish), Language::parse(&one.language)) else {
            return Ok(None);
        };
        if one.state == "confirmed" {
            return Ok(Some((Zeroizing::new(promise(wish, language).to_owned()), "answered")));
        }
        if one.state == "ready" {
            return self.link_for(one, language).await;
        }
        let code = self.keyring.tenant(one.tenant).await?.chat_code(one.id);
        Ok(Some((Zeroizing::new(question(wish, language, &code)), "told")))
    }
}
