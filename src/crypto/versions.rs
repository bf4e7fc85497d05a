//! Content in several versions: the rest, which lives as long as the content, and before it fuller ones, each sealed for itself under a key that
//! dies sooner. Written into the one value that is sealed; layout: `docs/envelope.md`.

use super::envelope::Sealed;

/// How such content begins. No JSON does.
const MAGIC: &[u8; 8] = b"\0wxvers1";

/// Packs `rest` behind fuller versions of it, the fullest first.
#[must_use]
pub fn pack(fuller: &[Sealed], rest: &[u8]) -> Vec<u8> {
    let bytes: usize = fuller.iter().map(|one| one.as_bytes().len() + 4).sum();
    let mut out = Vec::with_capacity(MAGIC.len() + 1 + bytes + rest.len());
    out.extend_from_slice(MAGIC);
    // One for each kind of field at most.
    out.push(u8::try_from(fuller.len()).unwrap_or(u8::MAX));
    for one in fuller.iter().take(usize::from(u8::MAX)) {
        // A webhook has 3 MiB.
        out.extend_from_slice(&u32::try_from(one.as_bytes().len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(one.as_bytes());
    }
    out.extend_from_slice(rest);
    out
}

/// The fuller versions, the fullest first, and the rest. `None`: it is content of one version.
#[must_use]
pub fn unpack(content: &[u8]) -> Option<(Vec<Sealed>, &[u8])> {
    let (count, mut left) = content.strip_prefix(MAGIC)?.split_first()?;
    let mut fuller = Vec::with_capacity(usize::from(*count));
    for _ in 0..*count {
        let (length, behind) = left.split_first_chunk::<4>()?;
        let (one, behind) = behind.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        fuller.push(Sealed::from_stored(one.to_vec()));
        left = behind;
    }
    Some((fuller, left))
}

/// What is in it as long as it lives: the rest, or the only version.
#[must_use]
pub fn rest(content: &[u8]) -> &[u8] {
    unpack(content).map_or(content, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn versions_are_packed_and_unpacked_and_whatever_is_cut_is_taken_as_it_is(
            fuller in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..90), 0..5),
            rest in proptest::collection::vec(any::<u8>(), 0..90),
            cut in 0_usize..60,
        ) {
            let fuller: Vec<Sealed> = fuller.into_iter().map(Sealed::from_stored).collect();
            let packed = pack(&fuller, &rest);
            let (found, left) = unpack(&packed).unwrap();
            prop_assert!(found == fuller && left == rest);
            let head = packed.len() - rest.len();
            let cut = packed.get(..cut.min(head.saturating_sub(1))).unwrap_or_default();
            prop_assert!(unpack(cut).is_none() && super::rest(cut) == cut);
        }
    }

    #[test]
    fn json_is_one_version() {
        assert!(unpack(br#"{"object":"whatsapp_business_account"}"#).is_none());
        assert_eq!(rest(b"{}"), b"{}");
        assert_eq!(rest(&pack(&[], b"{}")), b"{}");
    }
}
