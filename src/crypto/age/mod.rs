//! Files for the holders of X25519 keys or of a passphrase, in the format of age (`age-encryption.org/v1`), so that Debian's `age` opens them without us.
//! One file key, wrapped for every recipient; content in chunks of 64 KiB, each authenticated, the last one marked. Why this is
//! written here and not taken from a crate: `docs/adr/0015-backups.md`.

mod bech32;
mod header;
mod passphrase;
mod stream;

pub use header::{Identity, Recipient};
pub use passphrase::{LENGTH as PASSPHRASE_LENGTH, Lock, Passphrase};
pub use stream::{Reader, Writer};

/// Why a file or a key was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AgeError {
    /// Another form than `age1…`.
    #[error("this is no recipient of age (age1…)")]
    Recipient,
    /// Another form than `AGE-SECRET-KEY-1…`.
    #[error("this is no identity of age (AGE-SECRET-KEY-1…)")]
    Identity,
    /// The beginning of the file is another format, or was changed.
    #[error("the header is malformed or was changed")]
    Header,
    /// The file is for other recipients.
    #[error("none of the identities opens it")]
    NotForUs,
    /// The cryptographic library refuses, which it does for a key that is no point of the curve.
    #[error("a key is of no use")]
    Key,
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read, Write};

    use super::*;

    /// The key pair of the examples in age's own documentation of the format.
    const IDENTITY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

    fn sealed(content: &[u8], recipients: &[Recipient]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), recipients).unwrap();
        for piece in content.chunks(1000) {
            writer.write_all(piece).unwrap();
        }
        writer.finish().unwrap()
    }

    fn opened(bytes: &[u8], identity: &Identity) -> std::io::Result<Vec<u8>> {
        let mut read = Vec::new();
        Reader::new(Cursor::new(bytes), std::slice::from_ref(identity))?.read_to_end(&mut read)?;
        Ok(read)
    }

    #[test]
    fn keys_are_read_and_written_as_age_has_them() {
        let identity = Identity::parse(IDENTITY).unwrap();
        assert_eq!(identity.recipient().unwrap().to_string(), RECIPIENT);
        assert_eq!(Recipient::parse(RECIPIENT).unwrap().to_string(), RECIPIENT);
        let made = Identity::generate();
        assert_eq!(Identity::parse(&made.show()).unwrap().recipient().unwrap(), made.recipient().unwrap());
        for wrong in ["", "age1", &RECIPIENT.replace("age1z", "age1y"), &RECIPIENT.to_uppercase(), IDENTITY] {
            assert_eq!(Recipient::parse(wrong), Err(AgeError::Recipient), "{wrong}");
        }
    }

    #[test]
    fn a_point_of_small_order_is_no_recipient() {
        for point in [[0; 32], std::array::from_fn(|at| u8::from(at == 0))] {
            let text = bech32::encode("age", &point);
            assert_eq!(Recipient::parse(&text), Err(AgeError::Recipient), "{text}");
        }
    }

    #[test]
    fn what_was_changed_gives_no_byte_however_often_it_is_asked_for() {
        let one = Identity::generate();
        let mut file = sealed(&vec![7; 200_000], &[one.recipient().unwrap()]);
        let middle = file.len() / 2;
        file[middle] ^= 1;
        let mut reader = Reader::new(Cursor::new(file), std::slice::from_ref(&one)).unwrap();
        let mut sound = Vec::new();
        assert!(reader.read_to_end(&mut sound).is_err());
        assert_eq!(sound, vec![7; 65_536], "what came before, and nothing of what was changed");
        for _ in 0..4 {
            let mut more = [0; 100];
            assert!(reader.read(&mut more).is_err());
            assert_eq!(more, [0; 100]);
        }
    }

    #[test]
    fn a_file_that_lost_a_piece_on_its_way_is_never_finished() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
                Ok(bytes.len())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut writer = Writer::new(Full(70_000), &[Identity::generate().recipient().unwrap()]).unwrap();
        assert!(writer.write_all(&vec![7; 200_000]).is_err());
        assert!(writer.write_all(b"more").is_err());
        assert!(writer.finish().is_err());
    }

    #[test]
    fn every_recipient_opens_it_and_nobody_else_whatever_its_length() {
        let people = [Identity::generate(), Identity::generate()];
        let recipients = people.each_ref().map(|one| one.recipient().unwrap());
        for length in [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000] {
            let content: Vec<u8> = (0..=250).cycle().take(length).collect();
            let file = sealed(&content, &recipients);
            for one in &people {
                assert_eq!(opened(&file, one).unwrap(), content, "{length}");
            }
            assert!(opened(&file, &Identity::generate()).is_err());
        }
    }

    #[test]
    fn one_flipped_bit_and_one_missing_byte_anywhere_are_seen() {
        let one = Identity::generate();
        let file = sealed(&vec![7; 70_000], &[one.recipient().unwrap()]);
        for at in (0..300).chain((300..file.len()).step_by(997)).chain([file.len() - 1]) {
            let mut wrong = file.clone();
            wrong[at] ^= 1;
            assert!(opened(&wrong, &one).is_err(), "byte {at}");
        }
        for length in [10, 150, 250, file.len() - 4500, file.len() - 1] {
            assert!(opened(&file[..length], &one).is_err(), "cut at {length}");
        }
        assert!(opened(&[&file[..], b"x"].concat(), &one).is_err());
    }
}
