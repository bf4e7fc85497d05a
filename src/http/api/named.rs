//! Whom a request about a person means: by our own id, or by a name that Meta knows them by.

use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::body::{Faults, Field};
use super::fields::text;
use super::problem::{Code, Problem};
use crate::ids::{ContactId, PrivacyRequestId, TenantId};
use crate::privacy::{Named, Privacy};

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident: $read:path, $expected:literal),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(ToSchema)]
        #[schema(value_type = String, min_length = 1, max_length = 160)]
        pub(super) struct $name(Named);

        impl Field for $name {
            fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
                let text = zeroize::Zeroizing::new(text(json, at, faults, 1..=160)?);
                $read(&text).map(Self).or_else(|| faults.note(at, "format", $expected))
            }
        }
    )+};
}

names! {
    /// A phone number with its country code, however it is written.
    PhoneText: Named::phone, "a phone number with its country code",
    /// Meta's business-scoped user id.
    UserIdText: Named::user_id, "a business-scoped user id, such as DE.1234",
    /// Meta's public handle.
    UsernameText: Named::username, "a handle",
}

/// The one name that was given.
pub(super) fn only(
    contact_id: Option<ContactId>,
    phone: Option<PhoneText>,
    user_id: Option<UserIdText>,
    username: Option<UsernameText>,
    faults: &mut Faults,
) -> Option<Named> {
    let names = [
        contact_id.map(Named::Contact),
        phone.map(|text| text.0),
        user_id.map(|text| text.0),
        username.map(|text| text.0),
    ];
    let mut given = names.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(named), None) => Some(named),
        (None, _) => faults.note("/contact_id", "required", "contact_id, phone, user_id or username"),
        (Some(_), Some(_)) => faults.note("/contact_id", "exclusive", "one of contact_id, phone, user_id and username"),
    }
}

/// Whom something is done to for a request: who was named, or whoever asked for it.
pub(super) enum Whom {
    Named(Named),
    Asker(PrivacyRequestId),
}

type Names = (Option<ContactId>, Option<PhoneText>, Option<UserIdText>, Option<UsernameText>);

impl Whom {
    /// The one name that was given; or none, where a request says whom.
    pub(super) fn of(
        (contact_id, phone, user_id, username): Names,
        request: Option<PrivacyRequestId>,
        faults: &mut Faults,
    ) -> Option<Self> {
        let is_named = contact_id.is_some() || phone.is_some() || user_id.is_some() || username.is_some();
        match request {
            Some(request) if !is_named => Some(Self::Asker(request)),
            _ => only(contact_id, phone, user_id, username, faults).map(Self::Named),
        }
    }

    /// Who that is.
    pub(super) async fn named(self, privacy: &Privacy, tenant: TenantId) -> Result<Named, Problem> {
        match self {
            Self::Named(named) => Ok(named),
            Self::Asker(request) => Ok(privacy.asker(tenant, request).await?),
        }
    }
}

/// The same where nothing else of the request can be at fault.
pub(super) fn only_one(
    contact_id: Option<ContactId>,
    phone: Option<PhoneText>,
    user_id: Option<UserIdText>,
    username: Option<UsernameText>,
) -> Result<Named, Problem> {
    let mut faults = Faults::default();
    let named = only(contact_id, phone, user_id, username, &mut faults);
    faults.refuse()?;
    named.ok_or(Problem::new(Code::Internal))
}
