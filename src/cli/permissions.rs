//! What each verb of the command line needs: the same permissions as the routes that do the same. Whoever is at the command line has
//! the keys of the installation and therefore all of them; a verb without a line here does not compile.

use super::contact::ContactVerb;
use super::dead_letters::DeadLetterVerb;
use super::endpoint::EndpointVerb;
use super::hold::HoldVerb;
use super::key_tree::KeyTreeVerb;
use super::keys::KeyVerb;
use super::media::MediaVerb;
use super::replay::ReplayVerb;
use super::request::RequestVerb;
use super::send::MessageVerb;
use super::settings::{AppVerb, ChannelVerb};
use super::template::TemplateVerb;
use super::{DevArgs, Verb};
use crate::access::{Caller, Denied, Permission, Permissions};
use crate::ids::TenantId;

/// The permission that a verb needs. `None`: it touches nothing that is anybody's, or is the gateway itself.
const fn needed(verb: &Verb) -> Option<Permission> {
    Some(match verb {
        Verb::Verify(_)
        | Verb::Witness(_)
        | Verb::Serve
        | Verb::Dev(DevArgs { .. })
        | Verb::Simulate(_)
        | Verb::Migrate
        | Verb::CheckConfig
        | Verb::Health => {
            return None;
        }
        Verb::App(AppVerb::List) => Permission::AppsRead,
        Verb::App(AppVerb::Create { .. } | AppVerb::Rotate { .. } | AppVerb::Remove { .. }) => Permission::AppsManage,
        Verb::Channel(ChannelVerb::List | ChannelVerb::Status) => Permission::ChannelsRead,
        Verb::Template(TemplateVerb::List(_) | TemplateVerb::Show { .. }) => Permission::TemplatesRead,
        Verb::Template(TemplateVerb::Sync) => Permission::TemplatesWrite,
        Verb::Channel(
            ChannelVerb::Create { .. }
            | ChannelVerb::Set { .. }
            | ChannelVerb::SetToken { .. }
            | ChannelVerb::Pace { .. }
            | ChannelVerb::Remove { .. },
        ) => Permission::ChannelsManage,
        Verb::Channel(ChannelVerb::Pin { .. } | ChannelVerb::Register { .. }) => Permission::NumbersManage,
        // Whoever holds a backup and an identity holds all that there is.
        Verb::Keys(KeyTreeVerb::Step | KeyTreeVerb::Rotate { .. } | KeyTreeVerb::Rewrap { .. })
        | Verb::Backup(_)
        | Verb::Restore(_) => Permission::KeyTreeManage,
        Verb::Media(MediaVerb::List(_) | MediaVerb::Show { .. } | MediaVerb::Get(_) | MediaVerb::Link { .. }) => {
            Permission::MediaRead
        }
        Verb::Media(MediaVerb::Put(_) | MediaVerb::Delete { .. }) => Permission::MediaWrite,
        Verb::Key(KeyVerb::List) => Permission::KeysRead,
        Verb::Key(KeyVerb::Create(_) | KeyVerb::Rotate { .. } | KeyVerb::Unlock { .. } | KeyVerb::Revoke { .. }) => {
            Permission::KeysManage
        }
        Verb::Endpoint(EndpointVerb::List | EndpointVerb::Show { .. }) => Permission::EndpointsRead,
        Verb::Endpoint(
            EndpointVerb::Add(_)
            | EndpointVerb::Pause { .. }
            | EndpointVerb::Resume { .. }
            | EndpointVerb::Remove { .. }
            | EndpointVerb::RotateSecret { .. },
        ) => Permission::EndpointsManage,
        Verb::Replay(ReplayVerb::Status { .. }) | Verb::DeadLetters(DeadLetterVerb::List { .. }) => {
            Permission::DeliveriesRead
        }
        Verb::Endpoint(EndpointVerb::Test { .. })
        | Verb::Replay(ReplayVerb::Start(_) | ReplayVerb::Cancel { .. })
        | Verb::DeadLetters(DeadLetterVerb::Redrive { .. } | DeadLetterVerb::Purge { .. }) => {
            Permission::DeliveriesManage
        }
        Verb::Send(_) | Verb::Message(MessageVerb::Cancel { .. }) => Permission::MessagesSend,
        Verb::Message(MessageVerb::Show { .. } | MessageVerb::List(_)) => Permission::MessagesRead,
        Verb::Contact(ContactVerb::Decoy { .. }) => Permission::DecoysManage,
        Verb::Audit(_) | Verb::Breach(_) | Verb::Posture(_) | Verb::Keys(KeyTreeVerb::Status) => Permission::AuditRead,
        Verb::Erase(_)
        | Verb::Request(RequestVerb::Add(_) | RequestVerb::Extend { .. } | RequestVerb::Close { .. }) => {
            Permission::PrivacyErase
        }
        Verb::Erasures(_) | Verb::Retention | Verb::Record(_) | Verb::Request(RequestVerb::List) => {
            Permission::PrivacyRead
        }
        Verb::Export(_) => Permission::PrivacyExport,
        Verb::Exports(_) => Permission::ExportsRead,
        Verb::Hold(HoldVerb::List) => Permission::HeldRead,
        Verb::Hold(HoldVerb::Add { .. } | HoldVerb::Approve { .. } | HoldVerb::Release { .. }) => {
            Permission::PrivacyHold
        }
        Verb::Tail(_) => Permission::EventsRead,
    })
}

/// Lets the operator do it.
pub(super) fn admit(verb: &Verb) -> Result<(), Denied> {
    let operator = Caller::operator(TenantId::DEFAULT, Permissions::admin());
    needed(verb).map_or(Ok(()), |permission| operator.require(permission))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Write;

    use clap::{Command, CommandFactory, Parser};

    use super::*;
    use crate::cli::Cli;

    const ID: &str = "01900000-0000-7000-8000-000000000000";
    /// What a verb cannot do without, where it is more than its name.
    const NEEDED: &[(&str, &str)] = &[
        ("contact decoy", "ID"),
        ("simulate", "--app-secret x --access-token x --verify-token x"),
        ("app create", "--name x"),
        ("app rotate", "ID"),
        ("app remove", "ID"),
        ("channel create", "--name x --phone-number-id 1 --waba-id 1"),
        ("channel set-token", "ID"),
        ("channel pace", "ID"),
        ("channel pin", "ID"),
        ("channel register", "ID"),
        ("channel set", "ID --media proxy"),
        ("media show", "ID"),
        ("media get", "ID"),
        ("media put", "x"),
        ("media delete", "ID"),
        ("media link", "ID"),
        ("template show", "x"),
        ("channel remove", "ID"),
        ("key create", "--name x --role agent"),
        ("key rotate", "ID"),
        ("key unlock", "ID"),
        ("keys rotate", "root"),
        ("key revoke", "ID"),
        ("endpoint show", "ID"),
        ("endpoint add", "--name x --url https://example.com"),
        ("endpoint pause", "ID"),
        ("endpoint resume", "ID"),
        ("endpoint remove", "ID"),
        ("endpoint rotate-secret", "ID"),
        ("endpoint test", "ID"),
        ("replay start", "--endpoint ID"),
        ("replay cancel", "ID"),
        ("dead-letters list", "ID"),
        ("dead-letters redrive", "ID --all"),
        ("dead-letters purge", "ID --all"),
        ("erase", "--phone 4915199900011"),
        ("export", "--phone 4915199900011"),
        ("hold add", "--contact-id ID --reason x --until 90d"),
        ("hold approve", "ID"),
        ("hold release", "ID"),
        ("request add", "access --law gdpr"),
        ("request extend", "ID --reason x"),
        ("request close", "ID"),
        ("send", "--to 1 --text x"),
        ("message show", "ID"),
        ("message cancel", "ID"),
        ("dev postgres", "-- true"),
        ("backup", "--to x --recipient x"),
        ("restore", "x --identity x --key x"),
        ("verify backup", "x --key x"),
        ("audit proof", "1"),
        ("audit export", "x"),
        ("breach", "--from 1h"),
        ("verify checkpoint", "x --key x"),
        ("verify inclusion", "x --key x"),
        ("verify consistency", "x x --bundle x --key x"),
        ("verify bundle", "x --key x"),
        ("verify certificate", "x --key x"),
        ("witness", "--name x --key-file x --state x --log x"),
    ];

    /// Every verb that does something, by its words.
    fn verbs(command: &Command, before: &str) -> Vec<String> {
        let path = |one: &Command| format!("{before} {}", one.get_name()).trim().to_owned();
        let below = |one: &Command| {
            let mut all: Vec<String> = verbs(one, &path(one));
            if !one.is_subcommand_required_set() {
                all.push(path(one));
            }
            all
        };
        command.get_subcommands().filter(|one| one.get_name() != "help").flat_map(below).collect()
    }

    #[test]
    fn the_manual_shows_the_permission_of_every_verb() {
        let rest: BTreeMap<&str, &str> = NEEDED.iter().copied().collect();
        let mut table = String::from("| verb | permission |\n|---|---|\n");
        let mut all = verbs(&Cli::command(), "");
        all.sort();
        for verb in all {
            let line = format!("waxseal {verb} {}", rest.get(verb.as_str()).copied().unwrap_or_default());
            let words: Vec<&str> = line.split_whitespace().map(|word| if word == "ID" { ID } else { word }).collect();
            let parsed = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
            let needed = needed(&parsed.command).map_or("·".to_owned(), |one| format!("`{}`", one.as_str()));
            writeln!(table, "| `{verb}` | {needed} |").unwrap();
        }
        assert!(include_str!("../../docs/access.md").contains(&table), "docs/access.md must have:\n{table}");
    }
}
