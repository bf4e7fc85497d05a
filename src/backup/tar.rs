//! Headers of tar (POSIX ustar), as far as archives of ours need them: plain files with short names.

/// A header, and what content is padded to.
pub(super) const BLOCK: usize = 512;
/// Where the sum over the header stands.
const SUM: std::ops::Range<usize> = 148..156;

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// Content follows.
    File {
        /// Its name.
        name: String,
        /// Its bytes.
        size: u64,
    },
    /// Nothing follows.
    End,
}

/// Bytes of zeros behind content of this length.
pub(super) const fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

/// The header of a file. `None`: its name or size does not fit.
pub(super) fn header(name: &str, size: u64, at: i64) -> Option<[u8; BLOCK]> {
    let mut block = [0; BLOCK];
    let mut put = |from: usize, text: &str, room: usize| {
        let to = block.get_mut(from..from + text.len()).filter(|_| text.len() <= room)?;
        to.copy_from_slice(text.as_bytes());
        Some(())
    };
    put(0, name, 100)?;
    put(100, "0000600", 7)?;
    put(108, "0000000", 7)?;
    put(116, "0000000", 7)?;
    put(124, &format!("{size:011o}"), 11)?;
    put(136, &format!("{:011o}", at.max(0)), 11)?;
    put(148, "        ", 8)?;
    put(156, "0", 1)?;
    put(257, "ustar\0", 6)?;
    put(263, "00", 2)?;
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block.get_mut(SUM)?.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Some(block)
}

/// Reads a header of ours. `None`: it is none.
pub(super) fn parse(block: &[u8; BLOCK]) -> Option<Header> {
    if block.iter().all(|byte| *byte == 0) {
        return Some(Header::End);
    }
    let text = |from: usize, to: usize| {
        let field = block.get(from..to)?.split(|byte| *byte == 0).next()?;
        std::str::from_utf8(field).ok()
    };
    let octal = |from, to| u64::from_str_radix(text(from, to)?.trim(), 8).ok();
    let summed = block.iter().enumerate().map(|(at, byte)| if SUM.contains(&at) { 32 } else { u64::from(*byte) });
    if octal(SUM.start, SUM.end)? != summed.sum::<u64>() || text(156, 157)? != "0" {
        return None;
    }
    Some(Header::File { name: text(0, 100)?.to_owned(), size: octal(124, 136)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written_and_no_other() {
        let block = header("data/event_20261123/00000001", 1_048_577, 1_795_000_000).unwrap();
        let name = "data/event_20261123/00000001".to_owned();
        assert_eq!(parse(&block), Some(Header::File { name, size: 1_048_577 }));
        assert_eq!(parse(&[0; BLOCK]), Some(Header::End));
        let mut wrong = block;
        wrong[3] ^= 1;
        assert_eq!(parse(&wrong), None);
        assert_eq!(header(&"x".repeat(101), 1, 1), None);
        assert_eq!((padding(0), padding(1), padding(512)), (0, 511, 0));
    }
}
