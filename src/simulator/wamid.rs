//! Message ids of Meta's shape. Inside the base64 stands the other party's number, then a random part, which is why a
//! wamid is personal data.

use data_encoding::{BASE64, HEXUPPER};

use crate::crypto::random;

/// A new id for a message to `recipient` (digits of a phone number, or a BSUID). Longer recipients are cut at 127 bytes.
pub fn outbound_wamid(recipient: &str) -> String {
    // Seen in Meta's ids: 0x11 marks the business's messages, whose random part has 18 hex digits.
    encode(recipient, 0x11, &HEXUPPER.encode(&random::bytes::<9>()))
}

/// A new id for a message from `sender`, as for [`outbound_wamid`].
pub fn inbound_wamid(sender: &str) -> String {
    encode(sender, 0x12, &HEXUPPER.encode(&random::bytes::<10>()))
}

fn encode(party: &str, direction: u8, random_part: &str) -> String {
    let party = party.as_bytes().get(..127).unwrap_or(party.as_bytes());
    let mut bytes = Vec::with_capacity(party.len() + random_part.len() + 9);
    bytes.extend_from_slice(&[0x1c, 0x18, party.len() as u8]);
    bytes.extend_from_slice(party);
    bytes.extend_from_slice(&[0x15, 0x02, 0x00, direction, 0x18, random_part.len() as u8]);
    bytes.extend_from_slice(random_part.as_bytes());
    bytes.push(0);
    format!("wamid.{}", BASE64.encode(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wamid_looks_like_metas_and_holds_the_number() {
        let wamid = outbound_wamid("16503879439");
        assert!(wamid.starts_with("wamid.HBgLMTY1MDM4Nzk0MzkVAgARGB"), "{wamid}");
        let bytes = BASE64.decode(wamid.trim_start_matches("wamid.").as_bytes()).unwrap();
        assert!(bytes.windows(11).any(|window| window == b"16503879439"));
        assert!(inbound_wamid("16503879439").starts_with("wamid.HBgLMTY1MDM4Nzk0MzkVAgASGB"));
    }

    #[test]
    fn two_wamids_for_one_person_differ() {
        assert_ne!(outbound_wamid("16505551234"), outbound_wamid("16505551234"));
    }
}
