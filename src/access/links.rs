//! Links to files and archives: whoever has one reads the file for a while without a key. A link is bound to its file, its end and the
//! key that made it, is good for what that key may do and no longer than it, and each use is an entry of that key.

use std::net::IpAddr;

use data_encoding::BASE64URL_NOPAD;
use subtle::ConstantTimeEq;
use time::OffsetDateTime;
use uuid::Uuid;

use super::door::{Door, DoorError};
use super::errand::Errand;
use super::{Caller, FieldClass, Permission, Permissions, api_key};
use crate::audit::{Action, Object};
use crate::crypto::keyed_hash::HashKey;
use crate::ids::{ApiKeyId, ContactId, ExportId, MediaId, TenantId};
use crate::keyring::KeyringError;

/// Three ids, a time and a seal.
const LENGTH: usize = 16 + 16 + 16 + 8 + 32;

/// What a link leads to. One is of no use for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leads {
    File,
    Archive,
}

impl Leads {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::File => b"media link",
            Self::Archive => b"export link",
        }
    }

    const fn permission(self) -> Permission {
        match self {
            Self::File => Permission::MediaRead,
            Self::Archive => Permission::ExportsRead,
        }
    }
}

/// What a link says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Link {
    tenant: TenantId,
    key: ApiKeyId,
    /// The file, or the export.
    target: Uuid,
    /// Unix seconds.
    ends: i64,
}

impl Link {
    fn seal(self, leads: Leads, key: &HashKey) -> [u8; 32] {
        let ends = self.ends.to_be_bytes();
        let (tenant, maker) = (self.tenant.uuid(), self.key.uuid());
        key.hash(&[leads.label(), tenant.as_bytes(), maker.as_bytes(), self.target.as_bytes(), &ends])
    }

    fn write(self, leads: Leads, key: &HashKey) -> String {
        let (tenant, maker, target) = (self.tenant.uuid(), self.key.uuid(), self.target);
        let parts: [&[u8]; 5] =
            [tenant.as_bytes(), maker.as_bytes(), target.as_bytes(), &self.ends.to_be_bytes(), &self.seal(leads, key)];
        BASE64URL_NOPAD.encode(&parts.concat())
    }

    fn read(text: &str) -> Option<(Self, [u8; 32])> {
        let bytes: [u8; LENGTH] = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?.try_into().ok()?;
        let id = |from: usize| Uuid::from_slice(bytes.get(from..from + 16)?).ok();
        let link = Self {
            tenant: TenantId::from_uuid(id(0)?),
            key: ApiKeyId::from_uuid(id(16)?),
            target: id(32)?,
            ends: i64::from_be_bytes(bytes.get(48..56)?.try_into().ok()?),
        };
        Some((link, bytes.get(56..)?.try_into().ok()?))
    }
}

impl Door {
    /// A link to a file, good until then. `None`: the caller sees no such file.
    pub async fn link_media(
        &self,
        who: &Caller,
        errand: &Errand,
        id: MediaId,
        until: OffsetDateTime,
    ) -> Result<Option<String>, DoorError> {
        self.admit(who, errand, Permission::MediaRead).await?;
        let known = match self.store.find_media(who.tenant, id).await? {
            Some(row) => Some((row.channel, row.contact)).filter(|(channel, _)| who.may_use_file(*channel)),
            None => {
                let bringer = self.store.find_bringer(who.tenant, id).await?;
                let bringer = bringer.filter(|bringer| bringer.channel.is_some_and(|channel| who.may_use(channel)));
                bringer.map(|bringer| (bringer.channel, bringer.contact))
            }
        };
        let Some((channel, contact)) = known else { return Ok(None) };
        let act = errand.act(who, Action::MediaLinked, Object::one("media", id.uuid())).in_channel(channel);
        let people = contact.map(ContactId::uuid).into_iter().collect();
        errand.keep(self.audit.record_about(act, people).await?);
        self.write_link(who, Leads::File, id.uuid(), until).await.map(Some)
    }

    /// A link to an archive, good until then. `None`: there is none.
    pub async fn link_archive(
        &self,
        who: &Caller,
        errand: &Errand,
        id: ExportId,
        until: OffsetDateTime,
    ) -> Result<Option<String>, DoorError> {
        self.admit(who, errand, Permission::ExportsRead).await?;
        let Some(row) = self.store.find_export(who.tenant, id).await? else { return Ok(None) };
        if self.withholds(who, &row.contact_ids) {
            return Err(DoorError::Held);
        }
        let act = errand.act(who, Action::ExportLinked, Object::one("export", id.uuid()));
        errand.keep(self.audit.record_about(act, row.contact_ids).await?);
        self.write_link(who, Leads::Archive, id.uuid(), until).await.map(Some)
    }

    async fn write_link(
        &self,
        who: &Caller,
        leads: Leads,
        target: Uuid,
        until: OffsetDateTime,
    ) -> Result<String, DoorError> {
        let keys = self.keyring.tenant(who.tenant).await?;
        let link = Link { tenant: who.tenant, key: who.key, target, ends: until.unix_timestamp() };
        Ok(link.write(leads, &keys.links))
    }

    /// Whom a link speaks for, and the file. `None`: it is over, was never given, was changed, its key has ended or is not used from
    /// here; which of them is not told.
    pub async fn follow_link(
        &self,
        text: &str,
        from: Option<IpAddr>,
    ) -> Result<Option<(Caller, MediaId)>, KeyringError> {
        let found = self.follow(text, Leads::File, from).await?;
        Ok(found.map(|(caller, target)| (caller, MediaId::from_uuid(target))))
    }

    /// The same of a link to an archive.
    pub async fn follow_archive_link(
        &self,
        text: &str,
        from: Option<IpAddr>,
    ) -> Result<Option<(Caller, ExportId)>, KeyringError> {
        let found = self.follow(text, Leads::Archive, from).await?;
        Ok(found.map(|(caller, target)| (caller, ExportId::from_uuid(target))))
    }

    async fn follow(
        &self,
        text: &str,
        leads: Leads,
        from: Option<IpAddr>,
    ) -> Result<Option<(Caller, Uuid)>, KeyringError> {
        let Some((link, seal)) = Link::read(text) else { return Ok(None) };
        let now = self.clock.now();
        let Some(caller) = self.maker(link, leads, from, now) else { return Ok(None) };
        let keys = self.keyring.tenant(link.tenant).await?;
        let is_ours = bool::from(link.seal(leads, &keys.links).ct_eq(&seal));
        Ok((is_ours && now.unix_timestamp() < link.ends).then_some((caller, link.target)))
    }

    /// The key that made a link, as it is now; or the operator, whose links end by themselves.
    fn maker(&self, link: Link, leads: Leads, from: Option<IpAddr>, now: OffsetDateTime) -> Option<Caller> {
        let reads: Permissions = std::iter::once(leads.permission()).collect();
        let operator = Caller::operator(link.tenant, reads);
        if link.key == operator.key {
            return (link.tenant == TenantId::DEFAULT).then_some(operator);
        }
        let snapshot = self.directory.snapshot();
        let record = snapshot.api_key_by_id(link.tenant, link.key)?;
        let caller = Caller { key: link.key, ..operator }.again(&snapshot, now)?;
        let may_read = caller.require(leads.permission()).is_ok();
        let sees_content = caller.require_class(FieldClass::Sensitive).is_ok();
        (may_read && sees_content && api_key::is_from_home(record, from)).then_some(caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keys::random_key;

    #[test]
    fn a_link_is_bound_to_all_that_it_says() {
        let key = HashKey::new(&random_key());
        let id = |number| Uuid::from_u128(number);
        let link = Link { tenant: TenantId::from_uuid(id(1)), key: ApiKeyId::from_uuid(id(2)), target: id(3), ends: 7 };
        let text = link.write(Leads::File, &key);
        assert_eq!(Link::read(&text), Some((link, link.seal(Leads::File, &key))));
        assert_ne!(link.seal(Leads::File, &key), link.seal(Leads::Archive, &key));
        for other in [
            Link { tenant: TenantId::from_uuid(id(9)), ..link },
            Link { key: ApiKeyId::from_uuid(id(9)), ..link },
            Link { target: id(9), ..link },
            Link { ends: 8, ..link },
        ] {
            assert_ne!(other.seal(Leads::File, &key), link.seal(Leads::File, &key));
        }
        assert_ne!(link.seal(Leads::File, &HashKey::new(&random_key())), link.seal(Leads::File, &key));
        for odd in ["", "x", text.get(1..).unwrap(), "ä", &format!("{text}AAAA")] {
            assert_eq!(Link::read(odd), None, "{odd}");
        }
    }
}
