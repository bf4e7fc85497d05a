//! Objects in a bucket of anything that speaks S3.

use std::io::{Error, Result};
use std::ops::Range;
use std::sync::Arc;

use futures_util::stream::StreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, WriteMultipart};

use super::{Found, Pieces};
use crate::config::MediaConfig;

/// Parts of an upload: the least that S3 takes.
const PART: usize = 5 * 1024 * 1024;
/// Parts of one upload that are on their way at the same time.
const PARTS_AT_ONCE: usize = 2;

/// A bucket.
#[derive(Debug)]
pub(super) struct Bucket(Arc<dyn ObjectStore>);

impl Bucket {
    pub(super) fn open(config: &MediaConfig, name: &str, prefix: &str) -> Result<Self> {
        let mut bucket = AmazonS3Builder::new().with_bucket_name(name).with_region(&config.s3_region);
        if let Some(endpoint) = &config.s3_endpoint {
            let is_plain = endpoint.scheme() == "http";
            bucket = bucket.with_allow_http(is_plain).with_endpoint(endpoint.as_str().trim_end_matches('/'));
        }
        if let Some((id, secret)) = &config.s3_credentials {
            bucket = bucket.with_access_key_id(id).with_secret_access_key(secret.expose());
        } else {
            // As Amazon's own programs find out who we are; nothing else of the environment counts.
            let chain = AmazonS3Builder::from_env().with_bucket_name(name).with_region(&config.s3_region).build()?;
            bucket = bucket.with_credentials(chain.credentials().clone());
        }
        Ok(Self(Arc::new(PrefixStore::new(bucket.build()?, prefix))))
    }

    pub(super) async fn begin(&self, name: &str) -> Result<Upload> {
        let upload = self.0.put_multipart(&Path::from(name)).await?;
        Ok(Upload(WriteMultipart::new_with_chunk_size(upload, PART)))
    }

    pub(super) async fn read(&self, name: &str, range: Range<u64>, tag: Option<String>) -> Result<Found> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), if_match: tag, ..GetOptions::default() };
        self.get(name, options).await
    }

    pub(super) async fn whole(&self, name: &str) -> Result<Found> {
        self.get(name, GetOptions::default()).await
    }

    async fn get(&self, name: &str, options: GetOptions) -> Result<Found> {
        let found = self.0.get_opts(&Path::from(name), options).await?;
        let (size, tag) = (found.meta.size, found.meta.e_tag.clone());
        Ok(Found {
            size,
            tag,
            pieces: Pieces::from(found.into_stream().map(|piece| piece.map_err(Error::from)).boxed()),
        })
    }

    pub(super) async fn remove(&self, name: &str) -> Result<()> {
        Ok(self.0.delete(&Path::from(name)).await?)
    }
}

/// An object that is being written; it is there when it is finished.
#[derive(Debug)]
pub(super) struct Upload(WriteMultipart);

impl Upload {
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.wait_for_capacity(PARTS_AT_ONCE).await?;
        self.0.write(bytes);
        Ok(())
    }

    pub(super) async fn finish(self) -> Result<()> {
        self.0.finish().await?;
        Ok(())
    }

    pub(super) async fn abort(self) -> Result<()> {
        Ok(self.0.abort().await?)
    }
}
