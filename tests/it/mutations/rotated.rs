//! What a rotation of data keys does to every sealed column: each is sealed anew in its place, and when the keys of before are destroyed,
//! everything opens still.

use std::collections::HashSet;

use time::Duration;
use waxseal::clock::{Clock, ManualClock};
use waxseal::crypto::envelope::Suite;
use waxseal::ids::TenantId;
use waxseal::privacy::{Reseal, Resealed};
use waxseal::store::sealed_columns::Reseal as When;

use super::*;
use crate::support::process::waxseal;

const OLD: &str = "SELECT COALESCE(string_agg(dek_id::text, ' '), '') FROM waxseal_keys.dek WHERE scope < 2";
const BEFORE: &str = "SELECT count(*) FROM waxseal_keys.dek d WHERE scope < 2
     AND EXISTS (SELECT 1 FROM waxseal_keys.dek n WHERE n.scope = d.scope AND n.subject_id = d.subject_id AND n.month > d.month)";

async fn deks(scene: &Scene) -> HashSet<Uuid> {
    database::text(&scene.estate.database, OLD).await.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

/// Each value of the columns that are sealed anew: what is in it, and by which key.
async fn contents(reader: &mut Reader) -> Vec<(String, Vec<u8>, Uuid)> {
    let mut all = Vec::new();
    for one in ALL.iter().filter(|one| one.reseal != When::Never) {
        for lying in reader.column((one.table, one.column, one.row, one.contact), false).await {
            let (place, sealed) = (lying.context, Sealed::from_stored(lying.sealed));
            let (id, name) = (sealed.dek_id().unwrap(), format!("{}.{} {}", place.table, place.column, place.row));
            let found = reader.base.keyring.for_opening(TenantId::from_uuid(place.tenant), [id]).await.unwrap();
            let key = found.get(&id).unwrap_or_else(|| panic!("{name} lies under a key that is not there"));
            let opened = envelope::open(&key.dek, &place, &sealed).unwrap_or_else(|error| panic!("{name}: {error}"));
            all.push((name, opened.to_vec(), id));
        }
    }
    all.sort_unstable();
    all
}

fn words(all: &[(String, Vec<u8>, Uuid)]) -> Vec<(&str, &[u8])> {
    // What the gateway writes unasked may differ.
    let is_still =
        |name: &str| !["row_mark", "row_removal", "channel_state"].iter().any(|table| name.starts_with(table));
    all.iter().filter(|(name, ..)| is_still(name)).map(|(name, text, _)| (name.as_str(), text.as_slice())).collect()
}

/// The same in the same places.
fn same(now: &[(String, Vec<u8>, Uuid)], before: &[(String, Vec<u8>, Uuid)]) {
    let (now, before): (HashSet<_>, HashSet<_>) =
        (words(now).into_iter().collect(), words(before).into_iter().collect());
    let differ: Vec<&str> = now.symmetric_difference(&before).map(|(name, _)| *name).collect();
    assert!(differ.is_empty(), "{differ:?}");
}

/// Of what is sealed in the other suite now.
async fn nothing_flipped_opens(reader: &mut Reader) {
    let mut columns = HashSet::new();
    for one in ALL.iter().filter(|one| one.reseal != When::Never) {
        for lying in reader.column((one.table, one.column, one.row, one.contact), false).await {
            if Sealed::from_stored(lying.sealed.clone()).suite() != Some(Suite::ChaCha20Poly1305) {
                continue;
            }
            assert!(reader.opens(&lying.context, &lying.sealed).await);
            reader.refuses_every_flip(&lying).await;
            columns.insert((one.table, one.column));
        }
    }
    assert!(columns.len() > 15, "{columns:?}");
}

/// The gateway's clock stands still for those who look at the end of a rotation.
async fn end(scene: &Scene, days: i64) -> Resealed {
    let config = Config::load(None, scene.estate.environment.iter().cloned()).unwrap();
    let clock = Arc::new(ManualClock::new(SystemClock.now() + Duration::days(days)));
    let base = Box::pin(Base::open(&config, clock)).await.unwrap();
    let reseal = Reseal::new(base.store.clone(), base.keyring.clone(), base.audit.clone(), base.clock.clone());
    reseal.end_when_due(TenantId::DEFAULT).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sealed_column_is_sealed_anew_and_opens_when_the_keys_of_before_are_gone() {
    let scene = Scene::set().await;
    let mut reader = Reader::of(&scene).await;
    for one in ALL.iter().filter(|one| one.reseal != When::Never) {
        reader.fill((one.table, one.column, one.row, one.contact)).await;
    }
    let (old, before) = (deks(&scene).await, contents(&mut reader).await);
    assert!(before.iter().all(|(.., id)| old.contains(id)));
    let suite = ("WAXSEAL_KEYS__SUITE".to_owned(), Suite::ChaCha20Poly1305.as_str().to_owned());
    let environment = [scene.estate.environment.as_slice(), &[suite]].concat();
    let done = waxseal(&["keys", "rotate", "data"], &environment).output().await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    nothing_flipped_opens(&mut reader).await;
    let after = contents(&mut reader).await;
    same(&after, &before);
    let late = |name: &str| name.starts_with("row_mark") || name.starts_with("row_removal");
    for (name, _, id) in after.iter().filter(|(name, ..)| !late(name)) {
        assert!(!old.contains(id), "{name} lies under a key of before");
    }
    // Not before everybody has let go of the keys of before, and marks of rows last of all.
    assert!(matches!(end(&scene, 1).await, Resealed::GoOn(_)));
    assert!(matches!(end(&scene, 3).await, Resealed::Rests(_)), "marks were sealed anew");
    assert!(contents(&mut reader).await.iter().all(|(.., id)| !old.contains(id)));
    assert!(matches!(end(&scene, 4).await, Resealed::GoOn(_)));
    assert!(database::count(&scene.estate.database, BEFORE).await > 3);
    // The archive of an export lies under the key of a profile.
    assert!(matches!(end(&scene, 6).await, Resealed::Rests(_)), "an archive lies under a key of before");
    database::sabotage(&scene.estate.database, "UPDATE export SET state = 'removed', dek_id = NULL").await;
    let ended = end(&scene, 9).await;
    assert!(matches!(ended, Resealed::Over(3.., 0)), "{ended:?}");
    assert_eq!(database::count(&scene.estate.database, BEFORE).await, 0);
    assert!(deks(&scene).await.is_disjoint(&old));
    let mut reader = Reader::of(&scene).await;
    same(&contents(&mut reader).await, &before);
    // The epoch is stepped for them, like for everything that is forgotten.
    let touched = "SELECT count(*) FROM waxseal_keys.touched_bucket";
    let step = waxseal(&["keys", "step"], &scene.estate.environment).output().await.unwrap();
    assert!(step.status.success() && database::count(&scene.estate.database, touched).await == 0);
    let mut reader = Reader::of(&scene).await;
    // An erasure that waited for the step has its certificate now, and its reference is gone.
    let others = |all: Vec<(String, Vec<u8>, Uuid)>| -> Vec<_> {
        all.into_iter().filter(|(name, ..)| !name.starts_with("erasure.")).collect()
    };
    same(&others(contents(&mut reader).await), &others(before));
}
