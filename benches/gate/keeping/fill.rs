//! People with real keys, and messages that nobody wrote: random bytes of the size of sealed content, as `history` has them.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;
use waxseal::app::Base;
use waxseal::clock::{Clock, SystemClock};
use waxseal::ids::{ContactId, TenantId};
use waxseal::keyring::{DekName, Keyring};

use super::Amounts;
use crate::bench::{Bench, Site};
use crate::database::{DAYS, today};
use crate::history::{self, People};
use crate::progress;
use crate::server::execute;

const TENANT: TenantId = TenantId::DEFAULT;
/// Keys are made for so many contacts at a time.
const AT_ONCE: u64 = 2_000;
/// Contacts on one page that was read.
const PAGE: u64 = 50;

/// Makes all of it. The pool and the present day belong to the webhooks that are measured.
pub(super) async fn fill(bench: &Bench, site: &Site, base: &Base, amounts: Amounts) -> anyhow::Result<Duration> {
    let began = Instant::now();
    bench.introduce(&site.gateway).await?;
    progress::say("keys: ");
    make_keys(&base.keyring, amounts.contacts).await?;
    let mut connection = site.database.connect().await?;
    // The log of all this would be as long as what it is about.
    execute(&mut connection, "ALTER SYSTEM SET max_wal_size = '4GB'".to_owned()).await?;
    execute(&mut connection, "SELECT pg_reload_conf()".to_owned()).await?;
    progress::say("people: ");
    execute(&mut connection, people()).await?;
    let days = u64::try_from(DAYS - 1)?;
    let (every_day, people) = (amounts.messages / days, People::Stored(amounts.contacts));
    history::messages(&site.database, bench.business(), every_day, people).await?;
    progress::say("audit log: ");
    for back in 1..DAYS {
        execute(&mut connection, reads(today() - time::Duration::days(back), every_day / PAGE)).await?;
        progress::tick();
    }
    progress::say("vacuum, analyze, checkpoint: ");
    execute(&mut connection, "VACUUM (ANALYZE)".to_owned()).await?;
    execute(&mut connection, "CHECKPOINT".to_owned()).await?;
    Ok(began.elapsed())
}

/// For each contact a profile's key and those of two months.
async fn make_keys(keyring: &Keyring, contacts: u64) -> anyhow::Result<()> {
    let now: OffsetDateTime = SystemClock.now();
    let (this, last) = (now.date(), now.date().saturating_sub(time::Duration::days(DAYS)));
    let mut left = contacts;
    while left > 0 {
        let some: Vec<ContactId> = (0..left.min(AT_ONCE)).map(|_| ContactId::new(now)).collect();
        let all = |one: &ContactId| {
            let month = |day| DekName::month(TENANT, Some(*one), day);
            [DekName::profile(TENANT, *one), month(this), month(last)]
        };
        keyring.for_sealing(TENANT, some.iter().flat_map(all)).await?;
        left -= some.len() as u64;
        if left.is_multiple_of(AT_ONCE * 10) {
            progress::tick();
        }
    }
    Ok(())
}

/// A row for everybody who has a key, two identifiers that are nobody's, and a number for each, by which messages are given to them.
fn people() -> String {
    "INSERT INTO contact (tenant_id, contact_id, profile, profile_mac, created_at, updated_at)
         SELECT dek.tenant_id, dek.subject_id, one.profile, one.profile_mac, now(), now()
         FROM waxseal_keys.dek, (SELECT profile, profile_mac FROM contact LIMIT 1) AS one
         WHERE dek.scope = 1 ON CONFLICT DO NOTHING;
     INSERT INTO contact_identifier (tenant_id, kind, hash, contact_id)
         SELECT tenant_id, kind, decode(md5(kind || contact_id::text), 'hex'), contact_id
         FROM contact, generate_series(1, 2) AS kind;
     CREATE UNLOGGED TABLE bench_person (n integer PRIMARY KEY, contact_id uuid);
     INSERT INTO bench_person SELECT row_number() OVER (ORDER BY contact_id) - 1, contact_id FROM contact;
     ANALYZE bench_person"
        .to_owned()
}

/// Entries of one day: each says that a page of contacts was read, by one of a hundred keys.
fn reads(day: time::Date, entries: u64) -> String {
    let tenant = TENANT.uuid();
    format!(
        "WITH entry AS MATERIALIZED (
             SELECT n, (lpad(to_hex((extract(epoch FROM '{day} 00:00:00+00'::timestamptz) * 1000)::bigint + n), 12, '0') || '7'
                        || substr(md5('{day} read ' || n), 1, 3) || 'a' || substr(md5('{day} read ' || n), 4, 15))::uuid AS entry_id
             FROM generate_series(0, {entries} - 1) AS n
         ), stored AS (
             INSERT INTO audit_entry (tenant_id, part_day, entry_id, actor_id, action, entry, salt)
             SELECT '{tenant}', '{day}', entry_id, md5('actor ' || n % 100)::uuid, 'contact.read',
                    (SELECT string_agg(sha256((n || '/' || part)::bytea), '') FROM generate_series(1, 6) AS part),
                    sha256(n::text::bytea)
             FROM entry
         )
         INSERT INTO audit_subject (tenant_id, part_day, contact_id, entry_id)
         SELECT '{tenant}', '{day}', contact_id, entry_id
         FROM entry CROSS JOIN generate_series(0, {PAGE} - 1) AS place
         JOIN bench_person AS person
           ON person.n = (entry.n * {PAGE} + place + '{day}'::date - current_date + 100000) % (SELECT count(*) FROM bench_person)"
    )
}
