//! `waxseal send` and `waxseal message`: what REST does with messages, for an operator at a terminal. Running gateways send them.

use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::moment::{Moment, shown};
use super::settings::base;
use super::table::Table;
use crate::access::message_views::MessageQuery;
use crate::access::views::MessageView;
use crate::access::{Caller, Errand, Permission};
use crate::app::Base;
use crate::audit::{Action, Object};
use crate::config::Config;
use crate::domain::message::Priority;
use crate::ids::{ChannelId, ContactId, MessageId, TenantId};
use crate::meta::errors;
use crate::send::{Order, Sender, Terms};
use crate::store::message_lists::{ACCEPTED, UNSETTLED, UNSUCCESSFUL};

type Out<'a> = &'a mut (dyn Write + Send);

const TENANT: TenantId = TenantId::DEFAULT;
/// How often is looked whether a message is through.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The longest text that is read from standard input; Meta takes 4096 characters.
const LONGEST_TEXT: u64 = 64 * 1024;

/// `waxseal send …`
#[derive(Debug, Args)]
pub(super) struct SendArgs {
    /// Through which channel; may be left out where there is but one.
    #[arg(long)]
    channel: Option<ChannelId>,
    /// To whom: a phone number with its country, or a business-scoped user id.
    #[arg(long)]
    to: String,
    /// A text; `-`: standard input.
    #[arg(long, conflicts_with = "template", required_unless_present = "template")]
    text: Option<String>,
    /// A template and its language, such as `reminder:de`.
    #[arg(long, value_name = "NAME:LANG")]
    template: Option<String>,
    /// A parameter of the template's body, in their order, or by its name: `name=value`. May be repeated.
    #[arg(long = "param", value_name = "VALUE", requires = "template")]
    params: Vec<String>,
    /// Not before this time; also `2h` for in two hours.
    #[arg(long, value_name = "TIME")]
    send_at: Option<Moment>,
    /// Not after this time; also `2h` for in two hours.
    #[arg(long, value_name = "TIME")]
    expires_at: Option<Moment>,
    /// `high`, `normal` or `bulk`.
    #[arg(long, default_value = "normal", value_parser = priority)]
    priority: Priority,
    /// Wait until Meta has taken or refused it.
    #[arg(long)]
    wait: bool,
}

/// `waxseal message …`
#[derive(Debug, Subcommand)]
pub(super) enum MessageVerb {
    /// Show how far a message has come, and what Meta said of it. Its content is not shown.
    Show {
        /// Id of the message.
        id: MessageId,
    },
    /// List messages, newest first. Their content is not shown.
    List(MessageListArgs),
    /// Take a message back that waits for its turn.
    Cancel {
        /// Id of the message.
        id: MessageId,
    },
}

/// Which messages.
#[derive(Debug, Args)]
pub(super) struct MessageListArgs {
    /// In this state: `queued`, `accepted`, `in_doubt`, `failed`, `cancelled` or `expired`.
    #[arg(long)]
    state: Option<String>,
    /// Through this channel.
    #[arg(long)]
    channel: Option<ChannelId>,
    /// To this contact.
    #[arg(long)]
    contact: Option<ContactId>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

fn priority(text: &str) -> Result<Priority, &'static str> {
    Priority::parse(text).ok_or("high, normal or bulk")
}

impl SendArgs {
    /// Meta's message object.
    fn message(&self) -> anyhow::Result<Value> {
        let is_number = self.to.starts_with('+') || self.to.bytes().all(|byte| byte.is_ascii_digit());
        let mut message = if is_number { json!({ "to": self.to }) } else { json!({ "recipient": self.to }) };
        let content = match (&self.text, &self.template) {
            (Some(text), _) => json!({ "type": "text", "text": { "body": text_of(text)? } }),
            (None, Some(template)) => json!({ "type": "template", "template": self.template(template)? }),
            (None, None) => bail!("say what: --text or --template"),
        };
        if let (Some(message), Value::Object(content)) = (message.as_object_mut(), content) {
            message.extend(content);
        }
        Ok(message)
    }

    fn template(&self, named: &str) -> anyhow::Result<Value> {
        let (name, language) = named.rsplit_once(':').context("--template wants a name and a language: reminder:de")?;
        let parameters: Vec<Value> = self.params.iter().map(|text| parameter(text)).collect();
        let body = json!({ "type": "body", "parameters": parameters });
        let components = if parameters.is_empty() { Vec::new() } else { vec![body] };
        Ok(json!({ "name": name, "language": { "code": language }, "components": components }))
    }
}

fn text_of(argument: &str) -> anyhow::Result<String> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut text = String::new();
    std::io::stdin().take(LONGEST_TEXT).read_to_string(&mut text).context("the text cannot be read")?;
    Ok(text.trim_end().to_owned())
}

/// A parameter by its name, when what stands before `=` may be one (lower-case letters, digits and underscores).
fn parameter(text: &str) -> Value {
    let is_name = |name: &str| {
        let may_stand = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(may_stand)
    };
    match text.split_once('=').filter(|(name, _)| is_name(name)) {
        Some((name, value)) => json!({ "type": "text", "parameter_name": name, "text": value }),
        None => json!({ "type": "text", "text": text }),
    }
}

pub(super) async fn send(config: &Config, args: SendArgs, out: Out<'_>) -> anyhow::Result<ExitCode> {
    let base = base(config).await?;
    let (sender, now) = (base.sender(config)?, base.clock.now());
    let channel = match args.channel {
        Some(channel) => channel,
        None => only_channel(&base)?,
    };
    let ahead = |moment: Option<Moment>| moment.map(|moment| moment.ahead(now));
    let terms = Terms {
        send_at: ahead(args.send_at),
        expires_at: ahead(args.expires_at),
        priority: args.priority,
        ..Terms::default()
    };
    let order = Order::read(&args.message()?.to_string(), None, terms, now).map_err(|faults| {
        let told = faults.iter().map(|fault| format!("{}: {}", fault.pointer.trim_start_matches('/'), fault.detail));
        anyhow::anyhow!("the message is faulty:\n{}", told.collect::<Vec<_>>().join("\n"))
    })?;
    let orders = sender.addressed(TENANT, vec![(channel, order)]).await?;
    let operator = operator(Permission::MessagesSend);
    let act = Errand::operation().act(&operator, Action::MessageSent, Object::several("message"));
    let contacts = orders.iter().filter_map(|order| Some(order.contact?.uuid())).collect();
    base.audit.record_about(act.in_channel(Some(channel)), contacts).await?;
    // Outside of a gateway nobody has read the templates yet.
    sender.book.refresh(&base.store, &base.directory, now).await?;
    let ready = sender.ready(TENANT, None, orders).await?.pop().context("no message")??;
    let id = ready.id();
    sender.queue(TENANT, vec![ready], None, None).await?;
    if !args.wait {
        let mut table = Table::new(["id", "state"]);
        table.row([id.to_string(), "queued".to_owned()]);
        table.write(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    until_through(&base, id, out).await
}

/// The channel, where there is but one.
fn only_channel(base: &Base) -> anyhow::Result<ChannelId> {
    let snapshot = base.directory.snapshot();
    match snapshot.channels_of(TENANT)[..] {
        [only] => Ok(only.id),
        [] => bail!("there is no channel yet"),
        [_, _, ..] => bail!("there are several channels: say which with --channel"),
    }
}

/// Waits until the message is through, and says how it ended.
async fn until_through(base: &Base, id: MessageId, out: Out<'_>) -> anyhow::Result<ExitCode> {
    loop {
        let row = base.store.find_message(TENANT, id).await?.context("the message is gone")?;
        if row.state != "queued" {
            let mut table = Table::new(["id", "state", "error", "meaning"]);
            let meaning = row.error_code.and_then(errors::find).map(|error| error.meaning);
            let code = row.error_code.map_or_else(|| "-".to_owned(), |code| code.to_string());
            let accepted = row.state == "accepted";
            table.row([id.to_string(), row.state, code, meaning.unwrap_or("-").to_owned()]);
            table.write(out)?;
            return Ok(if accepted { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

pub(super) async fn message(config: &Config, verb: MessageVerb, out: Out<'_>) -> anyhow::Result<()> {
    let base = base(config).await?;
    match verb {
        MessageVerb::Show { id } => {
            let door = base.door().sending(crate::app::pacing(config).per_second);
            let view = door.message(&operator(Permission::MessagesRead), &Errand::operation(), id).await?;
            door.refusals().alarms().flush().await;
            show(&view.context("no such message")?, out)
        }
        MessageVerb::List(args) => list(&base, args, out).await,
        MessageVerb::Cancel { id } => cancel(&base, &base.sender(config)?, id, out).await,
    }
}

async fn list(base: &Base, args: MessageListArgs, out: Out<'_>) -> anyhow::Result<()> {
    let MessageListArgs { state, channel, contact, limit } = args;
    if let Some(state) = &state {
        let mut known = UNSETTLED.iter().chain(&UNSUCCESSFUL).chain([&ACCEPTED]);
        ensure!(known.any(|one| one == state), "there is no such state");
    }
    let query = MessageQuery { state, channel, contact, before: None, limit: limit.max(1) };
    let door = base.door();
    let page = door.messages(&operator(Permission::MessagesRead), &Errand::operation(), &query).await?;
    door.refusals().alarms().flush().await;
    let mut table = Table::new(["id", "state", "type", "channel", "contact", "created", "error"]);
    for message in page.items {
        let error = message.error_code.map_or_else(|| "-".to_owned(), |code| code.to_string());
        table.row([
            message.id.to_string(),
            message.state.to_owned(),
            message.kind,
            message.channel.to_string(),
            message.contact.to_string(),
            shown(message.created_at),
            error,
        ]);
    }
    table.write(out)?;
    if page.has_more {
        writeln!(out, "\nand older ones; --limit shows more")?;
    }
    Ok(())
}

async fn cancel(base: &Base, sender: &Sender, id: MessageId, out: Out<'_>) -> anyhow::Result<()> {
    let found = sender.find(TENANT, id).await?.context("no such message")?;
    let operator = operator(Permission::MessagesSend);
    let act = Errand::operation().act(&operator, Action::MessageCancelled, Object::one("message", id.uuid()));
    base.audit.record_about(act.in_channel(Some(found.channel)), vec![found.contact.uuid()]).await?;
    let is_cancelled = sender.cancel(TENANT, &found).await?;
    ensure!(is_cancelled, "the message is not waiting any more");
    Ok(writeln!(out, "cancelled; it is never sent")?)
}

fn show(message: &MessageView, out: Out<'_>) -> anyhow::Result<()> {
    let time = |at: Option<time::OffsetDateTime>| at.map_or_else(|| "-".to_owned(), shown);
    let mut about =
        Table::new(["id", "state", "type", "priority", "channel", "contact", "created", "send at", "expires", "ended"]);
    about.row([
        message.id.to_string(),
        message.state.to_owned(),
        message.kind.clone(),
        message.priority.as_str().to_owned(),
        message.channel.to_string(),
        message.contact.to_string(),
        shown(message.created_at),
        time(message.send_at),
        time(message.expires_at),
        time(message.settled_at),
    ]);
    about.write(out)?;
    if let Some(queue) = message.queue {
        writeln!(out, "\n{} go before it; about {}", queue.position, shown(queue.estimated_send_at))?;
    }
    if let Some(error) = message.error_code.and_then(errors::find) {
        writeln!(out, "\nerror {}: {}", error.code, error.meaning)?;
    }
    writeln!(out)?;
    let mut history = Table::new(["status", "at", "error"]);
    for status in &message.statuses {
        let error = status.error_code.map_or_else(|| "-".to_owned(), |code| code.to_string());
        history.row([status.status.as_str().to_owned(), shown(status.occurred_at), error]);
    }
    Ok(history.write(out)?)
}

fn operator(permission: Permission) -> Caller {
    Caller::operator(TENANT, std::iter::once(permission).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_has_a_name_only_where_one_may_stand() {
        assert_eq!(parameter("first_name=Ana")["parameter_name"], "first_name");
        assert_eq!(parameter("1+1=2"), json!({ "type": "text", "text": "1+1=2" }));
        assert_eq!(parameter("Ana"), json!({ "type": "text", "text": "Ana" }));
    }
}
