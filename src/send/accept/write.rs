//! Writes parcels: keys claimed, people found or made, seals, one statement for messages and entries of the audit log, COMMIT. A parcel
//! that is refused stands alone in the end, so that it never holds back its neighbours.

use std::future::Future;
use std::pin::Pin;

use time::OffsetDateTime;

use super::{Answer, Parcel, Ready, Stored};
use crate::clock::SharedClock;
use crate::crypto::envelope;
use crate::directory::contacts::Hashed;
use crate::directory::{Contacts, Resolved};
use crate::ids::{ContactId, TenantId};
use crate::keyring::{DekName, Keyring, KeyringError, places};
use crate::send::queue::QueueError;
use crate::store::accepting::{self, Accepted, NewMessage};
use crate::store::audit_entries::{self, NewAuditEntry};
use crate::store::idempotency::{self, Claim, Claimed};
use crate::store::{Connection, Store, StoreError};

/// Everything that writing needs.
pub(super) struct Writer {
    pub(super) store: Store,
    pub(super) keyring: Keyring,
    pub(super) contacts: Contacts,
    pub(super) clock: SharedClock,
}

type Written<'a> = Pin<Box<dyn Future<Output = Vec<Answer>> + Send + 'a>>;

/// Whether it is one of the parcels that is at fault, and not the database.
fn blames_a_parcel(error: &QueueError) -> bool {
    match error {
        QueueError::UnknownChannel => true,
        QueueError::Store(error) => !error.is_retryable(),
        QueueError::Keys(error) => !error.is_retryable(),
        QueueError::Faulty(_)
        | QueueError::NoToken
        | QueueError::WindowClosed
        | QueueError::OptedOut
        | QueueError::Restricted
        | QueueError::KeyReused
        | QueueError::InProgress => false,
    }
}

/// Whether the same may succeed at once. What was committed all the same stays as it is.
const fn is_broken_off(error: &QueueError) -> bool {
    matches!(error, QueueError::Store(error) | QueueError::Keys(KeyringError::Store(error)) if error.is_broken_off())
}

impl Writer {
    /// Writes parcels of one tenant, and says what became of each.
    pub(super) async fn write(&self, parcels: &[Parcel]) -> Vec<Answer> {
        self.write_or_split(&parcels.iter().collect::<Vec<_>>()).await
    }

    /// Halves a batch until the refused parcel is alone. Boxed, because it calls itself.
    fn write_or_split<'a>(&'a self, parcels: &'a [&'a Parcel]) -> Written<'a> {
        Box::pin(async move {
            match (self.write_again_if_broken_off(parcels).await, parcels) {
                (Ok(answers), _) => answers,
                (Err(error), [_]) => vec![Err(error)],
                (Err(error), _) if blames_a_parcel(&error) => {
                    let (first, second) = parcels.split_at(parcels.len() / 2);
                    let mut answers = self.write_or_split(first).await;
                    answers.extend(self.write_or_split(second).await);
                    answers
                }
                (Err(error), _) => {
                    tracing::warn!(error = %error, requests = parcels.len(), "messages were not stored, and are refused");
                    parcels.iter().map(|_| Err(QueueError::Store(StoreError::Unavailable))).collect()
                }
            }
        })
    }

    async fn write_again_if_broken_off(&self, parcels: &[&Parcel]) -> Result<Vec<Answer>, QueueError> {
        match self.write_once(parcels).await {
            Err(error) if is_broken_off(&error) => {
                self.store.drop_idle_connections();
                self.write_once(parcels).await
            }
            // Whoever was erased and is written to again is somebody new.
            Err(QueueError::Keys(KeyringError::Gone | KeyringError::Forgotten)) => {
                if let Some(tenant) = parcels.first().map(|first| first.tenant) {
                    let keys = self.keyring.tenant(tenant).await?;
                    let to = parcels.iter().flat_map(|parcel| &parcel.messages);
                    let people: Vec<Hashed<'_>> = to.map(|one| Contacts::hash(&keys, &one.recipient)).collect();
                    self.contacts.let_go(&self.store, tenant, &people).await?;
                }
                self.write_once(parcels).await
            }
            result => result,
        }
    }

    async fn write_once<'p>(&self, parcels: &[&'p Parcel]) -> Result<Vec<Answer>, QueueError> {
        let Some(tenant) = parcels.first().map(|first| first.tenant) else { return Ok(Vec::new()) };
        let now = self.clock.now();
        self.store.ensure_partitions(now.date()).await?;
        let keys = self.keyring.tenant(tenant).await?;
        let addressee = |message: &'p Ready| {
            let person = Contacts::hash(&keys, &message.recipient);
            Addressed { message, contact: self.contacts.remembered(tenant, &person), person: Some(person) }
        };
        let addressed = |parcel: &&'p Parcel| parcel.messages.iter().map(addressee).collect::<Vec<_>>();
        let addressed: Vec<Vec<Addressed<'p>>> = parcels.iter().map(addressed).collect();
        let everybody_is_known = addressed.iter().flatten().all(|one| one.contact.is_some());
        if everybody_is_known && parcels.iter().all(|parcel| parcel.claim.is_none()) {
            // The one statement is its own transaction, and saves three round trips.
            let mut connection = self.store.connection().await?;
            let messages = addressed.into_iter().flatten().collect();
            let (contacts, _) =
                self.store_messages(&mut connection, tenant, (messages, &entries_of(parcels)), now).await?;
            return Ok(handed_out(parcels, contacts));
        }
        self.write_with_claims(tenant, parcels, addressed, now).await
    }

    async fn write_with_claims(
        &self,
        tenant: TenantId,
        parcels: &[&Parcel],
        addressed: Vec<Vec<Addressed<'_>>>,
        now: OffsetDateTime,
    ) -> Result<Vec<Answer>, QueueError> {
        let mut transaction = self.store.begin().await?;
        let refused = claimed(&mut transaction, tenant, parcels, now).await?;
        let going = parcels.iter().zip(addressed).zip(&refused).filter(|(_, refused)| refused.is_none());
        let (going, messages): (Vec<&Parcel>, Vec<Vec<Addressed<'_>>>) =
            going.map(|((parcel, addressed), _)| (*parcel, addressed)).unzip();
        let messages = messages.into_iter().flatten().collect();
        // Of those that are refused, too.
        let entries = entries_of(parcels);
        let (contacts, resolved) = self.store_messages(&mut transaction, tenant, (messages, &entries), now).await?;
        Store::commit(transaction).await?;
        self.contacts.remember(tenant, &resolved);
        let mut stored = handed_out(&going, contacts).into_iter();
        let unavailable = || Err(QueueError::Store(StoreError::Unavailable));
        Ok(refused.into_iter().map(|one| one.or_else(|| stored.next()).unwrap_or_else(unavailable)).collect())
    }

    /// Seals and inserts. Whom the messages go to, in their order, and what is to be remembered once this is committed.
    async fn store_messages(
        &self,
        connection: &mut Connection,
        tenant: TenantId,
        (mut addressed, entries): (Vec<Addressed<'_>>, &[&NewAuditEntry]),
        now: OffsetDateTime,
    ) -> Result<(Vec<ContactId>, Resolved), QueueError> {
        if addressed.is_empty() {
            audit_entries::insert(connection, entries).await?;
            return Ok((Vec::new(), Resolved::default()));
        }
        let unknown = addressed.iter_mut().filter(|one| one.contact.is_none());
        let (people, slots): (Vec<Hashed<'_>>, Vec<&mut Option<ContactId>>) =
            unknown.filter_map(|one| Some((one.person.take()?, &mut one.contact))).unzip();
        let mut resolved = Resolved::default();
        if !people.is_empty() {
            resolved = self.contacts.resolve(connection, tenant, &people).await?;
        }
        for (slot, contact) in slots.into_iter().zip(&resolved.contacts) {
            *slot = Some(*contact);
        }
        let messages: Vec<(&Ready, ContactId)> =
            addressed.iter().filter_map(|one| Some((one.message, one.contact?))).collect();
        let sealed = self.seal(tenant, &messages).await?;
        match accepting::insert(connection, tenant, (&sealed, entries), now).await? {
            Accepted::All => {}
            Accepted::NoChannel => return Err(QueueError::UnknownChannel),
            Accepted::Erased => return Err(QueueError::Keys(KeyringError::Gone)),
        }
        Ok((messages.into_iter().map(|(_, contact)| contact).collect(), resolved))
    }

    async fn seal(&self, tenant: TenantId, messages: &[(&Ready, ContactId)]) -> Result<Vec<NewMessage>, KeyringError> {
        // What waits to be sent is kept from when it is.
        let name = |(one, contact): &(&Ready, ContactId)| {
            DekName::kept(tenant, Some(*contact), one.kept, one.message.day(), one.next_at.date())
        };
        let deks = self.keyring.for_sealing(tenant, messages.iter().map(name)).await?;
        let seal = |named: &(&Ready, ContactId)| {
            let dek = &deks.get(&name(named)).ok_or(KeyringError::Gone)?.dek;
            let (one, contact) = *named;
            let request = places::message_request(tenant, one.message, contact);
            let fallback = places::message_fallback(tenant, one.message, contact);
            Ok(NewMessage {
                message: one.message,
                channel: one.channel,
                contact,
                origin: one.origin,
                kind: one.kind,
                request: envelope::seal(dek, &request, one.body.as_bytes()),
                fallback: one.fallback.as_ref().map(|body| envelope::seal(dek, &fallback, body.as_bytes())),
                next_at: one.next_at,
                on_the_wire: one.on_the_wire,
                send_at: one.terms.send_at,
                expires_at: one.terms.expires_at,
                priority: one.terms.priority,
                on_doubt: one.terms.on_doubt,
                key: one.key,
            })
        };
        messages.iter().map(seal).collect()
    }
}

/// Claims the keys of parcels. In their order: what is refused, or had been stored before; `None`: it goes on.
async fn claimed(
    transaction: &mut Connection,
    tenant: TenantId,
    parcels: &[&Parcel],
    now: OffsetDateTime,
) -> Result<Vec<Option<Answer>>, StoreError> {
    let claims: Vec<&Claim> = parcels.iter().filter_map(|parcel| parcel.claim.as_ref()).collect();
    if claims.is_empty() {
        return Ok(parcels.iter().map(|_| None).collect());
    }
    let mut claimed = idempotency::claim(transaction, tenant, &claims, now).await?.into_iter();
    let verdict = |parcel: &&Parcel| match parcel.claim.as_ref().and_then(|_| claimed.next()) {
        None | Some(Claimed::New) => None,
        Some(Claimed::Same(first, answer)) => Some(Ok(Stored::Before(first, answer))),
        Some(Claimed::Other) => Some(Err(QueueError::KeyReused)),
        Some(Claimed::InProgress) => Some(Err(QueueError::InProgress)),
    };
    Ok(parcels.iter().map(verdict).collect())
}

fn entries_of<'p>(parcels: &[&'p Parcel]) -> Vec<&'p NewAuditEntry> {
    parcels.iter().filter_map(|parcel| parcel.entry.as_ref()).collect()
}

/// A message, and whom it goes to.
struct Addressed<'p> {
    message: &'p Ready,
    person: Option<Hashed<'p>>,
    contact: Option<ContactId>,
}

/// Gives every parcel the contacts of its messages.
fn handed_out(parcels: &[&Parcel], contacts: Vec<ContactId>) -> Vec<Answer> {
    let mut contacts = contacts.into_iter();
    let of = |parcel: &&Parcel| Ok(Stored::Now(contacts.by_ref().take(parcel.messages.len()).collect()));
    parcels.iter().map(of).collect()
}
