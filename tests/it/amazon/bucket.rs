//! A bucket of the test's own.

use reqwest::{Method, StatusCode};

use super::{AccessKey, Moto, REGION};
use crate::support::gate::Gate;

pub const NAME: &str = "waxseal-files";

pub struct Bucket {
    moto: Moto,
    key: AccessKey,
}

impl Bucket {
    pub async fn start() -> Self {
        let moto = Moto::start().await;
        let place = format!(
            "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>{REGION}\
             </LocationConstraint></CreateBucketConfiguration>"
        );
        let made = moto.ask("s3", Method::PUT, &format!("/{NAME}")).body(place).send().await.unwrap();
        assert_eq!(made.status(), StatusCode::OK, "{}", made.text().await.unwrap());
        let key = moto.user().await;
        let bucket = Self { moto, key };
        bucket.allow(true).await;
        bucket
    }

    /// Whether the gateway may do there what it needs.
    pub async fn allow(&self, is_on: bool) {
        let needed = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"];
        self.moto.allow(if is_on { &needed } else { &needed[..1] }).await;
    }

    /// The settings of a gateway that keeps files there, below this prefix.
    pub fn settings(&self, prefix: &str) -> [(String, String); 5] {
        [
            ("WAXSEAL_MEDIA__URL", format!("s3://{NAME}/{prefix}")),
            ("WAXSEAL_MEDIA__S3_ENDPOINT", self.moto.url.clone()),
            ("WAXSEAL_MEDIA__S3_REGION", REGION.to_owned()),
            ("WAXSEAL_MEDIA__S3_ACCESS_KEY_ID", self.key.id.clone()),
            ("WAXSEAL_MEDIA__S3_SECRET_ACCESS_KEY", self.key.secret.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    }

    /// The same, for one that reaches it through a gate.
    pub fn settings_through(&self, gate: &Gate, prefix: &str) -> [(String, String); 5] {
        self.settings(prefix).map(|(name, value)| {
            let value = if name.ends_with("S3_ENDPOINT") { gate.url.clone() } else { value };
            (name, value)
        })
    }

    /// A gate before it.
    pub async fn gate(&self) -> Gate {
        Gate::before(&self.moto.url).await
    }

    /// As whoever owns the bucket: what the gateway asks at the same moment is signed all the same.
    async fn owner(&self, method: Method, path: &str, body: Vec<u8>) -> Vec<u8> {
        self.moto.check(false).await;
        let answer = self.moto.ask("s3", method, &format!("/{NAME}{path}")).body(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let bytes = answer.bytes().await.unwrap().to_vec();
        self.moto.check(true).await;
        bytes
    }

    async fn list(&self, query: &str, within: &str) -> Vec<String> {
        let listed = String::from_utf8(self.owner(Method::GET, query, Vec::new()).await).unwrap();
        let begin = format!("<{within}>");
        let names = listed.split(&begin).skip(1);
        names.map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
    }

    /// Names of what lies there.
    pub async fn objects(&self) -> Vec<String> {
        self.list("?list-type=2", "Key").await
    }

    /// Uploads that were begun and neither finished nor aborted.
    pub async fn unfinished(&self) -> usize {
        self.list("?uploads", "UploadId").await.len()
    }

    pub async fn object(&self, name: &str) -> Vec<u8> {
        self.owner(Method::GET, &format!("/{name}"), Vec::new()).await
    }

    pub async fn put(&self, name: &str, bytes: Vec<u8>) {
        self.owner(Method::PUT, &format!("/{name}"), bytes).await;
    }

    pub async fn remove(&self, name: &str) {
        self.owner(Method::DELETE, &format!("/{name}"), Vec::new()).await;
    }
}
