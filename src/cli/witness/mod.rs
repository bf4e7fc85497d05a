//! `waxseal witness`: signs checkpoints of other people's logs (C2SP tlog-witness), and nothing that does not continue what it signed
//! before. Stands by itself: no database, no configuration.

mod memory;

use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use clap::Args;
use data_encoding::HEXLOWER;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::memory::Memory;
use crate::clock::{Clock, SystemClock};
use crate::config::read_key_file;
use crate::crypto::keys::random_key;
use crate::http::listen;
use crate::tlog::merkle::{Head, is_consistent};
use crate::tlog::note::{Signer, Use, VerifierKey};
use crate::tlog::policy::Policy;
use crate::tlog::proof::AddCheckpoint;

/// A checkpoint, a proof of 63 hashes, and signatures of some witnesses are far shorter.
const LONGEST_REQUEST: usize = 64 * 1024;

/// `waxseal witness …`
#[derive(Debug, Args)]
pub(super) struct WitnessArgs {
    /// Where to listen. Put TLS in front of it.
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The witness's own name, such as `example.com/witness`.
    #[arg(long)]
    name: String,
    /// Holds the witness's key as 64 hex digits; made when it is not there.
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// Remembers what was signed. Whoever loses it may sign a fork.
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    /// Key of a log that is witnessed, as `waxseal audit key` prints it. May be repeated.
    #[arg(long = "log", required = true, value_name = "KEY")]
    logs: Vec<String>,
}

/// Whom it knows, and what it signed.
struct Witness {
    signer: Signer,
    logs: Vec<VerifierKey>,
    /// Locked from the look at what was signed until the new is on the disk, so that two requests cannot fork it.
    memory: Mutex<Memory>,
}

/// Runs until SIGTERM or SIGINT.
pub(super) async fn run(args: WitnessArgs, out: &mut (dyn Write + Send)) -> anyhow::Result<ExitCode> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    make_key(&args.key_file)?;
    let seed = read_key_file(&args.key_file).context("--key-file")?;
    let signer = Signer::new(&args.name, Use::Witness, seed).context("the name cannot stand in a signature")?;
    let logs = args.logs.iter().map(|key| VerifierKey::parse(key)).collect::<Result<Vec<_>, _>>().context("--log")?;
    let memory = Mutex::new(Memory::open(args.state).context("--state")?);
    let listener = TcpListener::bind(args.listen).await.context("--listen")?;
    writeln!(out, "witness at http://{}, key {}", listener.local_addr()?, signer.verifier())?;
    out.flush()?;
    let witness = Arc::new(Witness { signer, logs, memory });
    let routes = Router::new().route("/add-checkpoint", post(add_checkpoint));
    let routes = routes.layer(DefaultBodyLimit::max(LONGEST_REQUEST)).with_state(witness);
    let stop = CancellationToken::new();
    let stopped = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    };
    // Logs are few, and whoever else connects gets no more of it than of the gateway.
    tokio::join!(listen::serve(listener, routes, listen::Limits::default(), stop.clone()), stopped);
    Ok(ExitCode::SUCCESS)
}

fn make_key(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).context("--key-file")?;
    let text = zeroize::Zeroizing::new(HEXLOWER.encode(random_key().as_slice()));
    file.write_all(text.as_bytes())?;
    Ok(file.sync_all()?)
}

/// Why nothing is signed. The status codes are those of the specification.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Malformed,
    UnknownLog,
    NotSigned,
    /// It was another size that was signed last: this one.
    OtherSize(u64),
    /// Another tree of the same size was signed.
    Fork,
    /// The proof does not show that the tree only grew.
    Inconsistent,
    /// What was signed cannot be remembered, and so nothing is.
    Forgetful,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST.into_response(),
            Self::UnknownLog => StatusCode::NOT_FOUND.into_response(),
            Self::NotSigned => StatusCode::FORBIDDEN.into_response(),
            Self::OtherSize(size) => {
                (StatusCode::CONFLICT, [(CONTENT_TYPE, "text/x.tlog.size")], format!("{size}\n")).into_response()
            }
            Self::Fork => StatusCode::CONFLICT.into_response(),
            Self::Inconsistent => StatusCode::UNPROCESSABLE_ENTITY.into_response(),
            Self::Forgetful => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
}

async fn add_checkpoint(State(witness): State<Arc<Witness>>, body: String) -> Result<String, Refusal> {
    witness.sign(&body, SystemClock.now().unix_timestamp().unsigned_abs())
}

impl Witness {
    /// The signature line for a checkpoint that continues what was signed before.
    fn sign(&self, body: &str, now: u64) -> Result<String, Refusal> {
        let request = AddCheckpoint::parse(body).ok_or(Refusal::Malformed)?;
        let text = request.checkpoint.text();
        let origin = text.split('\n').next().unwrap_or_default();
        let own = self.logs.iter().find(|log| log.name() == origin).ok_or(Refusal::UnknownLog)?;
        let accepted = Policy::only_log(own.clone()).accept(&request.checkpoint);
        let head = accepted.map_err(|_| Refusal::NotSigned)?.head;
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        judge(memory.of(origin), &request, head)?;
        memory.remember(origin, head).map_err(|error| {
            tracing::error!(%error, "what was signed cannot be remembered");
            Refusal::Forgetful
        })?;
        Ok(self.signer.line(text, now))
    }
}

/// Whether a checkpoint continues what was signed last.
fn judge(known: Option<Head>, request: &AddCheckpoint, head: Head) -> Result<(), Refusal> {
    let signed = known.map_or(0, |head| head.size);
    if request.old > head.size {
        return Err(Refusal::Malformed);
    }
    if request.old != signed {
        return Err(Refusal::OtherSize(signed));
    }
    let Some(known) = known else {
        return if request.path.is_empty() { Ok(()) } else { Err(Refusal::Inconsistent) };
    };
    if known.size == head.size && known.root != head.root {
        return Err(Refusal::Fork);
    }
    if is_consistent(&known, &head, &request.path) { Ok(()) } else { Err(Refusal::Inconsistent) }
}
