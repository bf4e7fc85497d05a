//! `[privacy]`: who answers for the data, what the record of processing says that no measurement can, and what people are told.

use std::str::FromStr;

use time::Date;
use time::macros::format_description;
use url::Url;

use super::reader::Reader;

/// What stands in the record of processing beside what is measured, and what people are told of it.
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
    /// Who else processes the data for you, as you said.
    pub processors: Vec<Processor>,
    /// Days after which an archive of a person's data is removed.
    pub export_days: u16,
    /// What people are told who write, behind the name of its version; `None`: nothing.
    pub notice: Option<(String, String)>,
    /// How people ask about their data in the chat; `None`: they cannot.
    pub in_chat: Option<InChatConfig>,
}

/// Somebody who processes the data for the operator, written `name | purpose | day`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processor {
    /// Who.
    pub name: String,
    /// What for.
    pub purpose: String,
    /// When the agreement with them and what they guarantee were last looked at (Art. 28 GDPR).
    pub reviewed: Date,
}

impl FromStr for Processor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('|').map(str::trim);
        let (Some(name), Some(purpose), Some(day), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        let fits = |part: &str| !part.is_empty() && part.chars().count() <= LONGEST_PART;
        if !fits(name) || !fits(purpose) {
            return Err(());
        }
        let reviewed = Date::parse(day, format_description!("[year]-[month]-[day]")).map_err(drop)?;
        Ok(Self { name: name.to_owned(), purpose: purpose.to_owned(), reviewed })
    }
}

/// The words by which people ask, each behind its language, such as `de:löschen`; and by which law.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InChatConfig {
    /// To be forgotten.
    pub erasure_words: Vec<String>,
    /// For a copy, to take it elsewhere.
    pub export_words: Vec<String>,
    /// For a copy, to know what is kept.
    pub access_words: Vec<String>,
    /// Whose clock their requests have.
    pub law: String,
    /// Begins the links by which people get their data in the chat, without a slash at its end; `None`: they get none there.
    pub links_at: Option<String>,
}

/// Letters of a text message, at most.
const LONGEST_NOTICE: usize = 4096;
/// Letters of the name or purpose of a processor.
const LONGEST_PART: usize = 200;
/// Letters of the name of a version.
const LONGEST_VERSION: usize = 40;

impl PrivacyConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let [controller, contact, officer, hosting] = ["controller", "contact", "officer", "hosting"]
            .map(|key| reader.parsed(&format!("privacy.{key}"), "a text"));
        let purposes = reader.list("privacy.purposes", "texts");
        let processors = reader.list("privacy.processors", "texts such as \"Example Hosting | servers | 2026-11-24\"");
        let export_days = reader.number("privacy.export_days", 1..=30);
        let notice = notice(reader);
        let in_chat = in_chat(reader);
        Some(Self {
            controller: controller?,
            contact: contact?,
            officer: officer?,
            purposes: purposes?,
            hosting: hosting?,
            processors: processors?,
            export_days: export_days?,
            notice: notice?,
            in_chat: in_chat?,
        })
    }
}

#[expect(clippy::option_option, reason = "outside: read without a fault; inside: turned on")]
fn in_chat(reader: &mut Reader) -> Option<Option<InChatConfig>> {
    let is_on = reader.flag("privacy.in_chat");
    let [erasure, export, access] = ["erasure", "export", "access"].map(|kind| {
        reader.list(
            &format!("privacy.in_chat_{kind}_words"),
            "words behind their language, such as \"en:delete my data\"",
        )
    });
    let law: Option<String> = reader.parsed("privacy.in_chat_law", "gdpr, ccpa or lgpd");
    let law = law?;
    if !["gdpr", "ccpa", "lgpd"].contains(&law.as_str()) {
        reader.fault("privacy.in_chat_law", "must be gdpr, ccpa or lgpd");
        return None;
    }
    let links_at = links_at(reader)?;
    let (erasure_words, export_words, access_words) = (erasure?, export?, access?);
    Some(is_on?.then_some(InChatConfig { erasure_words, export_words, access_words, law, links_at }))
}

#[expect(clippy::option_option, reason = "outside: read without a fault; inside: links are given")]
fn links_at(reader: &mut Reader) -> Option<Option<String>> {
    let how: Option<String> = reader.parsed("privacy.in_chat_exports", "request or link");
    let url: Option<String> = reader.parsed("privacy.public_url", "a URL");
    let (how, url) = (how?, url?);
    if !["request", "link"].contains(&how.as_str()) {
        reader.fault("privacy.in_chat_exports", "must be request or link");
        return None;
    }
    if how == "request" {
        return Some(None);
    }
    let known = Url::parse(&url).ok().filter(|url| url.scheme() == "https" && url.has_host());
    let bare = known.filter(|url| url.query().is_none() && url.fragment().is_none() && url.username().is_empty());
    if bare.is_none() {
        reader.fault(
            "privacy.public_url",
            "must be an https URL without user, query and fragment, for privacy.in_chat_exports = link",
        );
        return None;
    }
    Some(Some(url.trim_end_matches('/').to_owned()))
}

#[expect(clippy::option_option, reason = "outside: read without a fault; inside: asked for")]
fn notice(reader: &mut Reader) -> Option<Option<(String, String)>> {
    let version: Option<String> = reader.parsed("privacy.notice_version", "a word");
    let text: Option<String> = reader.parsed("privacy.notice_text", "a text");
    let (version, text) = (version?, text?);
    if version.is_empty() != text.is_empty() {
        reader.fault("privacy.notice_version", "is set together with privacy.notice_text, or neither is");
        return None;
    }
    if text.chars().count() > LONGEST_NOTICE {
        let problem = format!("must have at most {LONGEST_NOTICE} letters, as a message of WhatsApp");
        reader.fault("privacy.notice_text", problem);
        return None;
    }
    if version.len() > LONGEST_VERSION || !version.bytes().all(|byte| byte.is_ascii_graphic()) {
        reader.fault("privacy.notice_version", format!("must be at most {LONGEST_VERSION} letters without a space"));
        return None;
    }
    Some((!text.is_empty()).then_some((version, text)))
}
