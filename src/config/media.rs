//! `[media]`: where files are kept that people send.

use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

use super::reader::Reader;
use crate::secret::ObjectStoreSecret;

/// Where files are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaPlace {
    /// They are not fetched.
    Nowhere,
    /// Below a directory.
    Directory(PathBuf),
    /// In a bucket that speaks S3.
    Bucket {
        /// Its name.
        name: String,
        /// What object names begin with; may be empty.
        prefix: String,
    },
}

impl FromStr for MediaPlace {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.is_empty() {
            return Ok(Self::Nowhere);
        }
        let url = Url::parse(text).map_err(drop)?;
        let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        match (url.scheme(), url.host_str().unwrap_or_default()) {
            ("file", "") if is_plain => url.to_file_path().map(Self::Directory),
            ("s3", name) if is_plain && !name.is_empty() => {
                Ok(Self::Bucket { name: name.to_owned(), prefix: url.path().trim_matches('/').to_owned() })
            }
            _ => Err(()),
        }
    }
}

/// Where files are kept, and how they get there.
#[derive(Debug, Clone)]
pub struct MediaConfig {
    /// Where.
    pub place: MediaPlace,
    /// Of a bucket that is not at Amazon.
    pub s3_endpoint: Option<Url>,
    /// Of a bucket.
    pub s3_region: String,
    /// Of a bucket: id and secret of the access key.
    pub s3_credentials: Option<(String, ObjectStoreSecret)>,
    /// Files on their way for one channel.
    pub max_in_flight: usize,
}

impl MediaConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let place = reader.parsed("media.url", "empty, file:///absolute/path or s3://bucket/prefix");
        let endpoint: Option<Endpoint> = reader.parsed("media.s3_endpoint", "empty, or an http or https URL");
        let region = reader.parsed("media.s3_region", "the name of a region");
        let id: Option<String> = reader.parsed("media.s3_access_key_id", "the id of an access key");
        let secret = reader.secret("media.s3_secret_access_key").map(ObjectStoreSecret::new);
        let max_in_flight = reader.number("media.max_in_flight", 1..=64);
        let id = id?;
        if id.is_empty() != secret.is_none() {
            reader.fault("media.s3_secret_access_key", "is set together with media.s3_access_key_id, or neither is");
        }
        Some(Self {
            place: place?,
            s3_endpoint: endpoint?.0,
            s3_region: region?,
            s3_credentials: secret.map(|secret| (id, secret)),
            max_in_flight: max_in_flight?,
        })
    }
}

struct Endpoint(Option<Url>);

impl FromStr for Endpoint {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        url.map(|url| Self(Some(url))).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_directory_a_bucket_or_nowhere() {
        let bucket = |name: &str, prefix: &str| MediaPlace::Bucket { name: name.to_owned(), prefix: prefix.to_owned() };
        assert_eq!("".parse(), Ok(MediaPlace::Nowhere));
        assert_eq!("file:///var/lib/waxseal/media".parse(), Ok(MediaPlace::Directory("/var/lib/waxseal/media".into())));
        assert_eq!("s3://files/waxseal/media/".parse(), Ok(bucket("files", "waxseal/media")));
        assert_eq!("s3://files".parse(), Ok(bucket("files", "")));
        for wrong in
            ["media", "/var/lib", "file://host/path", "s3:///x", "https://files", "s3://key@files", "s3://files?a=b"]
        {
            assert_eq!(wrong.parse::<MediaPlace>(), Err(()), "{wrong}");
        }
    }
}
