//! Writes a zip file (APPNOTE.TXT 6.3) as a stream: what an entry holds is not known before it ends, so that its length stands behind it.
//! Nothing is compressed: what follows is encryption, and files that people send are compressed already. Content lies in stored blocks of
//! DEFLATE, so that readers that go from front to back find its end.

use time::OffsetDateTime;

/// Longest stored block.
const BLOCK: usize = 65_535;
/// The last block, which is empty.
const LAST_BLOCK: [u8; 5] = [1, 0, 0, 0xff, 0xff];
/// Lengths stand behind the content (bit 3); names are UTF-8 (bit 11).
const FLAGS: u16 = 0x0808;
const DEFLATE: u16 = 8;
/// What a reader must know: 4.5, for the places beyond 4 GiB.
const VERSION: u16 = 45;
/// Made on Unix, a plain file that its owner reads and writes.
const MADE_BY: u16 = (3 << 8) | VERSION;
const ATTRIBUTES: u32 = 0o100_600 << 16;

/// An entry is longer than a zip file without extensions can say: 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a file is too long for the archive")]
pub(super) struct TooLong;

/// An entry that is over.
#[derive(Debug)]
struct Entry {
    name: String,
    at: u64,
    crc: u32,
    stored: u32,
    length: u32,
}

/// The entry that is being written.
#[derive(Debug)]
struct Open {
    name: String,
    at: u64,
    crc: crc32fast::Hasher,
    stored: u64,
    length: u64,
}

/// A zip file on its way. Every method gives the bytes that come next.
#[derive(Debug)]
pub(super) struct Zip {
    stamp: [u8; 4],
    written: u64,
    entries: Vec<Entry>,
    open: Option<Open>,
}

impl Zip {
    /// Whose entries are all of this time.
    #[must_use]
    pub(super) fn new(now: OffsetDateTime) -> Self {
        Self { stamp: stamp(now), written: 0, entries: Vec::new(), open: None }
    }

    /// Begins an entry. The one before has ended.
    pub(super) fn begin(&mut self, name: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(30 + name.len());
        out.extend(0x0403_4b50_u32.to_le_bytes());
        out.extend([VERSION, FLAGS, DEFLATE].into_iter().flat_map(u16::to_le_bytes));
        out.extend(self.stamp);
        out.extend([0; 12]); // checksum and lengths stand behind
        out.extend(length_of(name).to_le_bytes());
        out.extend([0; 2]);
        out.extend(name.as_bytes());
        self.open =
            Some(Open { name: name.to_owned(), at: self.written, crc: crc32fast::Hasher::new(), stored: 0, length: 0 });
        self.wrote(out)
    }

    /// Adds content to the entry.
    pub(super) fn content(&mut self, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(content.len() + 5 * content.len().div_ceil(BLOCK));
        for block in content.chunks(BLOCK) {
            let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
            out.push(0);
            out.extend(length.to_le_bytes());
            out.extend((!length).to_le_bytes());
            out.extend(block);
        }
        if let Some(open) = &mut self.open {
            open.crc.update(content);
            open.length += content.len() as u64;
            open.stored += out.len() as u64;
        }
        self.wrote(out)
    }

    /// Ends the entry.
    pub(super) fn end(&mut self) -> Result<Vec<u8>, TooLong> {
        let Some(open) = self.open.take() else { return Ok(Vec::new()) };
        let short = |length: u64| u32::try_from(length).ok().filter(|length| *length < u32::MAX).ok_or(TooLong);
        let (stored, length) = (short(open.stored + LAST_BLOCK.len() as u64)?, short(open.length)?);
        let crc = open.crc.finalize();
        let mut out = LAST_BLOCK.to_vec();
        out.extend([0x0807_4b50, crc, stored, length].into_iter().flat_map(u32::to_le_bytes));
        self.entries.push(Entry { name: open.name, at: open.at, crc, stored, length });
        Ok(self.wrote(out))
    }

    /// Ends the file, with the list of what is in it.
    #[must_use]
    pub(super) fn finish(self) -> Vec<u8> {
        let mut out: Vec<u8> = self.entries.iter().flat_map(|entry| self.listed(entry)).collect();
        let (count, size, at) = (self.entries.len() as u64, out.len() as u64, self.written);
        let ends = at + size;
        // Both forms of the end: who does not know the long one reads the short one, where that says enough.
        out.extend(0x0606_4b50_u32.to_le_bytes());
        out.extend(44_u64.to_le_bytes());
        out.extend([MADE_BY, VERSION].into_iter().flat_map(u16::to_le_bytes));
        out.extend([0; 8]);
        out.extend([count, count, size, at].into_iter().flat_map(u64::to_le_bytes));
        out.extend(0x0706_4b50_u32.to_le_bytes());
        out.extend([0; 4]);
        out.extend(ends.to_le_bytes());
        out.extend(1_u32.to_le_bytes());
        let count = u16::try_from(count).unwrap_or(u16::MAX);
        out.extend(0x0605_4b50_u32.to_le_bytes());
        out.extend([0; 4]);
        out.extend([count, count].into_iter().flat_map(u16::to_le_bytes));
        out.extend([size, at].into_iter().flat_map(|one| short(one).to_le_bytes()));
        out.extend([0; 2]);
        out
    }

    fn listed(&self, entry: &Entry) -> Vec<u8> {
        let is_far = short(entry.at) == u32::MAX;
        let extra = if is_far { [&[1, 0, 8, 0][..], &entry.at.to_le_bytes()].concat() } else { Vec::new() };
        let mut out = 0x0201_4b50_u32.to_le_bytes().to_vec();
        out.extend([MADE_BY, VERSION, FLAGS, DEFLATE].into_iter().flat_map(u16::to_le_bytes));
        out.extend(self.stamp);
        out.extend([entry.crc, entry.stored, entry.length].into_iter().flat_map(u32::to_le_bytes));
        out.extend([length_of(&entry.name), u16::from(is_far) * 12].into_iter().flat_map(u16::to_le_bytes));
        out.extend([0; 6]); // no comment, the first disk, no attributes of MS-DOS
        out.extend([ATTRIBUTES, short(entry.at)].into_iter().flat_map(u32::to_le_bytes));
        out.extend(entry.name.as_bytes());
        out.extend(extra);
        out
    }

    fn wrote(&mut self, out: Vec<u8>) -> Vec<u8> {
        self.written += out.len() as u64;
        out
    }
}

/// As far as four bytes can say it; what they cannot stands elsewhere.
fn short(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn length_of(name: &str) -> u16 {
    u16::try_from(name.len()).unwrap_or(u16::MAX)
}

/// Time and date of MS-DOS: two seconds are the finest it knows, and 1980 the first year.
fn stamp(now: OffsetDateTime) -> [u8; 4] {
    let now = now.to_offset(time::UtcOffset::UTC);
    let (hour, minute, second) = now.to_hms();
    let time = (u16::from(hour) << 11) | (u16::from(minute) << 5) | (u16::from(second) / 2);
    let year = u16::try_from(now.year().clamp(1980, 2107) - 1980).unwrap_or(0);
    let date = (year << 9) | (u16::from(u8::from(now.month())) << 5) | u16::from(now.day());
    let ([a, b], [c, d]) = (time.to_le_bytes(), date.to_le_bytes());
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    /// Another program's opinion of it.
    const READER: &str = "import io, sys, zipfile, zlib
whole = sys.stdin.buffer.read()
archive = zipfile.ZipFile(io.BytesIO(whole))
assert archive.testzip() is None
for one in archive.infolist():
    held = archive.read(one)
    print(one.filename, len(held), zlib.crc32(held), one.date_time[:5])
";

    #[test]
    fn another_program_reads_what_is_written() {
        let mut zip = Zip::new(time::macros::datetime!(2026-11-24 09:31:05 UTC));
        let mut whole = Vec::new();
        let long: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
        for (name, pieces) in
            [("data.json", vec![&b"{}"[..]]), ("files/\u{e4}.bin", vec![&long[..], &long[..7]]), ("empty", vec![])]
        {
            whole.extend(zip.begin(name));
            for piece in pieces {
                whole.extend(zip.content(piece));
            }
            whole.extend(zip.end().unwrap());
        }
        whole.extend(zip.finish());
        let mut reader = Command::new("python3")
            .args(["-X", "utf8", "-c", READER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        reader.stdin.take().unwrap().write_all(&whole).unwrap();
        let told = reader.wait_with_output().unwrap();
        assert!(told.status.success());
        let both = [&long[..], &long[..7]].concat();
        let line = |name: &str, content: &[u8]| {
            format!("{name} {} {} (2026, 11, 24, 9, 31)\n", content.len(), crc32fast::hash(content))
        };
        let expected = line("data.json", b"{}") + &line("files/\u{e4}.bin", &both) + &line("empty", b"");
        assert_eq!(String::from_utf8(told.stdout).unwrap(), expected);
    }
}
