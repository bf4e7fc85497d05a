//! Names that change their answers.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use waxseal::egress::attempt::AttemptClass;
use waxseal::egress::client::Settings;
use waxseal::egress::guard::{AddressPolicy, Refused};
use waxseal::egress::resolver::{Found, Names};

use crate::consumer::{Consumer, PATIENCE, answer, client_with, post};

/// Gives one answer after the other, the last one for ever.
pub(crate) struct Changing {
    answers: Mutex<Vec<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Changing {
    pub(crate) fn of(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |one: &&[&str]| one.iter().map(|text| text.parse().unwrap()).collect();
        let answers = answers.iter().rev().map(parse).collect();
        Arc::new(Self { answers: Mutex::new(answers), asked: AtomicUsize::new(0) })
    }
}

impl Names for Changing {
    fn lookup(&self, _: String) -> Found {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let now = if answers.len() > 1 { answers.pop() } else { answers.last().cloned() };
        Box::pin(async move { Ok(now.unwrap_or_default()) })
    }
}

#[tokio::test]
async fn a_name_that_turns_inward_after_it_was_vetted_is_refused_when_it_is_connected_to() {
    let consumer = Consumer::saying(answer("200 OK", "")).await;
    let url = format!("http://rebind.example:{}/hook", consumer.address.port()).parse().unwrap();
    for inward in [
        &["127.0.0.1"][..],
        &["::ffff:127.0.0.1"],
        &["169.254.169.254"],
        &["64:ff9b::a9fe:a9fe"],
        &["203.0.114.1", "127.0.0.1"],
    ] {
        let names = Changing::of(&[&["203.0.114.1"], inward]);
        let policy = AddressPolicy { allowed_hosts: vec!["rebind.example".into()], ..AddressPolicy::default() };
        let client = client_with(policy, Settings { names: names.clone(), ..Settings::new(PATIENCE) });
        assert!(client.vet(&url).await.is_ok(), "outward when it is saved");
        assert_eq!(post(&client, &url, PATIENCE).await.class, AttemptClass::Refused, "{inward:?}");
        assert_eq!(names.asked.load(Ordering::SeqCst), 2, "asked once for each: what was vetted is what counts");
        assert!(matches!(client.vet(&url).await, Err(Refused::Address(_))));
    }
    assert_eq!(consumer.tasks.len(), 1, "nobody connected");
}
