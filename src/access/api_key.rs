//! API keys as text: `waxseal_live_{12 lookup}_{32 secret}{6 checksum}`, all base62. The lookup part finds the record and is
//! no secret. The secret holds 190 bits, so that its SHA-256 may be stored without salt or stretching. The checksum (CRC-32
//! over all before it) tells a typo or a truncated key from a stranger's, and lets scanners recognise a leaked key.

use std::net::IpAddr;

use ipnet::IpNet;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::{Permissions, Role, Sight};
use crate::crypto::random;
use crate::directory::ApiKey;
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
    pub record: ApiKey,
}

/// The longest life of a key, and its life when nothing is said. A key that nobody replaces is one that nobody knows any more.
pub const LONGEST_LIFE: Duration = Duration::days(365);

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Powers {
    /// What the matrix gives this role, also in a later release.
    Role(Role),
    /// These and no other.
    Scopes(Permissions),
}

impl Powers {
    /// As permissions.
    #[must_use]
    pub fn permissions(self) -> Permissions {
        match self {
            Self::Role(role) => role.permissions(),
            Self::Scopes(permissions) => permissions,
        }
    }

    /// The most that a key with these may see.
    #[must_use]
    pub const fn sight(self) -> Sight {
        match self {
            Self::Role(role) => role.sight(),
            Self::Scopes(_) => Sight::FULL,
        }
    }

    /// Those of a stored key. A role of a later release may do nothing here.
    #[must_use]
    pub fn of(record: &ApiKey) -> Self {
        match record.role.as_deref() {
            Some(role) => Role::parse(role).map_or(Self::Scopes(Permissions::default()), Self::Role),
            None => Self::Scopes(Permissions::of_scopes(record.scopes.iter().map(String::as_str))),
        }
    }
}

/// What a new key is for.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Owner.
    pub tenant: TenantId,
    /// Free text.
    pub name: String,
    /// What it may do.
    pub powers: Powers,
    /// What it sees. More than its powers allow is not given.
    pub sight: Sight,
    /// Where; empty: everywhere.
    pub channels: Vec<ChannelId>,
    /// Networks it may be used from; empty: all.
    pub cidrs: Vec<IpNet>,
    /// How many contacts it may be shown in an hour; `None`: no limit.
    pub budget: Option<u32>,
    /// Until when; at most, and when absent, for [`LONGEST_LIFE`].
    pub expires_at: Option<OffsetDateTime>,
    /// The key in whose place it is.
    pub rotated_from: Option<ApiKeyId>,
}

impl Grant {
    /// A key that is confined to nothing and sees as much as its powers allow, with names and numbers masked.
    #[must_use]
    pub const fn new(tenant: TenantId, name: String, powers: Powers) -> Self {
        let sight = Sight { class: powers.sight().class, unmasked: false };
        Self {
            tenant,
            name,
            powers,
            sight,
            channels: Vec::new(),
            cidrs: Vec::new(),
            budget: None,
            expires_at: None,
            rotated_from: None,
        }
    }

    /// The same as another key, in whose place it is, and for as long as that was made for.
    #[must_use]
    pub fn instead_of(record: &ApiKey, now: OffsetDateTime) -> Self {
        Self {
            sight: sight(record),
            channels: record.channels.clone(),
            cidrs: record.cidrs.clone(),
            budget: record.budget,
            expires_at: Some(now + (record.expires_at - record.created_at)),
            rotated_from: Some(record.id),
            ..Self::new(record.tenant, record.name.clone(), Powers::of(record))
        }
    }
}

/// What a stored key sees: what was given, as far as its powers still allow.
#[must_use]
pub fn sight(record: &ApiKey) -> Sight {
    within(Powers::of(record), Sight { class: record.field_class, unmasked: record.unmasked })
}

fn within(powers: Powers, wanted: Sight) -> Sight {
    let most = powers.sight();
    Sight { class: wanted.class.min(most.class), unmasked: wanted.unmasked && most.unmasked }
}

/// Makes a key.
#[must_use]
pub fn generate(grant: Grant, now: OffsetDateTime) -> NewKey {
    let (role, scopes) = match grant.powers {
        Powers::Role(role) => (Some(role.as_str().to_owned()), Vec::new()),
        Powers::Scopes(permissions) => (None, permissions.scopes()),
    };
    let sight = within(grant.powers, grant.sight);
    let (lookup, secret) = (base62::<LOOKUP>(), base62::<SECRET>());
    let body = Zeroizing::new(format!("{PREFIX}{}_{}", lookup.as_str(), secret.as_str()));
    let text = format!("{}{}", body.as_str(), checksum(&body));
    let record = ApiKey {
        tenant: grant.tenant,
        id: ApiKeyId::new(now),
        lookup: lookup.to_string(),
        name: grant.name,
        hash: Sha256::digest(text.as_bytes()).into(),
        role,
        scopes,
        field_class: sight.class,
        unmasked: sight.unmasked,
        channels: grant.channels,
        cidrs: grant.cidrs,
        budget: grant.budget,
        created_at: now,
        expires_at: grant.expires_at.unwrap_or(now + LONGEST_LIFE).min(now + LONGEST_LIFE),
        revoked_at: None,
        locked_at: None,
        rotated_from: grant.rotated_from,
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

    /// Whether this is the key of that record. The comparison takes the same time for every secret.
    #[must_use]
    pub fn is_of(&self, record: &ApiKey) -> bool {
        let hash: [u8; 32] = Sha256::digest(self.text.as_bytes()).into();
        hash.ct_eq(&record.hash).into()
    }

    /// Whether this is the key of that record, and valid at `now`.
    #[must_use]
    pub fn opens(&self, record: &ApiKey, now: OffsetDateTime) -> bool {
        self.is_of(record) && is_in_force(record, now)
    }
}

/// A network from what people write: `10.0.0.0/8`, or one address. Bits behind the prefix are dropped.
#[must_use]
pub fn network(text: &str) -> Option<IpNet> {
    let one = || text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()));
    text.parse::<IpNet>().ok().map(|network| network.trunc()).or_else(one)
}

/// Whether a key was neither taken back nor has run out. A locked one is in force, and does nothing.
#[must_use]
pub fn is_in_force(record: &ApiKey, now: OffsetDateTime) -> bool {
    record.revoked_at.is_none() && now < record.expires_at
}

/// Whether a key may be used from this address. An address that is not known is in no network.
pub(super) fn is_from_home(record: &ApiKey, from: Option<IpAddr>) -> bool {
    let at_home = |from: IpAddr| record.cidrs.iter().any(|network| network.contains(&from.to_canonical()));
    record.cidrs.is_empty() || from.is_some_and(at_home)
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
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    fn new_key(expires_at: Option<OffsetDateTime>) -> (NewKey, ApiKey) {
        let powers = Powers::Scopes([Permission::EventsRead].into_iter().collect());
        let new = generate(Grant { expires_at, ..Grant::new(TenantId::DEFAULT, "crm".into(), powers) }, NOW);
        let record = new.record.clone();
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
    fn a_key_lives_a_year_at_most_and_that_long_when_nothing_is_said() {
        assert_eq!(new_key(None).1.expires_at, NOW + LONGEST_LIFE);
        assert_eq!(new_key(Some(NOW + Duration::days(999))).1.expires_at, NOW + LONGEST_LIFE);
        let (_, short) = new_key(Some(NOW + Duration::HOUR));
        let later = NOW + Duration::DAY;
        assert_eq!(generate(Grant::instead_of(&short, later), later).record.expires_at, later + Duration::HOUR);
    }

    #[test]
    fn a_key_sees_no_more_than_its_role_whatever_is_written_beside_it() {
        let owner =
            Grant { sight: Sight::FULL, ..Grant::new(TenantId::DEFAULT, "o".into(), Powers::Role(Role::Owner)) };
        let mut record = generate(owner, NOW).record;
        assert_eq!(sight(&record), Role::Owner.sight());
        (record.field_class, record.unmasked) = (crate::access::FieldClass::Sensitive, true);
        assert_eq!(sight(&record), Role::Owner.sight());
        record.role = Some("emperor".into());
        assert_eq!(Powers::of(&record).permissions(), Permissions::default());
    }

    #[test]
    fn a_key_with_networks_is_used_from_them_alone() {
        let (_, mut record) = new_key(None);
        let from = |text: &str| Some(text.parse().unwrap());
        assert!(is_from_home(&record, None) && is_from_home(&record, from("203.0.113.7")));
        record.cidrs = ["10.0.0.0/8", "2001:db8::/32"].map(|text| text.parse().unwrap()).to_vec();
        for home in ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::7"] {
            assert!(is_from_home(&record, from(home)), "{home}");
        }
        assert!(!is_from_home(&record, None));
        for away in ["203.0.113.7", "::ffff:203.0.113.7", "2001:db9::7", "::1"] {
            assert!(!is_from_home(&record, from(away)), "{away}");
        }
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
