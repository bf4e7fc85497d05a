//! Files: where they are kept, what fetches those that people send, and what brings to Meta what applications hand over.

use std::sync::Arc;

use anyhow::Context as _;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::Base;
use super::outgoing::graph_client;
use crate::config::Config;
use crate::directory::Bells;
use crate::domain::channel::Channel;
use crate::ids::MediaId;
use crate::media::{Fetcher, NotUploaded, Shelf};
use crate::send::{self, Uploads};

impl Base {
    /// As `[media]` says; without a place for files none is kept.
    pub fn files(&self, config: &Config, bells: Bells) -> anyhow::Result<Fetcher> {
        Ok(Fetcher {
            store: self.store.clone(),
            keyring: self.keyring.clone(),
            directory: self.directory.clone(),
            graph: graph_client(config)?,
            shelf: Shelf::open(&config.media, self.clock.now()).context("media.url")?,
            bells,
            clock: self.clock.clone(),
            max_in_flight: config.media.max_in_flight,
        })
    }
}

/// The room of files, as the room that sends sees it.
#[derive(Debug)]
pub(super) struct Carrier(pub(super) Fetcher);

impl Uploads for Carrier {
    fn upload(&self, channel: Arc<Channel>, media: MediaId) -> BoxFuture<'static, Result<(), send::NotUploaded>> {
        let files = self.0.clone();
        let brought = async move {
            files.upload(channel, media).await.map_err(|error| match error {
                NotUploaded::Gone => send::NotUploaded::Gone,
                NotUploaded::Refused { code, answer } => send::NotUploaded::Refused { code, answer },
                NotUploaded::Later { wait } => send::NotUploaded::Later { wait },
            })
        };
        brought.boxed()
    }
}

/// For who hands messages over and sends none: a running gateway does.
#[derive(Debug)]
pub(super) struct NoCarrier;

impl Uploads for NoCarrier {
    fn upload(&self, _channel: Arc<Channel>, _media: MediaId) -> BoxFuture<'static, Result<(), send::NotUploaded>> {
        std::future::ready(Err(send::NotUploaded::Later { wait: None })).boxed()
    }
}
