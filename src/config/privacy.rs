//! `[privacy]`: who answers for the data, and what the record of processing says that no measurement can.

use super::reader::Reader;

/// What stands in the record of processing beside what is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivacyConfig {
    /// Who decides on purposes and means. Empty: not said.
    pub controller: String,
    /// How they are reached.
    pub contact: String,
    /// The data protection officer, and how they are reached.
    pub officer: String,
    /// What the data are processed for.
    pub purposes: Vec<String>,
    /// Where the servers are that store them.
    pub hosting: String,
}

impl PrivacyConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let [controller, contact, officer, hosting] = ["controller", "contact", "officer", "hosting"]
            .map(|key| reader.parsed(&format!("privacy.{key}"), "a text"));
        let purposes = reader.list("privacy.purposes", "texts");
        Some(Self {
            controller: controller?,
            contact: contact?,
            officer: officer?,
            purposes: purposes?,
            hosting: hosting?,
        })
    }
}
