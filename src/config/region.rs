//! `[region]`: where everything of the tenant belongs.

use std::str::FromStr;

use super::kms::KmsSource;
use super::reader::Reader;
use super::{KeysConfig, MediaConfig, MediaPlace};

/// A word of the operator for a region: 1 to 63 small letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionName(String);

impl RegionName {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What may stand in the file: a name, or nothing.
struct Named(Option<RegionName>);

impl FromStr for Named {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        match text {
            "" => Ok(Self(None)),
            _ if text.len() <= 63 && text.bytes().all(is_fine) => Ok(Self(Some(RegionName(text.to_owned())))),
            _ => Err(()),
        }
    }
}

/// Where everything of the tenant belongs.
#[derive(Debug, Clone)]
pub struct RegionConfig {
    /// The region. `None`: none is named.
    pub name: Option<RegionName>,
    /// The one that the data belonged to before they were moved.
    pub moved_from: Option<RegionName>,
    /// What cloud services call it.
    pub cloud: Vec<String>,
}

impl RegionConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let expected = "empty, or up to 63 small letters, digits and hyphens";
        let name: Option<Named> = reader.parsed("region.name", expected);
        let moved_from: Option<Named> = reader.parsed("region.moved_from", expected);
        let cloud = reader.list("region.cloud", "regions of cloud services, such as eu-central-1");
        let (name, moved_from) = (name?.0, moved_from?.0);
        if moved_from.is_some() && name.is_none() {
            reader.fault("region.moved_from", "needs region.name, where everything was moved to");
        }
        Some(Self { name, moved_from, cloud: cloud? })
    }

    /// Notes a fault for each service of a cloud that would take something out of the region.
    pub(super) fn confine(&self, reader: &mut Reader, keys: &KeysConfig, media: &MediaConfig) {
        if self.name.is_none() {
            return;
        }
        let kms = match &keys.kms {
            KmsSource::Aws(aws) => Some(("keys.aws_region", aws.region.as_str())),
            _ => None,
        };
        // A bucket of one's own has a region in name alone.
        let is_amazons = matches!(media.place, MediaPlace::Bucket { .. }) && media.s3_endpoint.is_none();
        let bucket = is_amazons.then_some(("media.s3_region", media.s3_region.as_str()));
        for (key, region) in
            kms.into_iter().chain(bucket).filter(|(_, region)| !self.cloud.iter().any(|one| one == region))
        {
            reader.fault(key, format!("is {region}, which is not among the regions of region.cloud"));
        }
    }
}
