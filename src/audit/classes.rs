//! Which data an act shows to somebody or hands out: what has to be told of a breach (GDPR Art. 33(3)(a)).

use super::act::Action;
use DataClass::{Audit, Backup, Cases, Consent, Content, Export, Media, Profile};

/// A class of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DataClass {
    /// What was said, both ways, with its moments.
    Content,
    /// Names and identifiers of people.
    Profile,
    /// Files.
    Media,
    /// What people agreed to or refused.
    Consent,
    /// Whole archives of what is known of a person.
    Export,
    /// Requests, erasures, holds and restrictions, with their reasons.
    Cases,
    /// The audit log itself.
    Audit,
    /// Everything, sealed for the recipients of backups.
    Backup,
}

impl DataClass {
    /// Every class, in the order of the documentation.
    pub const ALL: [Self; 8] = [Content, Profile, Media, Consent, Export, Cases, Audit, Backup];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Content => "content",
            Profile => "profile",
            Media => "media",
            Consent => "consent",
            Export => "export",
            Cases => "cases",
            Audit => "audit",
            Backup => "backup",
        }
    }

    /// What an act by this name shows or hands out. `None`: nothing, or it is of another release.
    #[must_use]
    pub fn of(action: &str) -> Option<Self> {
        let action = Action::ALL.iter().find(|one| one.as_str() == action)?;
        Some(match action {
            Action::EventsRead
            | Action::MessagesRead
            | Action::EventsDelivered
            | Action::ReplayCreated
            | Action::DeadLettersRedriven => Content,
            Action::ContactsRead
            | Action::ContactRevealed
            | Action::ContactCorrected
            | Action::BlocksRead
            | Action::DecoyOpened => Profile,
            Action::MediaRead | Action::MediaLinked => Media,
            Action::ConsentRecorded | Action::ConsentProofRead => Consent,
            Action::ExportRequested | Action::ExportMade | Action::ExportRead | Action::ExportLinked => Export,
            Action::PrivacyRequestsRead
            | Action::ErasureRead
            | Action::ErasurePreviewed
            | Action::HoldsRead
            | Action::RestrictionsRead => Cases,
            Action::AuditRead => Audit,
            Action::BackupMade | Action::BackupFinished => Backup,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By their names: a new one that reads is a decision.
    #[test]
    fn every_act_that_reads_shows_some_class_of_data() {
        let reads = Action::ALL.iter().map(|action| action.as_str()).filter(|name| name.ends_with("read"));
        assert_eq!(reads.filter(|name| DataClass::of(name).is_none()).collect::<Vec<_>>(), [""; 0]);
    }
}
