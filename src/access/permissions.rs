//! What an API key may do. Scopes are stored by name, so that a database outlives the order of this list.

use std::fmt;

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// One thing that a caller may be allowed. The names are part of the API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Permission { $($(#[$doc])* $name),+ }

        impl Permission {
            /// Every permission, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The stable name, which is the scope of a key.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// The permission of this stable name.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

permissions! {
    /// Read events with their content.
    EventsRead = "events:read",
    /// Read names and identifiers of contacts.
    ContactsRead = "contacts:read",
    /// Be shown a contact's name and number in clear, for a reason that is kept.
    ContactsReveal = "contacts:reveal",
    /// Put right what a contact is called.
    ContactsWrite = "contacts:write",
    /// Record what a contact allowed or forbade: whoever may can have marketing sent to those who do not want it.
    ConsentManage = "consent:manage",
    /// Read messages, both ways, with their content and state.
    MessagesRead = "messages:read",
    /// Hand messages over for Meta.
    MessagesSend = "messages:send",
    /// Look files up and download them, here and at Meta.
    MediaRead = "media:read",
    /// Upload files to Meta and delete them there.
    MediaWrite = "media:write",
    /// See templates and flows as Meta has them.
    TemplatesRead = "templates:read",
    /// Create, change and delete templates and flows.
    TemplatesWrite = "templates:write",
    /// Have Meta let nothing through that these people write, and undo it.
    ContactsBlock = "contacts:block",
    /// See numbers and accounts as Meta has them: state, profile, settings, figures.
    NumbersRead = "numbers:read",
    /// Change how a number presents itself: profile, QR codes, commands, catalogue.
    NumbersWrite = "numbers:write",
    /// Register numbers, set their PIN and settings, say where Meta sends webhooks: whoever may can cut everything off.
    NumbersManage = "numbers:manage",
    /// Make those calls of the Graph API that `graph.allow` lists.
    GraphAny = "graph:any",
    /// See which endpoints there are. Their secrets are never shown again.
    EndpointsRead = "endpoints:read",
    /// Add, change and remove endpoints: whoever may can have every event sent to a place of their choice.
    EndpointsManage = "endpoints:manage",
    /// See what became of deliveries: attempts, dead letters, replays. Shows no content.
    DeliveriesRead = "deliveries:read",
    /// Have events delivered again to the endpoints that there are, give up dead ones, test endpoints.
    DeliveriesManage = "deliveries:manage",
    /// See which channels there are.
    ChannelsRead = "channels:read",
    /// Add, change and remove channels and their access tokens.
    ChannelsManage = "channels:manage",
    /// See which Meta apps are known.
    AppsRead = "apps:read",
    /// Add, change and remove Meta apps and their secrets: whoever may can forge webhooks.
    AppsManage = "apps:manage",
    /// Read the audit log: who read or changed what, and the proofs.
    AuditRead = "audit:read",
    /// Make contacts decoys, which nobody has a reason to look at. Whoever may can switch the alarm off.
    DecoysManage = "decoys:manage",
    /// See what is being erased, what was, and what is held. Certificates name nobody.
    PrivacyRead = "privacy:read",
    /// Have people forgotten, for good.
    PrivacyErase = "privacy:erase",
    /// Have data kept that would be removed, and put such a hold in force that another key asked for; have data not used.
    PrivacyHold = "privacy:hold",
    /// Have everything that is known of a person written into an archive for them, for a key of one's choice: whoever may can read all of it.
    PrivacyExport = "privacy:export",
    /// See which archives there are, and fetch them as they are: encrypted.
    ExportsRead = "exports:read",
    /// Read data that are held or restricted, and why.
    HeldRead = "held:read",
    /// Replace keys of the key tree and step the key epoch.
    KeyTreeManage = "key_tree:manage",
    /// See which API keys there are. Their secrets are never shown again.
    KeysRead = "keys:read",
    /// Make and take back API keys, within the maker's own permissions.
    KeysManage = "keys:manage",
}

/// The preset of all permissions, as it is written where scopes are asked for.
pub const ADMIN: &str = "admin";

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Permission {
    const fn bit(self) -> u64 {
        1 << self as u16
    }
}

/// A set of permissions.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Permissions(u64);

impl Permissions {
    /// Every permission.
    #[must_use]
    pub fn admin() -> Self {
        Permission::ALL.iter().copied().collect()
    }

    /// The set behind stored scopes. Names of a later release grant nothing here.
    pub fn of_scopes<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Self {
        scopes.into_iter().filter_map(Permission::parse).collect()
    }

    /// The names to store, in the order of the documentation.
    #[must_use]
    pub fn scopes(self) -> Vec<String> {
        self.iter().map(|permission| permission.as_str().to_owned()).collect()
    }

    /// The members, in the order of the documentation.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.iter().copied().filter(move |permission| self.contains(*permission))
    }

    /// Whether this one is granted.
    #[must_use]
    pub const fn contains(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    /// The first permission of `other` that this set lacks.
    #[must_use]
    pub fn lacks(self, other: Self) -> Option<Permission> {
        other.iter().find(|permission| !self.contains(*permission))
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().fold(0, |set, permission| set | permission.bit()))
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Permission::as_str)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permission_is_found_by_its_name_and_is_in_the_admin_preset() {
        for &permission in Permission::ALL {
            assert_eq!(Permission::parse(permission.as_str()), Some(permission));
            assert!(Permissions::admin().contains(permission));
        }
        assert_eq!(Permissions::admin().iter().count(), Permission::ALL.len());
    }

    #[test]
    fn a_set_survives_its_scopes_and_unknown_scopes_grant_nothing() {
        let set: Permissions = [Permission::KeysManage, Permission::EventsRead].into_iter().collect();
        assert_eq!(set.scopes(), ["events:read", "keys:manage"]);
        let scopes = ["keys:manage", "world:rule", "admin", "events:read"];
        assert_eq!(Permissions::of_scopes(scopes), set);
        assert_eq!(Permissions::of_scopes([]), Permissions::default());
    }

    #[test]
    fn a_set_tells_what_it_lacks() {
        let set: Permissions = [Permission::EventsRead].into_iter().collect();
        assert_eq!(Permissions::admin().lacks(set), None);
        assert_eq!(set.lacks(Permissions::admin()), Some(Permission::ContactsRead));
    }
}
