//! A stand-in for Amazon Web Services, of other people and as they publish it: moto. It checks the signature and the policy of each
//! request once it is told to.

pub mod bucket;

use std::process::Stdio;

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::support::process::free_port;
use crate::support::wait::{PATIENCE, until};

pub const REGION: &str = "eu-central-1";
const USER: &str = "waxseal";

/// A server of the test's own, in memory alone. It ends with the test.
pub struct Moto {
    pub url: String,
    client: Client,
    child: Child,
}

/// An access key of a user.
pub struct AccessKey {
    pub id: String,
    pub secret: String,
}

impl Moto {
    pub async fn start() -> Self {
        let port = free_port().to_string();
        let child = Command::new(crate::sdk::python().with_file_name("moto_server"))
            .args(["--host", "127.0.0.1", "--port", &port])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        let moto = Self { url: format!("http://127.0.0.1:{port}"), client, child };
        let runs = async || moto.client.get(format!("{}/moto-api/data.json", moto.url)).send().await.is_ok();
        until("moto runs", PATIENCE, runs).await;
        moto
    }

    /// From now on it checks every request, or none.
    pub async fn check(&self, is_on: bool) {
        let allowed = if is_on { "0" } else { "inf" };
        let told = self.client.post(format!("{}/moto-api/reset-auth", self.url)).header("content-type", "text/plain");
        assert!(told.body(allowed).send().await.unwrap().status().is_success());
    }

    /// A request of somebody whom it believes while it checks nothing.
    pub fn ask(&self, service: &str, method: Method, path: &str) -> RequestBuilder {
        let who = format!(
            "AWS4-HMAC-SHA256 Credential=nobody/20261123/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"
        );
        self.client.request(method, format!("{}{path}", self.url)).header("authorization", who)
    }

    /// A symmetric key of the KMS. Its ARN.
    pub async fn key(&self) -> String {
        let asked = self.ask("kms", Method::POST, "/").header("x-amz-target", "TrentService.CreateKey");
        let made = asked.header("content-type", "application/x-amz-json-1.1").body("{}").send().await.unwrap();
        let made: Value = made.json().await.unwrap();
        made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned()
    }

    /// A user who may do nothing yet.
    pub async fn user(&self) -> AccessKey {
        self.iam(&[("Action", "CreateUser"), ("UserName", USER)]).await;
        let told = self.iam(&[("Action", "CreateAccessKey"), ("UserName", USER)]).await;
        let within = |name: &str| {
            let rest = told.split(&format!("<{name}>")).nth(1).unwrap();
            rest.split('<').next().unwrap().to_owned()
        };
        AccessKey { id: within("AccessKeyId"), secret: within("SecretAccessKey") }
    }

    /// What that user may do from now on, and nothing else.
    pub async fn allow(&self, actions: &[&str]) {
        let policy = json!({
            "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": actions, "Resource": "*" }] });
        let (policy, put) = (policy.to_string(), [("Action", "PutUserPolicy"), ("UserName", USER)]);
        self.check(false).await;
        self.iam(&[&put[..], &[("PolicyName", "may"), ("PolicyDocument", &policy)]].concat()).await;
        self.check(true).await;
    }

    async fn iam(&self, form: &[(&str, &str)]) -> String {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(form).append_pair("Version", "2010-05-08");
        let asked = self.ask("iam", Method::POST, "/").header("content-type", "application/x-www-form-urlencoded");
        let answer = asked.body(text.finish()).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert_eq!(status, StatusCode::OK, "{text}");
        text
    }

    /// Nobody answers there any more.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }
}
