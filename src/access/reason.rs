//! Why somebody is shown a contact in clear: words of a closed list, because they stand in the log for good and must name nobody.

/// A reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// To answer the contact, or to call back.
    Answer,
    /// To find the person in another system.
    Match,
    /// The contact complains.
    Complaint,
    /// The person asks about their data.
    DataRequest,
    /// The contact may be up to no good.
    Abuse,
    /// A law or a court asks.
    Legal,
    /// Something went wrong, and somebody looks into it.
    Incident,
}

impl Reason {
    /// Every reason, in the order of the documentation.
    pub const ALL: [Self; 7] =
        [Self::Answer, Self::Match, Self::Complaint, Self::DataRequest, Self::Abuse, Self::Legal, Self::Incident];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Match => "match",
            Self::Complaint => "complaint",
            Self::DataRequest => "data_request",
            Self::Abuse => "abuse",
            Self::Legal => "legal",
            Self::Incident => "incident",
        }
    }

    /// From the stable name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}
