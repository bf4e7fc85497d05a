//! `waxseal verify`: checks what the audit log gave out, offline: files alone, no network, no database, no configuration.

mod certificate;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};

use super::audit::Line;
use crate::audit::{Entry, SALT, commitment};
use crate::privacy::Named;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::merkle::{Hash, Head, fold, leaf_hash, perfect, subtrees};
use crate::tlog::note::{Note, VerifierKey};
use crate::tlog::policy::{Policy, Unaccepted};
use crate::tlog::proof::{Proof, Unproved};
use crate::tlog::tile::{Tile, WIDTH, bundle_path};

/// `waxseal verify …`
#[derive(Debug, Subcommand)]
pub(super) enum VerifyVerb {
    /// Check who signed a checkpoint.
    Checkpoint {
        /// The signed note.
        checkpoint: PathBuf,
        #[command(flatten)]
        trust: Trust,
    },
    /// Check that an entry is in the log.
    Inclusion {
        /// The proof, as `GET /v1/audit/proof/{id}` gives it.
        proof: PathBuf,
        /// The entry as a line of an export's `entries.jsonl`: for a proof without it, because it was dropped with age.
        #[arg(long, value_name = "FILE")]
        entry: Option<PathBuf>,
        #[command(flatten)]
        trust: Trust,
    },
    /// Check that a later checkpoint continues an earlier one.
    Consistency {
        /// The earlier checkpoint.
        old: PathBuf,
        /// The later one.
        new: PathBuf,
        /// An exported log that reaches at least as far.
        #[arg(long, value_name = "DIR")]
        bundle: PathBuf,
        #[command(flatten)]
        trust: Trust,
    },
    /// Check the certificate of an erasure.
    Certificate {
        /// What `waxseal erasures ID --certificate FILE` wrote, or the API gave.
        certificate: PathBuf,
        /// A phone number, user id, handle or contact id that it should be about.
        #[arg(long, requires = "salt")]
        subject: Option<String>,
        /// The salt that the requester was given, in hexadecimal digits.
        #[arg(long, requires = "subject")]
        salt: Option<String>,
        #[command(flatten)]
        trust: Trust,
    },
    /// Check a backup: that its manifest is signed, and that every archive is the one that it lists. Opens nothing.
    Backup(super::restore::VerifyArgs),
    /// Check an exported log: checkpoint, every tile, every entry.
    Bundle {
        /// What `waxseal audit export` wrote.
        bundle: PathBuf,
        #[command(flatten)]
        trust: Trust,
    },
}

/// Whom to believe.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Trust {
    /// The log's key, such as `waxseal/…+…+…`. No witnesses are asked for then.
    #[arg(long)]
    key: Option<String>,
    /// A policy (C2SP tlog-policy): keys of logs and witnesses, and how many of these must have signed.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

/// Exit code for what is not what was signed.
pub(super) const DIVERGED: u8 = 4;

/// What was found out. Each has an exit code of its own; 1 means that something could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Ok(String),
    /// Malformed, or a signature is missing or wrong.
    Invalid(String),
    /// Rightly signed, and not what was signed before or what is there.
    Diverged(String),
    /// Rightly signed, but by too few witnesses.
    Unwitnessed,
}

impl Verdict {
    fn code(&self) -> u8 {
        match self {
            Self::Ok(_) => 0,
            Self::Invalid(_) => 3,
            Self::Diverged(_) => DIVERGED,
            Self::Unwitnessed => 5,
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ok(what) => write!(f, "ok: {what}"),
            Self::Invalid(why) => write!(f, "invalid: {why}"),
            Self::Diverged(why) => write!(f, "diverged: {why}"),
            Self::Unwitnessed => f.write_str("unwitnessed: the log signed it, but too few witnesses did"),
        }
    }
}

/// Why a check ended early.
type Checked<T> = Result<T, Verdict>;

pub(super) async fn run(verb: VerifyVerb, out: &mut (dyn Write + Send)) -> anyhow::Result<ExitCode> {
    let verdict = match verb {
        VerifyVerb::Checkpoint { checkpoint, trust } => {
            let (policy, note) = (trust.policy()?, read(&checkpoint)?);
            accepted(&policy, &note).map(|checkpoint| shown(checkpoint.head))
        }
        VerifyVerb::Inclusion { proof, entry, trust } => {
            let kept = entry.map(|path| read(&path)).transpose()?;
            inclusion(&trust.policy()?, &read(&proof)?, kept.as_deref())
        }
        VerifyVerb::Consistency { old, new, bundle, trust } => {
            let (policy, old, new) = (trust.policy()?, read(&old)?, read(&new)?);
            consistency(&policy, [&old, &new], &bundle)
        }
        VerifyVerb::Certificate { certificate, subject, salt, trust } => {
            let (policy, text) = (trust.policy()?, read(&certificate)?);
            let subject = subject.zip(salt).map(|(name, salt)| named(&name, &salt)).transpose()?;
            certificate::check(&policy, &text, subject.as_ref())
        }
        VerifyVerb::Backup(args) => match super::restore::verify(args).await? {
            Ok(what) => Ok(what),
            Err(why) => Err(Verdict::Diverged(why)),
        },
        VerifyVerb::Bundle { bundle, trust } => whole(&trust.policy()?, &bundle),
    };
    let verdict = verdict.map_or_else(|verdict| verdict, Verdict::Ok);
    writeln!(out, "{verdict}")?;
    Ok(ExitCode::from(verdict.code()))
}

impl Trust {
    fn policy(&self) -> anyhow::Result<Policy> {
        match (&self.key, &self.policy) {
            (Some(key), _) => Ok(Policy::only_log(VerifierKey::parse(key).context("--key")?)),
            (None, Some(path)) => Policy::parse(&read(path)?).context("the policy cannot be used"),
            // The command line asks for one of them.
            (None, None) => anyhow::bail!("give --key or --policy"),
        }
    }
}

/// Whom a certificate should be about.
fn named(name: &str, salt: &str) -> anyhow::Result<certificate::Subject> {
    let salt = HEXLOWER_PERMISSIVE.decode(salt.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    let salt = salt.context("--salt must be 64 hexadecimal digits")?;
    let id = name.parse().ok().map(Named::Contact);
    let named = id.or_else(|| Named::user_id(name)).or_else(|| Named::phone(name)).or_else(|| Named::username(name));
    Ok(certificate::Subject { named: named.context("--subject is no name of a person")?, salt })
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

fn shown(head: Head) -> String {
    format!("{} entries, root {}", head.size, BASE64.encode(&head.root))
}

fn accepted(policy: &Policy, note: &str) -> Checked<Checkpoint> {
    let note = Note::parse(note).map_err(|error| Verdict::Invalid(error.to_string()))?;
    policy.accept(&note).map_err(refused)
}

fn refused(why: Unaccepted) -> Verdict {
    match why {
        Unaccepted::Unwitnessed => Verdict::Unwitnessed,
        other => Verdict::Invalid(other.to_string()),
    }
}

/// The entry is in the proof itself, behind its salt, or somebody kept it.
fn inclusion(policy: &Policy, text: &str, kept: Option<&str>) -> Checked<String> {
    let invalid = |why: &str| Verdict::Invalid(why.to_owned());
    let proof = Proof::parse(text).map_err(|error| Verdict::Invalid(error.to_string()))?;
    let (entry, committed) = match (kept, proof.extra.as_deref()) {
        (Some(line), _) => {
            let (index, entry, committed) =
                entry(line.trim_end_matches('\n')).ok_or_else(|| invalid("the entry is malformed"))?;
            if index != proof.index {
                return Err(invalid("the proof is of another entry"));
            }
            (entry, committed)
        }
        (None, Some(extra)) => {
            let (salt, bytes) = extra.split_first_chunk::<SALT>().ok_or_else(|| invalid("the proof holds no entry"))?;
            (Entry::decode(bytes).ok_or_else(|| invalid("the entry is malformed"))?, commitment(bytes, salt))
        }
        (None, None) => return Err(invalid("the proof holds no entry; give it with --entry")),
    };
    match proof.verify(&leaf_hash(&committed), policy) {
        Ok(checkpoint) => {
            let (action, at) = (entry.act.action, entry.at);
            Ok(format!("{action} at {at} is entry {} of {}", proof.index, checkpoint.head.size))
        }
        Err(Unproved::NotIncluded) => Err(Verdict::Diverged(Unproved::NotIncluded.to_string())),
        Err(Unproved::Checkpoint(why)) => Err(refused(why)),
        Err(Unproved::Malformed) => Err(Verdict::Invalid(Unproved::Malformed.to_string())),
    }
}

fn consistency(policy: &Policy, notes: [&str; 2], bundle: &Path) -> Checked<String> {
    let [old, new] = notes.map(|note| accepted(policy, note));
    let (old, new) = (old?, new?);
    if old.origin != new.origin {
        return Err(Verdict::Invalid("the checkpoints are of two logs".to_owned()));
    }
    let (old, new) = (old.head, new.head);
    if old.size > new.size || (old.size == new.size && old.root != new.root) {
        return Err(Verdict::Diverged("the later checkpoint does not continue the earlier one".to_owned()));
    }
    let leaves = leaves(bundle, new.size)?;
    for head in [old, new] {
        check_root(&leaves, head)?;
    }
    Ok(format!("{} continue {}", shown(new), shown(old)))
}

fn check_root(leaves: &[Hash], head: Head) -> Checked<()> {
    let part = usize::try_from(head.size).ok().and_then(|size| leaves.get(..size)).unwrap_or_default();
    if root(part) == head.root { Ok(()) } else { Err(Verdict::Diverged(format!("{} is of another tree", shown(head)))) }
}

fn root(leaves: &[Hash]) -> Hash {
    let nodes = subtrees(0..leaves.len() as u64).into_iter().filter_map(|node| {
        let from = usize::try_from(node.index << node.level).ok()?;
        leaves.get(from..from + (1_usize << node.level)).map(perfect)
    });
    fold(&nodes.collect::<Vec<_>>())
}

/// A file of an exported log; what is missing is at fault as much as what is wrong.
fn part(bundle: &Path, path: &str) -> Checked<Vec<u8>> {
    std::fs::read(bundle.join(path)).map_err(|_| Verdict::Invalid(format!("{path} is missing")))
}

/// What is hashed into the leaves, out of the bundles of entries.
fn commitments(bundle: &Path, size: u64) -> Checked<Vec<Hash>> {
    let mut all = Vec::new();
    for index in 0..size.div_ceil(WIDTH) {
        let width = (size - index * WIDTH).min(WIDTH);
        let path = format!("tile/entries/{}", bundle_path(index, width));
        let (bytes, before) = (part(bundle, &path)?, all.len());
        all.extend(
            bytes
                .as_chunks::<34>()
                .0
                .iter()
                .filter_map(|[high, low, hash @ ..]| ([*high, *low] == [0, 32]).then_some(*hash)),
        );
        if bytes.len() as u64 != width * 34 || (all.len() - before) as u64 != width {
            return Err(Verdict::Diverged(format!("{path} has not the entries of this checkpoint")));
        }
    }
    Ok(all)
}

fn leaves(bundle: &Path, size: u64) -> Checked<Vec<Hash>> {
    Ok(commitments(bundle, size)?.iter().map(|one| leaf_hash(one)).collect())
}

fn whole(policy: &Policy, bundle: &Path) -> Checked<String> {
    let note = String::from_utf8(part(bundle, "checkpoint")?);
    let note = note.map_err(|_| Verdict::Invalid("the checkpoint is no text".to_owned()))?;
    let head = accepted(policy, &note)?.head;
    let committed = commitments(bundle, head.size)?;
    let leaves: Vec<Hash> = committed.iter().map(|one| leaf_hash(one)).collect();
    check_root(&leaves, head)?;
    check_tiles(bundle, head.size, leaves)?;
    let (here, missing) = check_entries(bundle, &committed)?;
    let missing = match missing {
        0 => String::new(),
        missing => format!(", {missing} of the oldest were dropped with age, as the log itself says"),
    };
    Ok(format!("{}; {here} of them are here{missing}", shown(head)))
}

/// Every tile of every level is what follows from the leaves.
fn check_tiles(bundle: &Path, size: u64, leaves: Vec<Hash>) -> Checked<()> {
    let (mut hashes, mut level) = (leaves, 0);
    while !hashes.is_empty() {
        for (index, expected) in (0..).zip(hashes.chunks(WIDTH as usize)) {
            let tile = Tile::of(level, index, size).ok_or_else(|| Verdict::Invalid("too many tiles".to_owned()))?;
            let path = format!("tile/{}", tile.path());
            if part(bundle, &path)? != expected.concat() {
                return Err(Verdict::Diverged(format!("{path} is of another tree")));
            }
        }
        hashes = hashes.chunks_exact(WIDTH as usize).map(perfect).collect();
        level += 1;
    }
    Ok(())
}

/// Every entry is the one that the tree committed to. Missing may be those alone of which an entry that is here says that they were
/// dropped with age. Returns how many are here, and how many are missing.
fn check_entries(bundle: &Path, committed: &[Hash]) -> Checked<(usize, usize)> {
    let text = String::from_utf8(part(bundle, "entries.jsonl")?);
    let text = text.map_err(|_| Verdict::Invalid("entries.jsonl is no text".to_owned()))?;
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(Verdict::Diverged("entries.jsonl was cut".to_owned()));
    }
    let (mut seen, mut pruned) = (BTreeSet::new(), 0);
    for (number, line) in text.split_terminator('\n').enumerate() {
        let fault = |what: &str| format!("entries.jsonl, line {}: {what}", number + 1);
        let (index, entry, found) = entry(line).ok_or_else(|| Verdict::Diverged(fault("this is no entry")))?;
        if usize::try_from(index).ok().and_then(|at| committed.get(at)) != Some(&found) {
            return Err(Verdict::Diverged(fault("the tree holds another entry at this place")));
        }
        if !seen.insert(index) {
            return Err(Verdict::Diverged(fault("it is there twice")));
        }
        pruned = pruned.max(entry.pruned_below().unwrap_or(0).min(index));
    }
    // Entries of the days around an end stand among each other, so that some below it may still be here.
    if seen.range(pruned..).count() as u64 != (committed.len() as u64).saturating_sub(pruned) {
        return Err(Verdict::Diverged("entries are missing".to_owned()));
    }
    Ok((seen.len(), committed.len() - seen.len()))
}

/// The place of an entry, itself and its commitment. The tree commits to neither spaces nor the letters' case, so that no other line
/// of the same meaning is taken for the one that was written.
fn entry(text: &str) -> Option<(u64, Entry, Hash)> {
    let line: Line = serde_json::from_str(text).ok()?;
    let bytes = BASE64.decode(line.entry.as_bytes()).ok()?;
    let salt: [u8; SALT] = BASE64.decode(line.salt.as_bytes()).ok()?.try_into().ok()?;
    let entry = Entry::decode(&bytes).filter(|entry| entry.id == line.id && line.to_string() == text)?;
    Some((line.index, entry, commitment(&bytes, &salt)))
}
