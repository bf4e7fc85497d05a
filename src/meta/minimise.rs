//! Leaves out of Meta's JSON what a number shall not keep of people: names, places, cards of contacts, advertisements. Whatever else
//! stands there stays byte for byte, also what we do not know.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::domain::door::{DoorPolicy, Treatment};

/// Deeper than anything of Meta's: what lies there is not looked at and stays.
const DEEPEST: usize = 48;

/// A keyed hash of a text of this kind, as text.
pub type Hasher<'h> = &'h dyn Fn(&str, &str) -> String;

/// Meta's envelope without what the policy leaves out. `None`: it is no JSON.
#[must_use]
pub fn minimise(envelope: &[u8], policy: &DoorPolicy, hash: Hasher<'_>) -> Option<Vec<u8>> {
    let raw: &RawValue = serde_json::from_slice(envelope).ok()?;
    let mut out = String::with_capacity(envelope.len());
    Edit { policy, hash }.value(raw, Place::Anywhere, DEEPEST, &mut out);
    Some(out.into_bytes())
}

/// What stands in the place of a name. `None`: nothing.
#[must_use]
pub fn name(name: &str, policy: &DoorPolicy, hash: Hasher<'_>) -> Option<String> {
    match policy.names {
        Treatment::Keep => Some(name.to_owned()),
        Treatment::Drop => None,
        Treatment::Hash => Some(format!("hash:{}", hash("names", name))),
    }
}

/// Where in the document a value stands, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Anywhere,
    /// What people call themselves stands here under `name`, `full_name`, `first_name`.
    Profile,
    /// A sentence of Meta's stands here under `body`, with a name in it: "User Ana changed from … to …".
    System,
}

struct Edit<'e> {
    policy: &'e DoorPolicy,
    hash: Hasher<'e>,
}

impl Edit<'_> {
    fn value(&self, raw: &RawValue, place: Place, depth: usize, out: &mut String) {
        let text = raw.get();
        let deeper = depth.checked_sub(1);
        match (text.as_bytes().first(), deeper) {
            (Some(b'{'), Some(deeper)) if self.object(text, place, deeper, out) => {}
            (Some(b'['), Some(deeper)) => match serde_json::from_str::<Vec<&RawValue>>(text) {
                Ok(items) => self.list(&items, place, deeper, out),
                Err(_) => out.push_str(text),
            },
            _ => out.push_str(text),
        }
    }

    fn list(&self, items: &[&RawValue], place: Place, depth: usize, out: &mut String) {
        out.push('[');
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            self.value(item, place, depth, out);
        }
        out.push(']');
    }

    /// False: it does not parse, and nothing was written.
    fn object(&self, text: &str, place: Place, depth: usize, out: &mut String) -> bool {
        let Ok(Members(members)) = serde_json::from_str::<Members<'_>>(text) else { return false };
        let kind = members.iter().find(|(name, _)| name == "type").map(|(_, kind)| kind.get());
        out.push('{');
        let mut is_first = true;
        for (name, raw) in &members {
            let of = self.of(name, kind, place);
            if of.is_some_and(|(_, treatment)| treatment == Treatment::Drop) {
                continue;
            }
            if !std::mem::take(&mut is_first) {
                out.push(',');
            }
            out.push_str(&serde_json::Value::from(name.as_str()).to_string());
            out.push(':');
            match of {
                Some((kind, Treatment::Hash)) => self.hashed(kind, raw, out),
                _ => {
                    let place = match name.as_str() {
                        "profile" | "contact" => Place::Profile,
                        "system" => Place::System,
                        _ => Place::Anywhere,
                    };
                    self.value(raw, place, depth, out);
                }
            }
        }
        out.push('}');
        true
    }

    /// What kind of data a member is, and what is to be done with it; `None`: it is none of those that are left out.
    fn of(&self, name: &str, kind: Option<&str>, place: Place) -> Option<(&'static str, Treatment)> {
        match (name, kind, place) {
            ("name" | "full_name" | "first_name", _, Place::Profile) | ("body", _, Place::System) => {
                Some(("names", self.policy.names))
            }
            ("location", Some("\"location\""), _) => Some(("locations", self.policy.locations)),
            ("contacts", Some("\"contacts\""), _) => Some(("contacts", self.policy.contacts)),
            ("referral", _, _) => Some(("referrals", self.policy.referrals)),
            _ => None,
        }
        .filter(|(_, treatment)| *treatment != Treatment::Keep)
    }

    /// A text stays a text, an object an object, and each item of a list is hashed for itself.
    fn hashed(&self, kind: &str, raw: &RawValue, out: &mut String) {
        let text = raw.get();
        let hash = |of: &str| (self.hash)(kind, of);
        let written = match text.as_bytes().first() {
            Some(b'"') => {
                let name: String = serde_json::from_str(text).unwrap_or_default();
                format!("\"hash:{}\"", hash(&name))
            }
            Some(b'[') => {
                let items = serde_json::from_str::<Vec<&RawValue>>(text).unwrap_or_default();
                let items: Vec<String> =
                    items.iter().map(|item| format!("{{\"hash\":\"{}\"}}", hash(item.get()))).collect();
                format!("[{}]", items.join(","))
            }
            _ => format!("{{\"hash\":\"{}\"}}", hash(source(text).as_deref().unwrap_or(text))),
        };
        out.push_str(&written);
    }
}

/// The advertisement itself: each click on it has a mark of its own, which would make every hash another.
fn source(referral: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Source {
        source_id: String,
    }
    serde_json::from_str::<Source>(referral).ok().map(|source| source.source_id)
}

/// The members of an object in their order, each value as it is written.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVELOPE: &str = r#"{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"value":{"contacts":[{"profile":{"name":"Ana \"A\"","username":"ana"},"wa_id":"49"}],"messages":[{"from":"49","type":"location","new":1.10,"location":{"latitude":1.0},"referral":{"source_id":"ad1","ctwa_clid":"x"}},{"type":"contacts","contacts":[{"name":{"formatted_name":"Bob"}}]},{"type":"text","text":{"body":"name"},"name":"kept"}]},"field":"messages"}]}]}"#;

    fn hash(kind: &str, text: &str) -> String {
        format!("<{kind} {}>", text.len())
    }

    fn done(policy: DoorPolicy) -> String {
        String::from_utf8(minimise(ENVELOPE.as_bytes(), &policy, &hash).unwrap()).unwrap()
    }

    #[test]
    fn what_is_kept_stays_byte_for_byte() {
        assert_eq!(done(DoorPolicy::default()), ENVELOPE);
    }

    #[test]
    fn what_is_dropped_is_gone_and_all_else_stays() {
        let all = Treatment::Drop;
        let text = done(DoorPolicy { names: all, locations: all, contacts: all, referrals: all });
        assert!(!["Ana", "latitude", "Bob", "ad1"].iter().any(|word| text.contains(word)), "{text}");
        let kept = [r#""profile":{"username":"ana"}"#, r#""new":1.10"#, r#""type":"location""#, r#""name":"kept""#];
        assert!(kept.iter().all(|part| text.contains(part)), "{text}");
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
    }

    #[test]
    fn what_is_hashed_keeps_its_form() {
        let all = Treatment::Hash;
        let text = done(DoorPolicy { names: all, locations: all, contacts: all, referrals: all });
        let parts = [
            r#""name":"hash:<names 7>""#,
            r#""location":{"hash":"<locations 16>"}"#,
            r#""contacts":[{"hash":"<contacts 33>"}]"#,
            r#""referral":{"hash":"<referrals 3>"}"#,
        ];
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }

    #[test]
    fn a_sentence_of_metas_that_names_somebody_goes_with_the_names_and_no_other_body_does() {
        let item = r#"{"type":"system","system":{"body":"User Ana changed from 1 to 2","wa_id":"2","type":"user_changed_number"},"text":{"body":"Ana"}}"#;
        let done = |names| {
            let policy = DoorPolicy { names, ..DoorPolicy::default() };
            String::from_utf8(minimise(item.as_bytes(), &policy, &hash).unwrap()).unwrap()
        };
        assert_eq!(done(Treatment::Keep), item);
        assert_eq!(done(Treatment::Drop), item.replace(r#""body":"User Ana changed from 1 to 2","#, ""));
        assert_eq!(done(Treatment::Hash), item.replace("User Ana changed from 1 to 2", "hash:<names 28>"));
    }

    #[test]
    fn one_kind_alone_is_left_out_and_what_is_no_json_is_none() {
        let text = done(DoorPolicy { locations: Treatment::Drop, ..DoorPolicy::default() });
        assert_eq!(text, ENVELOPE.replace(r#","location":{"latitude":1.0}"#, ""));
        assert!(minimise(b"\xff", &DoorPolicy::default(), &hash).is_none());
    }
}
