//! The machine's clock jumps.

use reqwest::StatusCode;
use time::Duration;

use crate::support::app::TestApp;
use crate::support::{Receiver, database, webhook};

const EVENTS: &str = "SELECT count(*) FROM event";

/// Posts each body twice and counts the events that it became.
async fn post_twice(app: &TestApp, bodies: &[Vec<u8>]) -> i64 {
    let before = database::count(&app.database, EVENTS).await;
    for body in bodies.iter().chain(bodies) {
        assert_eq!(app.webhook(body.clone()).await, StatusCode::OK);
    }
    database::count(&app.database, EVENTS).await - before
}

fn bodies(name: &str) -> Vec<Vec<u8>> {
    (0..5).map(|at| webhook::text("4915199900011", &format!("wamid.{name}.{at}"), "Moin")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_weeks_ahead_and_back_stops_no_webhook() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "standard").await;
    assert_eq!(post_twice(&app, &bodies("right")).await, 5);
    receiver.wait_for(5).await;
    let mut all = 5;
    for (name, jump) in [("ahead", 40), ("back", -3), ("behind", -40), ("again", 3)] {
        clock.advance(Duration::days(jump));
        // Meta's own clock is right all the time.
        let bodies = bodies(name);
        assert_eq!(post_twice(&app, &bodies).await, 5, "{name}");
        assert_eq!(post_twice(&app, &bodies).await, 0, "{name}");
        all += 5;
        receiver.wait_for(all).await;
    }
    assert_eq!(receiver.received().len(), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_slow_for_days_and_is_put_right_doubles_no_redelivery() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let before = bodies("before");
    assert_eq!(post_twice(&app, &before).await, 5);
    clock.advance(Duration::days(-3));
    let during = bodies("during");
    assert_eq!(post_twice(&app, &before).await, 0);
    assert_eq!(post_twice(&app, &during).await, 5);
    clock.advance(Duration::days(3));
    assert_eq!(post_twice(&app, &before).await, 0);
    assert_eq!(post_twice(&app, &during).await, 0);
}
