//! The table of calls that the mirror passes on: what is asked, what a key needs for it, and how much of it may be asked for. What
//! is not here is refused, unless `graph.allow` names it. `docs/graph-mirror.md` shows it, and a test keeps the two alike.

use axum::http::Method;

use crate::access::Permission::{
    self, ContactsBlock, ContactsRead, MediaRead, MediaWrite, MessagesRead, MessagesSend, NumbersManage, NumbersRead,
    NumbersWrite, TemplatesRead, TemplatesWrite,
};

/// One call.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) method: Method,
    /// Behind the version. `{phone}` and `{waba}` are a number and an account of the caller, `{app}` is any app, `{object}` any thing
    /// that Meta alone knows, `{upload}` an upload session, `{code}` anything within the thing before it.
    pub(super) path: &'static str,
    /// The same with `/graph/{version}` before it, for the log.
    pub(super) route: &'static str,
    pub(super) needs: Permission,
    pub(super) how: How,
}

/// What is special about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Nothing: a small body out, an answer back.
    Plain,
    /// A message, which goes the way of messages.
    Message,
    /// The body is a file of at most so many bytes, passed on as it comes.
    File(u64),
    /// A thing that Meta alone knows: what it is, and with it what a key needs, is seen when it is looked at. `needs` is for templates
    /// and flows.
    Object {
        /// What is needed when it is a file; `None`: it must not be one.
        of_files: Option<Permission>,
    },
    /// The answer names people in clear.
    People,
    /// It is about a token: that of the channel, whichever the caller names.
    Token,
    /// The body may hold the number's PIN, which is kept as well.
    Pin,
}

impl Row {
    /// The words of the path.
    pub(super) fn parts(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').skip(1)
    }

    /// What is done, in one word of a closed list, for the audit log: the last word of the path, or what stands for it.
    pub(super) fn word(&self) -> &'static str {
        self.parts().filter(|part| !part.starts_with('{')).last().unwrap_or(match self.path {
            "/{phone}" => "phone_number",
            "/{waba}" => "account",
            "/{upload}" => "upload",
            _ => "object",
        })
    }
}

/// Room for the form around the largest document that Meta takes.
const LARGEST_FILE: u64 = 101 << 20;
/// A flow is a JSON of at most 10 MB.
const LARGEST_FLOW: u64 = 11 << 20;

macro_rules! row {
    ($method:ident $path:literal, $needs:ident) => {
        row!($method $path, $needs, How::Plain)
    };
    ($method:ident $path:literal, $needs:ident, $how:expr) => {
        Row { method: Method::$method, path: $path, route: concat!("/graph/{version}", $path), needs: $needs, how: $how }
    };
}

/// Every call.
pub(super) const TABLE: &[Row] = &[
    row!(POST "/{phone}/messages", MessagesSend, How::Message),
    row!(POST "/{phone}/marketing_messages", MessagesSend, How::Message),
    row!(GET "/{phone}/message_history", MessagesRead),
    row!(POST "/{phone}/calls", MessagesSend),
    row!(GET "/{phone}/call_permissions", MessagesSend),
    row!(POST "/{phone}/thread_control", MessagesSend),
    row!(POST "/{phone}/media", MediaWrite, How::File(LARGEST_FILE)),
    row!(POST "/{app}/uploads", MediaWrite),
    row!(GET "/{upload}", MediaWrite),
    row!(POST "/{upload}", MediaWrite, How::File(LARGEST_FILE)),
    row!(GET "/{object}", TemplatesRead, How::Object { of_files: Some(MediaRead) }),
    row!(POST "/{object}", TemplatesWrite, How::Object { of_files: None }),
    row!(DELETE "/{object}", TemplatesWrite, How::Object { of_files: Some(MediaWrite) }),
    row!(GET "/{waba}/message_templates", TemplatesRead),
    row!(POST "/{waba}/message_templates", TemplatesWrite),
    row!(DELETE "/{waba}/message_templates", TemplatesWrite),
    row!(POST "/{waba}/message_templates/archive", TemplatesWrite),
    row!(POST "/{waba}/message_templates/unarchive", TemplatesWrite),
    row!(POST "/{waba}/upsert_message_templates", TemplatesWrite),
    row!(POST "/{waba}/migrate_message_templates", TemplatesWrite),
    row!(GET "/message_template_library", TemplatesRead),
    row!(GET "/{object}/compare", TemplatesRead),
    row!(POST "/{object}/unpause", TemplatesWrite),
    row!(GET "/{waba}/flows", TemplatesRead),
    row!(POST "/{waba}/flows", TemplatesWrite),
    row!(POST "/{waba}/migrate_flows", TemplatesWrite),
    row!(GET "/{object}/assets", TemplatesRead),
    row!(POST "/{object}/assets", TemplatesWrite, How::File(LARGEST_FLOW)),
    row!(POST "/{object}/publish", TemplatesWrite),
    row!(POST "/{object}/deprecate", TemplatesWrite),
    row!(GET "/{phone}/block_users", ContactsRead, How::People),
    row!(POST "/{phone}/block_users", ContactsBlock),
    row!(DELETE "/{phone}/block_users", ContactsBlock),
    row!(GET "/debug_token", NumbersRead, How::Token),
    row!(GET "/{waba}", NumbersRead),
    row!(POST "/{waba}", NumbersManage),
    row!(GET "/{waba}/phone_numbers", NumbersRead),
    row!(POST "/{waba}/phone_numbers", NumbersManage),
    row!(GET "/{waba}/template_analytics", NumbersRead),
    row!(GET "/{waba}/template_group_analytics", NumbersRead),
    row!(GET "/{waba}/group_analytics", NumbersRead),
    row!(GET "/{waba}/subscribed_apps", NumbersRead),
    row!(POST "/{waba}/subscribed_apps", NumbersManage),
    row!(DELETE "/{waba}/subscribed_apps", NumbersManage),
    row!(GET "/{phone}", NumbersRead),
    row!(POST "/{phone}", NumbersManage, How::Pin),
    row!(POST "/{phone}/register", NumbersManage, How::Pin),
    row!(POST "/{phone}/deregister", NumbersManage),
    row!(POST "/{phone}/request_code", NumbersManage),
    row!(POST "/{phone}/verify_code", NumbersManage),
    row!(GET "/{phone}/settings", NumbersRead),
    row!(POST "/{phone}/settings", NumbersManage),
    row!(GET "/{phone}/whatsapp_business_encryption", NumbersRead),
    row!(POST "/{phone}/whatsapp_business_encryption", NumbersManage),
    row!(GET "/{phone}/username", NumbersRead),
    row!(POST "/{phone}/username", NumbersManage),
    row!(DELETE "/{phone}/username", NumbersManage),
    row!(GET "/{phone}/username_suggestions", NumbersRead),
    row!(GET "/{phone}/whatsapp_business_profile", NumbersRead),
    row!(POST "/{phone}/whatsapp_business_profile", NumbersWrite),
    row!(GET "/{phone}/whatsapp_commerce_settings", NumbersRead),
    row!(POST "/{phone}/whatsapp_commerce_settings", NumbersWrite),
    row!(GET "/{phone}/conversational_automation", NumbersRead),
    row!(POST "/{phone}/conversational_automation", NumbersWrite),
    row!(GET "/{phone}/message_qrdls", NumbersRead),
    row!(GET "/{phone}/message_qrdls/{code}", NumbersRead),
    row!(POST "/{phone}/message_qrdls", NumbersWrite),
    row!(POST "/{phone}/message_qrdls/{code}", NumbersWrite),
    row!(DELETE "/{phone}/message_qrdls/{code}", NumbersWrite),
];

/// What is needed for a field that is a list with a call of its own: `GET /{waba}?fields=message_templates` shows what
/// `GET /{waba}/message_templates` shows.
pub(super) fn behind_fields(fields: &str) -> impl Iterator<Item = &'static Row> {
    let names = fields.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    names
        .filter(|name| !name.is_empty())
        .flat_map(|name| TABLE.iter().filter(move |row| row.method == Method::GET && row.parts().skip(1).eq([name])))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table as it stands in the documentation.
    fn rendered() -> String {
        let row = |row: &Row| {
            let needs = match row.how {
                How::Object { of_files: Some(file) } => format!("`{}`, of a file `{file}`", row.needs),
                _ => format!("`{}`", row.needs),
            };
            format!("| `{} {}` | {needs} |\n", row.method, row.path)
        };
        "| call | permission |\n|---|---|\n".to_owned() + &TABLE.iter().map(row).collect::<String>()
    }

    #[test]
    fn the_documentation_shows_the_table_as_it_is() {
        let table = rendered();
        assert!(
            include_str!("../../../docs/graph-mirror.md").contains(&table),
            "docs/graph-mirror.md must have:\n{table}"
        );
    }

    #[test]
    fn no_call_stands_there_twice() {
        for (at, row) in TABLE.iter().enumerate() {
            assert!(
                TABLE.iter().skip(at + 1).all(|other| (&other.method, other.path) != (&row.method, row.path)),
                "{row:?}"
            );
        }
    }

    #[test]
    fn a_field_that_is_a_list_needs_what_the_list_needs() {
        let needs = |fields| behind_fields(fields).map(|row| row.needs).collect::<Vec<_>>();
        assert_eq!(needs("id,name,analytics.start(1)"), []);
        assert_eq!(needs("phone_numbers{id,block_users.limit(3)}"), [NumbersRead, ContactsRead]);
    }
}
