//! What the installation states besides its checkpoints, signed with the key of a log: that a backup is its own. The first line is a
//! word that is no log's name, so that no statement can pass for a checkpoint.

use super::founding::FoundingError;
use super::recorder::Audit;
use crate::ids::TenantId;
use crate::tlog::note::{Note, NoteError, VerifierKey};

const BACKUP: &str = "waxseal backup v1";

/// That the manifest of a backup is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Name of the backup.
    pub backup: String,
    /// SHA-256 of its manifest, in hexadecimal.
    pub manifest: String,
}

impl Statement {
    fn text(&self) -> String {
        format!("{BACKUP}\n{}\n{}\n", self.backup, self.manifest)
    }

    /// What a signed note states.
    ///
    /// # Errors
    /// [`NoteError`]: it is none, states something else, or is not signed with the key.
    pub fn verify(note: &str, key: &VerifierKey) -> Result<Self, NoteError> {
        let note = Note::parse(note)?;
        note.verify(key)?;
        let lines: Vec<&str> = note.text().lines().collect();
        match lines.as_slice() {
            [BACKUP, backup, manifest] => Ok(Self { backup: (*backup).to_owned(), manifest: (*manifest).to_owned() }),
            _ => Err(NoteError::Malformed),
        }
    }
}

impl Audit {
    /// Signs a statement with the key of the tenant's log: a note (C2SP signed-note).
    pub async fn sign(&self, tenant: TenantId, statement: &Statement) -> Result<String, FoundingError> {
        let (signer, text) = (self.signer(tenant).await?, statement.text());
        let mut note = Note::unsigned(&text).ok_or(FoundingError::Damaged)?;
        note.add(&signer.line(&text, 0)).map_err(|_| FoundingError::Damaged)?;
        Ok(note.to_string())
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::tlog::checkpoint::Checkpoint;
    use crate::tlog::note::{Signer, Use};

    #[test]
    fn a_statement_is_no_checkpoint_and_a_checkpoint_no_statement() {
        let signer = Signer::new("waxseal/test", Use::Log, Zeroizing::new([7; 32])).unwrap();
        let signed = |text: &str| {
            let mut note = Note::unsigned(text).unwrap();
            note.add(&signer.line(text, 0)).unwrap();
            note.to_string()
        };
        let statement = Statement { backup: "waxseal-1".to_owned(), manifest: "00".to_owned() };
        assert_eq!(Statement::verify(&signed(&statement.text()), signer.verifier()), Ok(statement.clone()));
        assert_eq!(Checkpoint::parse(&statement.text()), None);
        let checkpoint = "waxseal/test\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        assert_eq!(Statement::verify(&signed(checkpoint), signer.verifier()), Err(NoteError::Malformed));
    }
}
