//! What a witness signed last of each log, on the disk before the signature leaves: a witness that forgets can be led into a fork.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use data_encoding::BASE64;

use crate::tlog::merkle::Head;

/// A file with a line for each log: `origin size root`.
pub(super) struct Memory {
    path: PathBuf,
    heads: BTreeMap<String, Head>,
}

impl Memory {
    /// Reads the file. One that is not there is a witness that never signed; one that is damaged is an error, and no beginning.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read?,
        };
        let heads: Option<BTreeMap<String, Head>> = text.lines().map(line).collect();
        Ok(Self { path, heads: heads.ok_or(io::ErrorKind::InvalidData)? })
    }

    /// What was signed last.
    pub(super) fn of(&self, origin: &str) -> Option<Head> {
        self.heads.get(origin).copied()
    }

    /// Writes beside the file, and puts it in its place when it is on the disk.
    pub(super) fn remember(&mut self, origin: &str, head: Head) -> io::Result<()> {
        let mut heads = self.heads.clone();
        heads.insert(origin.to_owned(), head);
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        for (origin, head) in &heads {
            writeln!(file, "{origin} {} {}", head.size, BASE64.encode(&head.root))?;
        }
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(".".as_ref()))?.sync_all()?;
        self.heads = heads;
        Ok(())
    }
}

fn line(line: &str) -> Option<(String, Head)> {
    let mut words = line.rsplitn(3, ' ');
    let (root, size, origin) = (words.next()?, words.next()?, words.next()?);
    let root = BASE64.decode(root.as_bytes()).ok()?.try_into().ok()?;
    Some((origin.to_owned(), Head { size: size.parse().ok()?, root }))
}
