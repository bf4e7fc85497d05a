//! Files with canaries in them and in their names: handed over, sent, read, linked, deleted, and mistaken.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::paths::Scene;
use super::{FILE, FILE_NAME, NUMBER, REPLY, TYPED};
use crate::support::wait::{PATIENCE, until};

impl Scene {
    /// Everything that an application does with files. Returns a link that is good.
    pub(super) async fn files(&mut self) -> String {
        let [kept, deleted] = [self.handed_over().await, self.handed_over().await];
        let channel = self.get("/v1/channels").await["data"][0]["id"].clone();
        let document = json!({ "id": kept, "filename": FILE_NAME, "caption": REPLY });
        let message = json!({ "to": NUMBER, "type": "document", "document": document });
        let queued = self.post("/v1/messages", json!({ "channel_id": channel, "message": message })).await;
        let path = format!("/v1/messages/{}", queued["id"].as_str().unwrap());
        until("the file is sent", PATIENCE, async || self.get(&path).await["state"] != "queued").await;
        let read = self.gateway.api(Method::GET, &format!("/v1/media/{kept}")).send().await.unwrap();
        assert!(read.text().await.unwrap().contains(FILE), "the canaries went this way");
        let link = self.post(&format!("/v1/media/{kept}/link"), json!({})).await;
        let link = link["path"].as_str().unwrap().to_owned();
        let url = format!("{}{link}", self.gateway.internal);
        assert_eq!(self.gateway.request(Method::GET, &url).send().await.unwrap().status(), StatusCode::OK);
        self.refused(self.gateway.request(Method::GET, &format!("{url}A"))).await;
        self.refused(self.gateway.request(Method::GET, &url.replace("token=", &format!("token={TYPED}")))).await;
        let gone = self.gateway.api(Method::DELETE, &format!("/v1/media/{deleted}")).send().await.unwrap();
        assert_eq!(gone.status(), StatusCode::NO_CONTENT);
        for kind in [format!("{TYPED}/{TYPED}"), "text/html".to_owned(), "image/png".to_owned()] {
            let file = if kind == "image/png" { String::new() } else { format!("{FILE} {TYPED}") };
            self.refused(self.gateway.api(Method::POST, "/v1/media").header(CONTENT_TYPE, kind).body(file)).await;
        }
        self.refused(self.gateway.api(Method::POST, &format!("/v1/media?channel_id={TYPED}")).body(FILE)).await;
        link.split_once('=').unwrap().1.to_owned()
    }

    async fn handed_over(&self) -> String {
        let form = format!(
            "--edge\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{FILE_NAME}\"\r\n\
             content-type: text/plain\r\n\r\n{FILE}\r\n--edge--\r\n"
        );
        let request = self.gateway.api(Method::POST, "/v1/media");
        let answer =
            request.header(CONTENT_TYPE, "multipart/form-data; boundary=edge").body(form).send().await.unwrap();
        let told: Value = answer.json().await.unwrap();
        assert_eq!(told["filename"], FILE_NAME, "{told}");
        told["id"].as_str().unwrap().to_owned()
    }
}
