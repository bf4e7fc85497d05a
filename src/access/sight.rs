//! What a caller may see: up to which class of fields, and whether names and numbers are masked.

use crate::directory::profile::Profile;
use crate::domain::endpoint::Fields;
use crate::domain::field_class::FieldClass;
use crate::domain::mask;

/// What a caller sees of whatever it may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// The highest class of fields.
    pub class: FieldClass,
    /// Whether names and numbers are in clear, where the class lets them be seen at all.
    pub unmasked: bool,
}

impl Sight {
    /// Everything, in clear.
    pub const FULL: Self = Self { class: FieldClass::Sensitive, unmasked: true };
    /// Everything, with names and numbers masked.
    pub const MASKED: Self = Self { class: FieldClass::Sensitive, unmasked: false };

    /// Whether nothing of `other` is beyond this.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.class >= other.class && (self.unmasked || !other.unmasked)
    }

    /// Whether names and numbers are shown in clear.
    #[must_use]
    pub fn shows_names(self) -> bool {
        self.class >= FieldClass::Personal && self.unmasked
    }

    /// Whether content is shown, masked or not.
    #[must_use]
    pub fn has_content(self) -> bool {
        self.class >= FieldClass::Sensitive
    }

    /// How much is shown of events and messages at most.
    #[must_use]
    pub const fn fields(self) -> Fields {
        match (self.class, self.unmasked) {
            (FieldClass::Public, _) => Fields::Ids,
            (FieldClass::Internal | FieldClass::Personal, _) => Fields::Metadata,
            (FieldClass::Sensitive, false) => Fields::Masked,
            (FieldClass::Sensitive, true) => Fields::Full,
        }
    }

    /// What is shown of a profile.
    #[must_use]
    pub fn profile(self, profile: Profile) -> Profile {
        if self.shows_names() {
            profile
        } else if self.class >= FieldClass::Personal {
            masked(&profile)
        } else {
            Profile::default()
        }
    }
}

fn masked(profile: &Profile) -> Profile {
    let name = |text: &Option<String>| text.as_deref().map(mask::name);
    let id = |text: &Option<String>| text.as_deref().map(|text| mask::text(text).into_owned());
    Profile {
        name: name(&profile.name),
        phone: id(&profile.phone),
        user_id: id(&profile.user_id),
        parent_user_id: id(&profile.parent_user_id),
        username: name(&profile.username),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile() -> Profile {
        let text = |text: &str| Some(text.to_owned());
        Profile {
            name: text("Ana Beispiel"),
            phone: text("4915199900099"),
            user_id: text("DE.13491208655302741918"),
            parent_user_id: None,
            username: text("ana.beispiel"),
        }
    }

    #[test]
    fn a_profile_is_masked_unless_the_key_sees_in_clear_and_empty_below_personal() {
        let shown = Sight::MASKED.profile(profile());
        let texts = [shown.name, shown.phone, shown.user_id, shown.parent_user_id, shown.username];
        assert_eq!(texts.map(Option::unwrap_or_default), ["A•••", "+49 ••• ••• 99", "•••", "", "a•••"]);
        let personal = Sight { class: FieldClass::Personal, unmasked: true };
        assert!(personal.profile(profile()) == profile() && !personal.has_content());
        let internal = Sight { class: FieldClass::Internal, unmasked: true };
        assert!(internal.profile(profile()) == Profile::default());
    }

    #[test]
    fn nobody_covers_a_wider_sight() {
        for class in FieldClass::ALL {
            assert_eq!(FieldClass::parse(class.as_str()), Some(class));
            let [masked, clear] = [false, true].map(|unmasked| Sight { class, unmasked });
            assert!(clear.covers(masked) && !masked.covers(clear) && Sight::FULL.covers(clear));
        }
        assert!(!Sight { class: FieldClass::Personal, unmasked: true }.covers(Sight::MASKED));
    }
}
