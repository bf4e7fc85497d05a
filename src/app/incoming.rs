//! What the way in is made of.

use std::sync::Arc;

use anyhow::Context as _;

use super::Base;
use crate::config::Config;
use crate::directory::{Bells, Contacts};
use crate::domain::consent::Words;
use crate::domain::in_chat::{Wish, Words as ChatWords};
use crate::ingest;

impl Base {
    /// What filing needs.
    pub(super) fn ingest_parts(
        &self,
        contacts: Contacts,
        bells: Bells,
        config: &Config,
        keeps_media: bool,
    ) -> anyhow::Result<ingest::Parts> {
        let words = Words::new(&config.send.stop_words, &config.send.start_words);
        Ok(ingest::Parts {
            keeps_media,
            store: self.store.clone(),
            keyring: self.keyring.clone(),
            directory: self.directory.clone(),
            contacts,
            audit: self.audit.clone(),
            bells,
            words: Arc::new(words),
            chat_words: Arc::new(chat_words(config)?),
            clock: self.clock.clone(),
        })
    }
}

/// Empty where people cannot ask in the chat.
fn chat_words(config: &Config) -> anyhow::Result<ChatWords> {
    let Some(asked) = &config.privacy.in_chat else { return Ok(ChatWords::default()) };
    let of = |wish: Wish, words: &[String]| words.iter().map(|word| (wish, word.clone())).collect::<Vec<_>>();
    let all = [
        of(Wish::Erasure, &asked.erasure_words),
        of(Wish::Portability, &asked.export_words),
        of(Wish::Access, &asked.access_words),
    ];
    let all = all.concat();
    let words = ChatWords::new(all.iter().map(|(wish, word)| (*wish, word.as_str())));
    words.context(
        "privacy.in_chat_*_words: a language (de, en, es, pt), a colon and a word that is no code; none stands twice",
    )
}

/// As `[ingest]` says.
pub(super) fn limits(config: &Config) -> ingest::Limits {
    ingest::Limits {
        queue_bytes: config.ingest.queue_bytes,
        batch_rows: config.ingest.batch_rows,
        batch_bytes: config.ingest.batch_bytes,
        writers: config.ingest.writers,
        commit_timeout: config.ingest.commit_timeout,
    }
}
