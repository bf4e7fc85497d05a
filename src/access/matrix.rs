//! The matrix: which role may do what, and how much it sees. The one place that says so; what is not here is denied.
//! `docs/access.md` shows it, and a test keeps the two alike.

use super::{FieldClass, Permission, Permissions, Sight};
use Role::{Admin, Agent, Auditor, Owner, PrivacyOfficer, Service};

/// What somebody is for. A key has a role, or permissions of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Answers for the installation: keys, settings, people's contacts. Sees no message.
    Owner,
    /// Runs the installation.
    Admin,
    /// Talks with contacts.
    Agent,
    /// Looks whether all is as it should be, and at nobody's data.
    Auditor,
    /// Answers for people's data.
    PrivacyOfficer,
    /// An application.
    Service,
}

impl Role {
    /// Every role, in the order of the documentation.
    pub const ALL: [Self; 6] = [Owner, Admin, Agent, Auditor, PrivacyOfficer, Service];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Owner => "owner",
            Admin => "admin",
            Agent => "agent",
            Auditor => "auditor",
            PrivacyOfficer => "privacy_officer",
            Service => "service",
        }
    }

    /// From the stable name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// What it may do.
    #[must_use]
    pub fn permissions(self) -> Permissions {
        Permission::ALL.iter().copied().filter(|permission| roles(*permission).contains(&self)).collect()
    }

    /// The most that a key of this role may see. Names and numbers are masked unless the key is made otherwise.
    #[must_use]
    pub const fn sight(self) -> Sight {
        let (class, unmasked) = match self {
            Owner => (FieldClass::Personal, false),
            Admin | Service => (FieldClass::Sensitive, true),
            Agent | PrivacyOfficer => (FieldClass::Sensitive, false),
            Auditor => (FieldClass::Internal, false),
        };
        Sight { class, unmasked }
    }
}

/// The roles that have a permission. A permission without a line does not compile.
const fn roles(permission: Permission) -> &'static [Role] {
    match permission {
        Permission::EventsRead => &[Owner, Admin, PrivacyOfficer, Service],
        Permission::ContactsRead | Permission::MessagesRead => &[Owner, Admin, Agent, PrivacyOfficer, Service],
        Permission::ContactsReveal => &[Admin, Agent, PrivacyOfficer],
        Permission::MessagesSend | Permission::MediaWrite | Permission::ContactsBlock => &[Admin, Agent, Service],
        Permission::MediaRead | Permission::ConsentManage | Permission::ContactsWrite => {
            &[Admin, Agent, PrivacyOfficer, Service]
        }
        Permission::EndpointsRead | Permission::DeliveriesRead => &[Owner, Admin, Auditor, PrivacyOfficer, Service],
        Permission::ChannelsRead | Permission::TemplatesRead | Permission::NumbersRead => {
            &[Owner, Admin, Agent, Auditor, PrivacyOfficer, Service]
        }
        Permission::EndpointsManage
        | Permission::DeliveriesManage
        | Permission::TemplatesWrite
        | Permission::NumbersWrite
        | Permission::GraphAny => &[Admin],
        Permission::AppsRead => &[Owner, Admin, Auditor],
        Permission::AuditRead | Permission::KeysRead => &[Owner, Admin, Auditor, PrivacyOfficer],
        Permission::DecoysManage | Permission::PrivacyErase | Permission::PrivacyHold => &[Owner, PrivacyOfficer],
        Permission::PrivacyRead => &[Owner, Auditor, PrivacyOfficer],
        Permission::PrivacyExport | Permission::ExportsRead | Permission::HeldRead => &[PrivacyOfficer],
        Permission::ChannelsManage
        | Permission::AppsManage
        | Permission::KeysManage
        | Permission::KeyTreeManage
        | Permission::NumbersManage => &[Owner, Admin],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table as it stands in the documentation.
    fn rendered() -> String {
        let heading = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
        let row = |first: &str, cell: &dyn Fn(Role) -> String| {
            let cells = Role::ALL.iter().map(|role| cell(*role)).collect::<Vec<_>>();
            format!("| {first} | {} |\n", cells.join(" | "))
        };
        let mut table = heading(std::iter::once("").chain(Role::ALL.iter().map(|role| role.as_str())).collect());
        table += &heading(vec!["---"; Role::ALL.len() + 1]).replace(' ', "");
        for permission in Permission::ALL {
            let may = |role: Role| if roles(*permission).contains(&role) { "yes" } else { "·" }.to_owned();
            table += &row(&format!("`{permission}`"), &may);
        }
        table += &row("sees at most", &|role| role.sight().class.as_str().to_owned());
        table
            + &row("names and numbers", &|role| {
                if role.sight().unmasked { "clear on demand" } else { "masked" }.to_owned()
            })
    }

    #[test]
    fn the_documentation_shows_the_matrix_as_it_is() {
        let table = rendered();
        assert!(include_str!("../../docs/access.md").contains(&table), "docs/access.md must have:\n{table}");
    }

    #[test]
    fn a_role_may_what_the_matrix_says_and_nothing_else() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
            for permission in Permission::ALL {
                assert_eq!(role.permissions().contains(*permission), roles(*permission).contains(&role));
            }
        }
        assert_eq!(Role::parse("root"), None);
    }

    #[test]
    fn whoever_sees_no_messages_cannot_have_them_sent_to_a_place_of_their_choice() {
        for role in Role::ALL.into_iter().filter(|role| !role.sight().has_content()) {
            for permission in [
                Permission::EndpointsManage,
                Permission::DeliveriesManage,
                Permission::ContactsReveal,
                Permission::MessagesSend,
                Permission::MediaRead,
                Permission::PrivacyExport,
                Permission::ExportsRead,
                Permission::GraphAny,
            ] {
                assert!(!role.permissions().contains(permission), "{} {permission}", role.as_str());
            }
        }
    }
}
