//! What of people's data is left out of what Meta sends to a number, before anything of it is stored.

/// What is done with one kind of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Treatment {
    /// It is stored, sealed, as it came.
    #[default]
    Keep,
    /// It is left out.
    Drop,
    /// A keyed hash stands in its place: whether two are alike can be seen, and nothing else.
    Hash,
}

impl Treatment {
    /// Every treatment, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Keep, Self::Drop, Self::Hash];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::Hash => "hash",
        }
    }

    /// From the stable name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|treatment| treatment.as_str() == text)
    }
}

/// What is done with each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct DoorPolicy {
    /// What people call themselves.
    pub names: Treatment,
    /// Places that people share.
    pub locations: Treatment,
    /// Cards of other people that somebody shares.
    pub contacts: Treatment,
    /// The advertisement that somebody came from.
    pub referrals: Treatment,
}

impl DoorPolicy {
    /// The names of the kinds, in the order of the documentation.
    pub const KINDS: [&str; 4] = ["names", "locations", "contacts", "referrals"];

    /// Whether everything is stored as it came.
    #[must_use]
    pub fn keeps_all(&self) -> bool {
        *self == Self::default()
    }

    /// Each kind and what is done with it.
    #[must_use]
    pub const fn all(&self) -> [(&'static str, Treatment); 4] {
        let [names, locations, contacts, referrals] = Self::KINDS;
        [(names, self.names), (locations, self.locations), (contacts, self.contacts), (referrals, self.referrals)]
    }

    /// Says what is done with a kind. `None`: there is no such kind.
    pub fn set(&mut self, kind: &str, treatment: Treatment) -> Option<()> {
        *match kind {
            "names" => &mut self.names,
            "locations" => &mut self.locations,
            "contacts" => &mut self.contacts,
            "referrals" => &mut self.referrals,
            _ => return None,
        } = treatment;
        Some(())
    }

    /// As it is stored: `names:drop`.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let set = self.all().into_iter().filter(|(_, treatment)| *treatment != Treatment::Keep);
        set.map(|(kind, treatment)| format!("{kind}:{}", treatment.as_str())).collect()
    }

    /// From what is stored. A word of a later release drops what it names, and where that is not known, everything: nothing is kept that
    /// should not be.
    #[must_use]
    pub fn of_words(words: &[String]) -> Self {
        let mut policy = Self::default();
        for word in words {
            let (kind, treatment) = word.split_once(':').unwrap_or((word, ""));
            let treatment = Treatment::parse(treatment).unwrap_or(Treatment::Drop);
            if policy.set(kind, treatment).is_none() {
                let all = Treatment::Drop;
                return Self { names: all, locations: all, contacts: all, referrals: all };
            }
        }
        policy
    }

    /// For people: what is left out. `None`: nothing.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        let told = |wanted: Treatment| {
            let kinds: Vec<&str> =
                self.all().into_iter().filter(|(_, treatment)| *treatment == wanted).map(|(kind, _)| kind).collect();
            (!kinds.is_empty()).then(|| format!("{} {}", wanted.as_str(), kinds.join(", ")))
        };
        let told: Vec<String> = [Treatment::Drop, Treatment::Hash].into_iter().filter_map(told).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_stored_and_read_again_and_an_unknown_word_keeps_nothing() {
        let policy = DoorPolicy { names: Treatment::Drop, referrals: Treatment::Hash, ..DoorPolicy::default() };
        assert_eq!(policy.words(), ["names:drop", "referrals:hash"]);
        assert_eq!(DoorPolicy::of_words(&policy.words()), policy);
        assert_eq!(policy.told().unwrap(), "drop names; hash referrals");
        assert!(DoorPolicy::of_words(&[]).keeps_all());
        assert_eq!(DoorPolicy::of_words(&["faces:drop".to_owned()]).locations, Treatment::Drop);
        assert_eq!(DoorPolicy::of_words(&["names:mask".to_owned()]).names, Treatment::Drop);
    }
}
