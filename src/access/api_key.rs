//! API keys as text: `waxseal_live_{12 lookup}_{32 secret}{6 checksum}`, all base62. The lookup part finds the record and is
//! no secret. The secret holds 190 bits, so that its SHA-256 may be stored without salt or stretching. The checksum (CRC-32
//! over all before it) tells a typo or a truncated key from a stranger's, and lets scanners recognise a leaked key.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::Permissions;
use crate::crypto::random;
use crate::directory::{ApiKey, NewApiKey};
use crate::ids::{ApiKeyId, ChannelId, TenantId};
use crate::secret::ApiKeySecret;

const PREFIX: &str = "waxseal_live_";
const LOOKUP: usize = 12;
const SECRET: usize = 32;
/// 62⁶ > 2³².
const CHECKSUM: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A key that was just made.
#[derive(Debug)]
pub struct NewKey {
    /// The key itself, for its owner. It is nowhere else and cannot be shown again.
    pub shown: ApiKeySecret,
    /// What is stored of it.
    pub record: NewApiKey,
}

/// What a new key is for.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Owner.
    pub tenant: TenantId,
    /// Free text.
    pub name: String,
    /// What it may do.
    pub permissions: Permissions,
    /// Where; empty: everywhere.
    pub channels: Vec<ChannelId>,
    /// Until when.
    pub expires_at: Option<OffsetDateTime>,
}

/// Makes a key.
#[must_use]
pub fn generate(grant: Grant, now: OffsetDateTime) -> NewKey {
    let (lookup, secret) = (base62::<LOOKUP>(), base62::<SECRET>());
    let body = Zeroizing::new(format!("{PREFIX}{}_{}", lookup.as_str(), secret.as_str()));
    let text = format!("{}{}", body.as_str(), checksum(&body));
    let record = NewApiKey {
        tenant: grant.tenant,
        id: ApiKeyId::new(now),
        lookup: lookup.to_string(),
        name: grant.name,
        hash: Sha256::digest(text.as_bytes()).into(),
        scopes: grant.permissions.scopes(),
        channels: grant.channels,
        expires_at: grant.expires_at,
    };
    NewKey { shown: ApiKeySecret::new(text), record }
}

/// How the key with this public part begins: enough to tell which key it is, and no more.
#[must_use]
pub fn prefix(lookup: &str) -> String {
    format!("{PREFIX}{lookup}_")
}

/// A text that has the form of a key and the right checksum. Whether it is one, its record knows.
pub struct Presented<'t> {
    text: &'t str,
    lookup: &'t str,
}

impl<'t> Presented<'t> {
    /// `None` for everything that was never a key of ours, without a look at any record.
    #[must_use]
    pub fn parse(text: &'t str) -> Option<Self> {
        let (lookup, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let is_base62 = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let long_enough = lookup.len() == LOOKUP && secret.len() == SECRET + CHECKSUM;
        if !long_enough || !is_base62(lookup) || !is_base62(secret) {
            return None;
        }
        let (body, sum) = text.split_at_checked(text.len() - CHECKSUM)?;
        (checksum(body) == sum).then_some(Self { text, lookup })
    }

    /// The part that finds the record.
    #[must_use]
    pub const fn lookup(&self) -> &'t str {
        self.lookup
    }

    /// Whether this is the key of that record, and valid at `now`. The comparison takes the same time for every secret.
    #[must_use]
    pub fn opens(&self, record: &ApiKey, now: OffsetDateTime) -> bool {
        let hash: [u8; 32] = Sha256::digest(self.text.as_bytes()).into();
        let is_it: bool = hash.ct_eq(&record.hash).into();
        is_it && is_in_force(record, now)
    }
}

/// Whether a key was neither taken back nor has run out.
pub(super) fn is_in_force(record: &ApiKey, now: OffsetDateTime) -> bool {
    record.revoked_at.is_none() && record.expires_at.is_none_or(|end| now < end)
}

impl std::fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Presented(…)")
    }
}

/// Random letters and digits, each as likely as the other: bytes beyond the last multiple of 62 are thrown away.
fn base62<const N: usize>() -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(N));
    while text.len() < N {
        let bytes = Zeroizing::new(random::bytes::<64>());
        let fair = bytes.iter().filter(|byte| **byte < 248).filter_map(|byte| BASE62.get(usize::from(*byte % 62)));
        let room = N - text.len();
        text.extend(fair.take(room).map(|letter| char::from(*letter)));
    }
    text
}

fn checksum(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62.get((rest % 62) as usize).copied().unwrap_or(b'0');
        rest /= 62;
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Permission;
    use time::Duration;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    fn new_key(expires_at: Option<OffsetDateTime>) -> (NewKey, ApiKey) {
        let permissions = [Permission::EventsRead].into_iter().collect();
        let grant =
            Grant { tenant: TenantId::DEFAULT, name: "crm".into(), permissions, channels: Vec::new(), expires_at };
        let new = generate(grant, NOW);
        let record = ApiKey {
            tenant: new.record.tenant,
            id: new.record.id,
            name: new.record.name.clone(),
            lookup: new.record.lookup.clone(),
            hash: new.record.hash,
            scopes: new.record.scopes.clone(),
            channels: Vec::new(),
            created_at: NOW,
            expires_at,
            revoked_at: None,
        };
        (new, record)
    }

    #[test]
    fn a_new_key_has_the_documented_form_and_opens_its_own_record_alone() {
        let ((new, record), (_, other)) = (new_key(None), new_key(None));
        let text = new.shown.expose();
        assert_eq!(text.len(), "waxseal_live_".len() + 12 + 1 + 32 + 6);
        let presented = Presented::parse(text).unwrap();
        assert_eq!(presented.lookup(), new.record.lookup);
        assert!(presented.opens(&record, NOW));
        assert!(!presented.opens(&other, NOW));
        assert!(!format!("{new:?}{presented:?}").contains(text));
    }

    #[test]
    fn a_checksum_is_that_of_the_published_form() {
        // The check value of CRC-32 (IEEE), 0xCBF43926, has the base62 digits 3, 45, 35, 27, 22, 14.
        assert_eq!(checksum("123456789"), "3jZRME");
    }

    #[test]
    fn every_typo_and_every_truncation_is_seen_without_a_look_up() {
        let (new, _) = new_key(None);
        let text = new.shown.expose();
        for at in 0..text.len() {
            assert!(Presented::parse(&text[..at]).is_none());
            for wrong in ["x", "7", "_", "ß"] {
                let typo = format!("{}{wrong}{}", &text[..at], &text[at + 1..]);
                assert!(typo == text || Presented::parse(&typo).is_none(), "at {at}");
            }
        }
        assert!(Presented::parse(&format!("{text} ")).is_none() && Presented::parse("").is_none());
    }

    #[test]
    fn a_key_ends_when_it_expires_or_is_revoked() {
        let (new, mut record) = new_key(Some(NOW + Duration::HOUR));
        let presented = Presented::parse(new.shown.expose()).unwrap();
        assert!(presented.opens(&record, NOW + Duration::minutes(59)));
        assert!(!presented.opens(&record, NOW + Duration::HOUR));
        record.revoked_at = Some(NOW);
        assert!(!presented.opens(&record, NOW));
    }

    #[test]
    fn letters_are_equally_likely() {
        let mut seen = std::collections::HashMap::<char, u32>::new();
        for _ in 0..2000 {
            base62::<32>().chars().for_each(|letter| *seen.entry(letter).or_default() += 1);
        }
        // 64 000 letters, 1032 expected of each, standard deviation 32: eight of them either way.
        assert_eq!(seen.len(), 62);
        assert!(seen.values().all(|count| (776..=1288).contains(count)));
    }
}
