//! Objects as they lie there, sealed, for backups: nothing is opened.

use std::io::{Error, ErrorKind};

use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::{Object, Place, Shelf, ShelfError};
use crate::ids::{MediaId, TenantId};

/// An object that is being put back.
#[derive(Debug)]
pub struct PuttingBack(Object);

const fn place(tenant: TenantId, media: MediaId) -> Place {
    // The name says nothing of whom it is about.
    Place { tenant, media, contact: None }
}

impl Shelf {
    /// The length and the sealed bytes of a file. `None`: nothing lies there.
    pub async fn sealed(
        &self,
        tenant: TenantId,
        media: MediaId,
    ) -> Result<Option<(u64, BoxStream<'static, Result<Bytes, Error>>)>, ShelfError> {
        match self.objects.whole(&place(tenant, media).name()).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
            Ok(found) => Ok(Some((found.size, found.pieces))),
        }
    }

    /// Begins to put a file back as it lay there.
    pub async fn put_back(&self, tenant: TenantId, media: MediaId) -> Result<PuttingBack, ShelfError> {
        Ok(PuttingBack(self.objects.begin(&place(tenant, media).name()).await?))
    }
}

impl PuttingBack {
    /// More of it.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), ShelfError> {
        Ok(self.0.write(bytes).await?)
    }

    /// It is there, whole.
    pub async fn finish(self) -> Result<(), ShelfError> {
        Ok(self.0.finish().await?)
    }
}
