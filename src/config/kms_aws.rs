//! `keys.aws_*`: which key of AWS KMS is at the top of the key tree.

use url::Url;

use super::kms::{ADDRESS, Address};
use super::reader::Reader;
use crate::secret::KmsToken;

/// Which key of AWS KMS.
#[derive(Debug, Clone)]
pub struct AwsConfig {
    /// Where the service answers.
    pub url: Url,
    /// Its region.
    pub region: String,
    /// ARN, id or alias of the key.
    pub key: String,
    /// Id and secret of an access key; none: the environment or the machine says who we are.
    pub credentials: Option<(String, KmsToken)>,
}

/// What is written of it.
pub(super) struct Aws {
    key: Option<String>,
    region: Option<String>,
    endpoint: Option<Address>,
    id: Option<String>,
    secret: Option<KmsToken>,
}

impl Aws {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let id: Option<String> = reader.parsed("keys.aws_access_key_id", "the id of an access key");
        Self {
            key: reader.parsed("keys.aws_key", "the ARN, the id or an alias of a key"),
            region: reader.parsed("keys.aws_region", "the name of a region"),
            endpoint: reader.parsed("keys.aws_endpoint", ADDRESS),
            id: id.filter(|id| !id.is_empty()),
            secret: reader.secret("keys.aws_secret_access_key").map(KmsToken::new),
        }
    }

    pub(super) fn chosen(&self, reader: &mut Reader) -> Option<AwsConfig> {
        let key = self.key.clone()?;
        if key.is_empty() {
            reader.fault("keys.aws_key", "required: the ARN, the id or an alias of a symmetric key");
        }
        let region = self.region.clone().filter(|region| !region.is_empty());
        let region = region.or_else(|| region_of(&key).map(str::to_owned));
        if region.as_deref().is_none_or(|region| !is_region(region)) {
            reader.fault("keys.aws_region", "required unless keys.aws_key is an ARN: a region such as eu-central-1");
            return None;
        }
        let region = region?;
        if self.id.is_some() != self.secret.is_some() {
            reader.fault("keys.aws_secret_access_key", "is set together with keys.aws_access_key_id, or neither is");
        }
        let url = match &self.endpoint.as_ref()?.0 {
            Some(url) => url.clone(),
            None => service(&region)?,
        };
        Some(AwsConfig { url, region, key, credentials: self.id.clone().zip(self.secret.clone()) })
    }
}

/// `arn:PARTITION:kms:REGION:…`
fn region_of(key: &str) -> Option<&str> {
    key.strip_prefix("arn:")?.split(':').nth(2).filter(|region| !region.is_empty())
}

/// It becomes part of the name of a host.
fn is_region(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn service(region: &str) -> Option<Url> {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    Url::parse(&format!("https://kms.{region}.{domain}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_in_the_arn_and_the_service_in_the_region() {
        let arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        assert_eq!(region_of(arn), Some("eu-central-1"));
        assert_eq!(region_of("alias/waxseal"), None);
        assert_eq!(service("eu-central-1").unwrap().as_str(), "https://kms.eu-central-1.amazonaws.com/");
        assert_eq!(service("cn-north-1").unwrap().host_str(), Some("kms.cn-north-1.amazonaws.com.cn"));
        assert!(is_region("us-gov-west-1") && !is_region("x/y") && !is_region("evil.example#") && !is_region(""));
    }
}
