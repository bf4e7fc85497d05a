//! Checkpoints (C2SP tlog-checkpoint): who keeps the log, how long it is, and its root.

use std::fmt;

use data_encoding::BASE64;

use super::merkle::{Hash, Head};

/// The head of a log, as its note says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's own name, and that of its key.
    pub origin: String,
    /// Its length and root.
    pub head: Head,
}

impl Checkpoint {
    /// Reads the text of a note. Lines behind the third are extensions, which say nothing here. `None`: it is no checkpoint.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let extensions_are_whole = lines.all(|line| !line.is_empty());
        let root: Hash = BASE64.decode(root.as_bytes()).ok()?.try_into().ok()?;
        let head = Head { size: decimal(size)?, root };
        (!origin.is_empty() && extensions_are_whole).then(|| Self { origin: origin.to_owned(), head })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.head.size, BASE64.encode(&self.head.root))
    }
}

/// A number in ASCII digits, without zeros in front.
pub(super) fn decimal(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|number| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn the_example_of_the_specification_is_read_and_written() {
        let read = Checkpoint::parse(EXAMPLE).unwrap();
        assert_eq!((read.head.size, read.to_string().as_str()), (20_852_163, EXAMPLE));
        assert_eq!(Checkpoint::parse(&format!("{EXAMPLE}more\n")).map(|one| one.head), Some(read.head));
    }

    #[test]
    fn other_forms_are_refused() {
        let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
        for wrong in [
            String::new(),
            format!("a\n01\n{root}\n"),
            format!("a\n+1\n{root}\n"),
            format!("\n1\n{root}\n"),
            "a\n1\nAAAA\n".into(),
            format!("a\n1\n{root}"),
            format!("a\n1\n{root}\n\n"),
        ] {
            assert_eq!(Checkpoint::parse(&wrong), None, "{wrong:?}");
        }
    }
}
