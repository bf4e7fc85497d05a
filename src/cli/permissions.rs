//! What each verb of the command line needs: the same permissions as the routes that do the same. Whoever is at the command line has
//! the keys of the installation and therefore all of them; a verb without a line here does not compile.

use super::dead_letters::DeadLetterVerb;
use super::endpoint::EndpointVerb;
use super::keys::KeyVerb;
use super::replay::ReplayVerb;
use super::settings::{AppVerb, ChannelVerb};
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
        Verb::Channel(ChannelVerb::List) => Permission::ChannelsRead,
        Verb::Channel(ChannelVerb::Create { .. } | ChannelVerb::SetToken { .. } | ChannelVerb::Remove { .. }) => {
            Permission::ChannelsManage
        }
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
        Verb::Audit(_) => Permission::AuditRead,
        Verb::Tail(_) => Permission::EventsRead,
    })
}

/// Lets the operator do it.
pub(super) fn admit(verb: &Verb) -> Result<(), Denied> {
    let operator = Caller::operator(TenantId::DEFAULT, Permissions::admin());
    needed(verb).map_or(Ok(()), |permission| operator.require(permission))
}
