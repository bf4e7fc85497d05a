//! Promise: data stay in the region that they were marked with: no process that was told another one works on them.

use crate::support::app;
use crate::support::database;
use crate::support::process::waxseal;

/// The command's exit, and what it said.
async fn run(words: &[&str], environment: &[(String, String)], region: &[(&str, &str)]) -> (bool, String) {
    let own = region.iter().map(|(name, value)| (format!("WAXSEAL_REGION__{name}"), (*value).to_owned()));
    let environment: Vec<(String, String)> = environment.iter().cloned().chain(own).collect();
    let done = waxseal(words, &environment).output().await.unwrap();
    (done.status.success(), String::from_utf8([done.stdout, done.stderr].concat()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_marked_once_and_opened_by_those_alone_who_name_the_same_region() {
    let database = database::fresh().await;
    let environment = app::variables(&database, "http://127.0.0.1:9");
    let status = ["keys", "status"];

    // Whoever names none, marks none.
    assert!(run(&status, &environment, &[]).await.0);
    assert_eq!(database::count(&database, "SELECT count(*) FROM tenant WHERE region IS NOT NULL").await, 0);

    for _ in 0..2 {
        let (went_well, said) = run(&status, &environment, &[("NAME", "eu")]).await;
        assert!(went_well, "{said}");
    }
    let marked = "SELECT count(*) FROM audit_entry WHERE action = 'region.marked'";
    assert_eq!(database::count(&database, marked).await, 1);

    for (named, words) in [(&[][..], "names none"), (&[("NAME", "us")][..], "is \"us\"")] {
        let (went_well, said) = run(&status, &environment, named).await;
        assert!(!went_well && said.contains("belongs to the region \"eu\"") && said.contains(words), "{said}");
    }
    // Only who says where they were before has moved them.
    let (went_well, said) = run(&status, &environment, &[("NAME", "us"), ("MOVED_FROM", "ca")]).await;
    assert!(!went_well && said.contains("\"eu\""), "{said}");
    let (went_well, said) = run(&status, &environment, &[("NAME", "us"), ("MOVED_FROM", "eu")]).await;
    assert!(went_well, "{said}");
    assert_eq!(database::count(&database, marked).await, 2);
    let (went_well, said) = run(&status, &environment, &[("NAME", "eu")]).await;
    assert!(!went_well && said.contains("\"us\""), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_of_a_cloud_outside_of_the_region_are_faults_of_the_configuration() {
    let more = [
        ("WAXSEAL_REGION__NAME", "eu"),
        ("WAXSEAL_REGION__CLOUD", "eu-central-1"),
        ("WAXSEAL_KEYS__KMS", "aws"),
        ("WAXSEAL_KEYS__AWS_KEY", "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"),
        ("WAXSEAL_MEDIA__URL", "s3://bucket"),
    ];
    let environment: Vec<(String, String)> = more.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let (went_well, said) = run(&["check-config"], &environment, &[]).await;
    assert!(!went_well, "{said}");
    for fault in ["keys.aws_region", "media.s3_region"] {
        assert!(said.contains(fault), "{said}");
    }
    assert!(said.contains("us-east-1, which is not among the regions of region.cloud"), "{said}");
    // A bucket of one's own has a region in name alone.
    let own = [("WAXSEAL_MEDIA__S3_ENDPOINT".to_owned(), "https://minio.example".to_owned())];
    let (_, said) = run(&["check-config"], &[&environment[..], &own[..]].concat(), &[]).await;
    assert!(!said.contains("media.s3_region"), "{said}");
}
