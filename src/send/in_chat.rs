//! Answers what people ask about their data in the chat: whether they mean it, and then what becomes of it. By ordinary messages, each under an
//! idempotency key, so that whoever is killed on the way asks once.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::notice::may_pass;
use super::{QueueError, Sender};
use crate::domain::in_chat::{Language, Wish, promise, question};
use crate::store::in_chat::InChatRow;
use crate::store::notices::Untold;
use crate::telemetry::Trouble;

/// How often is looked.
const LOOK: Duration = Duration::from_secs(1);
/// People who are answered at once.
const AT_ONCE: i64 = 50;

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

impl Sender {
    async fn answer_in_chat(&self) -> Result<(), QueueError> {
        for one in self.store.in_chat(&["asked", "confirmed"], self.clock.now(), AT_ONCE).await? {
            let Some((text, next)) = self.answer_to(&one).await? else { continue };
            let key = format!("in chat {} {next}", one.id);
            let InChatRow { tenant, id, contact, channel, state, profile, .. } = one;
            let to = Untold { tenant, contact, channel, profile };
            let message = match self.say_to(&to, &text, &key).await {
                Err(QueueError::InProgress) => continue,
                // Until what they asked is too old.
                Err(error) if may_pass(&error) => continue,
                result => result?,
            };
            self.store.move_in_chat(tenant, id, (&state, next), message, self.clock.now()).await?;
        }
        Ok(())
    }

    /// What is said, and what state that brings. `None`: of a later release.
    async fn answer_to(&self, one: &InChatRow) -> Result<Option<(String, &'static str)>, QueueError> {
        let (Some(wish), Some(language)) = (Wish::parse(&one.wish), Language::parse(&one.language)) else {
            return Ok(None);
        };
        if one.state == "confirmed" {
            return Ok(Some((promise(wish, language).to_owned(), "answered")));
        }
        let code = self.keyring.tenant(one.tenant).await?.chat_code(one.id);
        Ok(Some((question(wish, language, &code), "told")))
    }
}
