//! The classes of fields, by how much they tell of somebody.

/// How much a field tells of somebody. Whoever may see a class may see those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldClass {
    /// Our random ids, types, times.
    Public,
    /// Settings, states, error codes, Meta's words that describe without content.
    Internal,
    /// Names, numbers and Meta's ids of people.
    Personal,
    /// What people write, and what is written to them.
    Sensitive,
}

impl FieldClass {
    /// Every class, from the least to the most.
    pub const ALL: [Self; 4] = [Self::Public, Self::Internal, Self::Personal, Self::Sensitive];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Personal => "personal",
            Self::Sensitive => "sensitive",
        }
    }

    /// From the stable name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == text)
    }
}
