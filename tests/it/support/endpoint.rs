//! Endpoints as their owner handles them, over the API.

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::{Receiver, TestApp};

pub async fn create(app: &TestApp, body: &Value) -> Response {
    app.api(Method::POST, "/v1/endpoints").json(body).send().await.unwrap()
}

pub async fn change(app: &TestApp, path: &str, body: &Value) -> Response {
    app.api(Method::PATCH, path).json(body).send().await.unwrap()
}

/// The places and codes of what is wrong with a body.
pub async fn faults(answer: Response) -> Vec<(String, String)> {
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "invalid_body", "{problem}");
    let text = |fault: &Value, name: &str| fault[name].as_str().unwrap().to_owned();
    problem["errors"].as_array().unwrap().iter().map(|one| (text(one, "pointer"), text(one, "code"))).collect()
}

/// Where an endpoint is found that the API told of.
pub fn path_of(made: &Value) -> String {
    format!("/v1/endpoints/{}", made["id"].as_str().unwrap())
}

/// A gateway with one endpoint.
pub struct Scene {
    pub app: TestApp,
    pub receiver: Receiver,
    pub path: String,
}

impl Scene {
    pub async fn begin() -> Self {
        Self::with(json!({})).await
    }

    /// An endpoint with these fields besides.
    pub async fn with(more: Value) -> Self {
        let (app, receiver) = (TestApp::spawn().await, Receiver::start().await);
        let mut body = json!({ "name": "test", "url": receiver.url() });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = create(&app, &body).await;
        assert_eq!(answer.status(), StatusCode::CREATED, "{}", answer.text().await.unwrap());
        let made: Value = answer.json().await.unwrap();
        receiver.trust(made["secret"].as_str().unwrap());
        let path = path_of(&made);
        Self { app, receiver, path }
    }

    pub async fn set(&self, state: &str) {
        let answer = change(&self.app, &self.path, &json!({ "state": state })).await;
        assert_eq!(answer.status(), StatusCode::OK);
    }
}
