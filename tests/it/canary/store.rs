//! The two kinds of object store.

use std::path::PathBuf;

use crate::amazon::bucket::Bucket;
use crate::support::folder::Folder;

/// Where the files of a scene lie.
pub(super) enum Store {
    Directory(Folder),
    Bucket(Box<Bucket>),
}

impl Store {
    pub(super) fn directory() -> Self {
        Self::Directory(Folder::new())
    }

    pub(super) async fn bucket() -> Self {
        Self::Bucket(Box::new(Bucket::start().await))
    }

    /// The settings of a gateway that keeps files there.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        match self {
            Self::Directory(folder) => vec![("WAXSEAL_MEDIA__URL".to_owned(), folder.url())],
            Self::Bucket(bucket) => bucket.settings("files").into(),
        }
    }

    /// The name and the bytes of everything there.
    pub(super) async fn objects(&self) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        match self {
            Self::Directory(folder) => {
                for file in folder.files() {
                    found.push((format!("the object store, {}", file.display()), std::fs::read(file).unwrap()));
                }
            }
            Self::Bucket(bucket) => {
                for name in bucket.objects().await {
                    let bytes = bucket.object(&name).await;
                    found.push((format!("the object store, {name}"), [name.as_bytes(), &bytes].concat()));
                }
            }
        }
        found
    }

    pub(super) fn folder(&self) -> Option<PathBuf> {
        match self {
            Self::Directory(folder) => Some(folder.path().to_owned()),
            Self::Bucket(_) => None,
        }
    }

    pub(super) async fn plant(&self, text: &str) {
        match self {
            Self::Directory(folder) => folder.put("planted", text.as_bytes()),
            Self::Bucket(bucket) => bucket.put("files/planted", text.as_bytes().to_vec()).await,
        }
    }
}
