//! `waxseal media`: what REST does with files, for an operator at a terminal.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use clap::{Args, Subcommand};
use futures_util::stream::{self, BoxStream, StreamExt};
use time::Duration;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::health::reachable;
use super::moment::shown as shown_time;
use super::progress::{self, Progress};
use super::settings::base;
use super::table::Table;
use crate::access::media::{MediaState, MediaView};
use crate::access::views::Content;
use crate::access::{Caller, Errand, Permission};
use crate::app::Base;
use crate::audit::{Action, Object};
use crate::config::Config;
use crate::directory::Bells;
use crate::domain::file::{FileKind, ending, type_of_ending};
use crate::ids::{ChannelId, ContactId, MediaId, TenantId};
use crate::media::{Details, Fetcher, Offer, Place, ShelfError, Through};

type Out<'a> = &'a mut (dyn Write + Send);
type Pieces = BoxStream<'static, anyhow::Result<Bytes>>;

const TENANT: TenantId = TenantId::DEFAULT;
/// Read from the disk at once.
const PIECE: usize = 64 * 1024;

/// `waxseal media …`
#[derive(Debug, Subcommand)]
pub(super) enum MediaVerb {
    /// List files, newest first.
    List(ListArgs),
    /// Show what is known of a file.
    Show {
        /// Id of the file; of one that somebody sent, that of the event.
        id: MediaId,
    },
    /// Write a file to the disk, or to standard output.
    Get(GetArgs),
    /// Hand a file over, to be sent.
    Put(PutArgs),
    /// Delete a file, here and at Meta.
    Delete {
        /// Id of the file.
        id: MediaId,
    },
    /// Make a link to a file that needs no key.
    Link {
        /// Id of the file.
        id: MediaId,
        /// How long it is good for: 1 to 60 minutes.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=60))]
        minutes: u8,
    },
}

/// `waxseal media list …`
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// So many.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Older than this file.
    #[arg(long)]
    before: Option<MediaId>,
}

/// `waxseal media get …`
#[derive(Debug, Args)]
pub(super) struct GetArgs {
    /// Id of the file; of one that somebody sent, that of the event.
    id: MediaId,
    /// Where to; `-`: standard output; nothing: its id, here.
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// `waxseal media put …`
#[derive(Debug, Args)]
pub(super) struct PutArgs {
    /// The file.
    file: PathBuf,
    /// Its type, such as `image/png`; nothing: by the ending of its name.
    #[arg(long = "type", value_name = "MIME")]
    mime_type: Option<String>,
    /// The only channel that it may be sent through.
    #[arg(long)]
    channel: Option<ChannelId>,
    /// Whom it is about: it is forgotten with them.
    #[arg(long)]
    contact: Option<ContactId>,
}

pub(super) async fn run(config: &Config, verb: MediaVerb, out: Out<'_>) -> anyhow::Result<()> {
    let base = base(config).await?;
    match verb {
        MediaVerb::List(args) => list(&base, &args, out).await,
        MediaVerb::Show { id } => show(&base, id, out).await,
        MediaVerb::Get(args) => get(&base, config, args, out).await,
        MediaVerb::Put(args) => put(&base, config, args, out).await,
        MediaVerb::Delete { id } => delete(&base, config, id, out).await,
        MediaVerb::Link { id, minutes } => link(&base, config, (id, minutes), out).await,
    }
}

fn operator(permission: Permission) -> Caller {
    Caller::operator(TENANT, std::iter::once(permission).collect())
}

fn files(base: &Base, config: &Config) -> anyhow::Result<Fetcher> {
    base.files(config, Bells::new().0)
}

/// The file, its reading recorded.
async fn opened(base: &Base, id: MediaId) -> anyhow::Result<MediaView> {
    let door = base.door();
    let view = door.media(&operator(Permission::MediaRead), &Errand::operation(), id).await?;
    door.refusals().alarms().flush().await;
    view.context("no such file")
}

fn known(view: &MediaView) -> Details {
    match (&view.details, &view.named) {
        (Some(Content::Opened(json)), _) => serde_json::from_slice(json).unwrap_or_default(),
        (_, Some(named)) => {
            Details { mime_type: named.mime_type.clone(), filename: named.filename.clone(), stripped: false }
        }
        _ => Details::default(),
    }
}

fn word(state: &MediaState) -> &str {
    match state {
        MediaState::Waiting => "waiting",
        MediaState::Stored => "stored",
        MediaState::Erased => "erased",
        MediaState::AtMeta => "at Meta",
        MediaState::NotKept => "not kept",
        MediaState::Lost(reason) => reason,
    }
}

fn size(bytes: Option<i64>) -> String {
    let bytes = bytes.and_then(|bytes| u64::try_from(bytes).ok());
    bytes.map_or_else(|| "-".to_owned(), progress::shown)
}

async fn list(base: &Base, args: &ListArgs, out: Out<'_>) -> anyhow::Result<()> {
    let before = args.before.map(MediaId::uuid);
    let who = operator(Permission::MediaRead);
    let page = base.door().list_media(&who, &Errand::operation(), before, args.limit.max(1)).await?;
    let mut table = Table::new(["id", "when", "way", "kind", "size", "state", "contact"]);
    for view in &page.items {
        table.row([
            view.id.to_string(),
            shown_time(view.id.made_at()),
            if view.is_outbound { "out" } else { "in" }.to_owned(),
            view.kind.clone().unwrap_or_else(|| "-".to_owned()),
            size(view.bytes),
            word(&view.state).to_owned(),
            view.contact.map_or_else(|| "-".to_owned(), |contact| contact.to_string()),
        ]);
    }
    table.write(out)?;
    if let (true, Some(last)) = (page.has_more, page.items.last()) {
        writeln!(out, "\nolder ones: waxseal media list --before {}", last.id)?;
    }
    Ok(())
}

async fn show(base: &Base, id: MediaId, out: Out<'_>) -> anyhow::Result<()> {
    let view = opened(base, id).await?;
    let details = known(&view);
    let id_of = |id: Option<String>| id.unwrap_or_else(|| "-".to_owned());
    let rows = [
        ("id", view.id.to_string()),
        ("when", shown_time(view.id.made_at())),
        (
            "way",
            if view.is_outbound { "out: an application handed it over" } else { "in: somebody sent it" }.to_owned(),
        ),
        ("state", word(&view.state).to_owned()),
        ("kind", id_of(view.kind.clone())),
        ("type", id_of(details.mime_type)),
        ("name", id_of(details.filename)),
        ("size", size(view.bytes)),
        ("stripped", if details.stripped { "yes" } else { "no" }.to_owned()),
        ("channel", view.channel.map_or_else(|| "every one".to_owned(), |channel| channel.to_string())),
        ("contact", id_of(view.contact.map(|contact| contact.to_string()))),
    ];
    for (name, value) in rows {
        writeln!(out, "{name:10}{value}")?;
    }
    Ok(())
}

async fn get(base: &Base, config: &Config, args: GetArgs, out: Out<'_>) -> anyhow::Result<()> {
    let view = opened(base, args.id).await?;
    let (bytes, mut pieces) = content(base, config, &view).await?;
    let mut progress = Progress::of("reading", bytes.unwrap_or(0));
    if args.out.as_deref().is_some_and(|path| path == Path::new("-")) {
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            out.write_all(&piece)?;
            progress.add(piece.len());
        }
        return Ok(out.flush()?);
    }
    let name = || format!("{}.{}", args.id, ending(known(&view).mime_type.as_deref().unwrap_or_default()));
    let path = args.out.unwrap_or_else(|| name().into());
    // Readable for whoever asked, and nobody else; what is there already is not overwritten.
    let opened = File::options().write(true).create_new(true).mode(0o600).open(&path).await;
    let mut file = opened.with_context(|| format!("{} cannot be made", path.display()))?;
    let written = async {
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            file.write_all(&piece).await?;
            progress.add(piece.len());
        }
        // What was written lies with another thread until then.
        file.flush().await?;
        file.sync_all().await?;
        anyhow::Ok(())
    };
    if let Err(error) = written.await {
        let _removed = tokio::fs::remove_file(&path).await;
        return Err(error);
    }
    drop(progress);
    Ok(writeln!(out, "{}", path.display())?)
}

/// The length and the bytes of a file, from where it is.
async fn content(base: &Base, config: &Config, view: &MediaView) -> anyhow::Result<(Option<u64>, Pieces)> {
    let files = files(base, config)?;
    match (&view.state, &view.key, &view.named) {
        (MediaState::Stored, Some(key), _) => {
            let shelf = files.shelf.as_ref().context("media.url names no place for files")?;
            let place = Place { tenant: TENANT, media: view.id, contact: view.contact };
            let reading = shelf.read(place, &key.dek).await?;
            let bytes = reading.length();
            let pieces = reading.stream(0..bytes).await?;
            Ok((Some(bytes), pieces.map(|piece| piece.map_err(|error: ShelfError| error.into())).boxed()))
        }
        (MediaState::AtMeta, _, Some(named)) => {
            let snapshot = base.directory.snapshot();
            let channel = view.channel.and_then(|channel| snapshot.channel(TENANT, channel)).context("no channel")?;
            Ok(match files.pass(channel, view.id, named).await? {
                Through::Whole(whole) => (Some(whole.len() as u64), stream::iter([Ok(whole)]).boxed()),
                Through::Flowing { bytes, content } => {
                    (bytes, content.map(|piece| piece.map_err(anyhow::Error::from)).boxed())
                }
            })
        }
        (MediaState::Waiting, ..) => bail!("the file is still to be fetched from Meta"),
        (state, ..) => bail!("there is no file to be had: {}", word(state)),
    }
}

async fn put(base: &Base, config: &Config, args: PutArgs, out: Out<'_>) -> anyhow::Result<()> {
    let guessed = || type_of_ending(args.file.extension()?.to_str()?).map(str::to_owned);
    let mime_type = args.mime_type.clone().or_else(guessed).context("its type is not known: say it with --type")?;
    let kind = FileKind::of_type(&mime_type).with_context(|| format!("Meta takes no files of type {mime_type}"))?;
    let file = File::open(&args.file).await.with_context(|| format!("{} cannot be read", args.file.display()))?;
    let bytes = file.metadata().await?.len();
    let (most, is_of) = (kind.largest(), kind.as_str());
    ensure!(bytes <= most, "too large: Meta takes a file of kind {is_of} of at most {}", progress::shown(most));
    let (channel, contact) = (args.channel, args.contact);
    if let Some(channel) = channel {
        ensure!(base.directory.snapshot().channel(TENANT, channel).is_some(), "no such channel");
    }
    if let Some(contact) = contact {
        ensure!(base.store.find_contact(TENANT, contact).await?.is_some(), "no such contact");
    }
    let who = operator(Permission::MediaWrite);
    let act = Errand::operation().act(&who, Action::MediaUploaded, Object::several("media")).in_channel(channel);
    base.audit.record_about(act, contact.map(ContactId::uuid).into_iter().collect()).await?;
    let filename = args.file.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let offer = Offer { tenant: TENANT, channel, contact, mime_type, kind, filename };
    let reading = (file, Progress::of("sealing", bytes));
    let content = stream::try_unfold(reading, async |(mut file, mut progress)| {
        let mut piece = Vec::with_capacity(PIECE);
        let read = (&mut file).take(PIECE as u64).read_to_end(&mut piece).await?;
        progress.add(read);
        Ok::<_, io::Error>((read > 0).then(|| (Bytes::from(piece), (file, progress))))
    });
    let handed = files(base, config)?.keep(&offer, content.boxed()).await?;
    let mut table = Table::new(["id", "kind", "size"]);
    table.row([handed.media.to_string(), is_of.to_owned(), progress::shown(handed.bytes)]);
    table.write(out)?;
    Ok(writeln!(out, "\nto send it: \"type\": \"{is_of}\", \"{is_of}\": {{\"id\": \"{}\"}}", handed.media)?)
}

async fn delete(base: &Base, config: &Config, id: MediaId, out: Out<'_>) -> anyhow::Result<()> {
    let row = base.store.find_media(TENANT, id).await?.context("no such file")?;
    ensure!(!matches!(row.state.as_str(), "waiting" | "arriving"), "the file is still to be fetched from Meta");
    let held = row.state == "stored" && files(base, config)?.is_held(TENANT, row.contact).await?;
    ensure!(!held, "somebody holds the data of whom it is about");
    base.note(Action::MediaDeleted, "media", id.uuid(), &[]).await?;
    ensure!(files(base, config)?.delete(TENANT, id, row.contact).await?, "there is no file any more");
    Ok(writeln!(out, "deleted; nothing is left of it")?)
}

async fn link(base: &Base, config: &Config, (id, minutes): (MediaId, u8), out: Out<'_>) -> anyhow::Result<()> {
    let until = base.clock.now() + Duration::minutes(minutes.into());
    let who = operator(Permission::MediaRead);
    let token = base.door().link_media(&who, &Errand::operation(), id, until).await?.context("no such file")?;
    let scheme = if config.tls.internal.is_some() { "https" } else { "http" };
    let at = reachable(config.server.internal_listen);
    writeln!(out, "{scheme}://{at}/v1/media-links?token={token}")?;
    Ok(writeln!(out, "good until {}; whoever has it reads the file", shown_time(until))?)
}
