//! Connections to the database are cut.

use crate::support::load::{Load, audit};
use crate::support::{Receiver, TestApp, database};

const CUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = 'waxseal'";

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_again_and_again_lose_and_double_nothing() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "standard").await;
    let load = Load::start(&format!("http://{}/webhook", app.at.public), 4);
    let mut cut = 0;
    for _ in 0..20 {
        load.accepted(12).await;
        cut += database::count(&app.database, CUT).await;
    }
    load.accepted(50).await;
    let tries = load.finish().await;
    assert!(cut > 20 && tries.iter().all(|one| matches!(one.status, Some(200 | 503))));
    println!("{cut} connections cut, {} webhooks refused", tries.iter().filter(|one| one.status == Some(503)).count());
    audit(&app.database, &receiver, &tries).await;
    let left = "SELECT count(*) FROM delivery";
    crate::support::wait::until("nothing is owed any more", std::time::Duration::from_secs(20), async || {
        database::count(&app.database, left).await == 0
    })
    .await;
}
