//! Sound: the comments of voice messages (Opus in Ogg, RFC 3533 and 7845), and the tags before and behind MP3 and AAC (ID3).

/// A page's head, up to the lengths of its segments.
const PAGE: usize = 27;
const CHECKSUM: std::ops::Range<usize> = 22..26;

/// A voice message without what its comments say. They become zeros, as padding may be; `None`: they do not stand on one page of their own.
pub(super) fn voice(file: &[u8]) -> Option<Vec<u8>> {
    let first = page(file)?;
    file.get(..first)?.get(PAGE + 1..)?.starts_with(b"OpusHead").then_some(())?;
    let second = file.get(first..).and_then(page)?;
    let mut out = file.to_vec();
    let page = out.get_mut(first..first.checked_add(second)?)?;
    let content = page.get_mut(PAGE + usize::from(*page.get(26)?)..)?;
    // No vendor, no comments, and zeros.
    content.starts_with(b"OpusTags").then_some(())?;
    content.get_mut(8..16)?;
    content.get_mut(8..)?.fill(0);
    page.get_mut(CHECKSUM)?.fill(0);
    let checksum = checksum(page).to_le_bytes();
    page.get_mut(CHECKSUM)?.copy_from_slice(&checksum);
    // Comments that go on on the next page are not known to be gone.
    let is_last = out.get(first + PAGE..first + PAGE + usize::from(*out.get(first + 26)?))?.last()? < &u8::MAX;
    is_last.then_some(out)
}

/// Bytes of the page that stands first.
fn page(rest: &[u8]) -> Option<usize> {
    rest.starts_with(b"OggS").then_some(())?;
    let segments = usize::from(*rest.get(26)?);
    let lengths = rest.get(PAGE..PAGE + segments)?;
    let size = PAGE + segments + lengths.iter().map(|length| usize::from(*length)).sum::<usize>();
    (size <= rest.len()).then_some(size)
}

/// CRC-32 with the polynomial 04c11db7, of bits as they come, beginning with zero (RFC 3533 §6).
fn checksum(page: &[u8]) -> u32 {
    page.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ (u32::from(*byte) << 24), |sum: u32, _| {
            if sum & 0x8000_0000 == 0 { sum << 1 } else { (sum << 1) ^ 0x04c1_1db7 }
        })
    })
}

/// Sound without its tags: `ID3v2` before it, `ID3v1` behind it. `None`: it does not begin with sound behind them.
pub(super) fn tagged(file: &[u8]) -> Option<Vec<u8>> {
    let mut rest = file;
    while let Some(size) = tag(rest) {
        rest = rest.get(size..)?;
    }
    if let Some(at) = rest.len().checked_sub(128)
        && rest.get(at..).is_some_and(|end| end.starts_with(b"TAG"))
    {
        rest = rest.get(..at)?;
    }
    // Each frame of MPEG sound begins with eleven bits that are set.
    matches!(rest, [0xff, second, ..] if second & 0xe0 == 0xe0).then(|| rest.to_vec())
}

/// Bytes of an `ID3v2` tag: a head of ten, what its length says in four times seven bits, and a foot if there is one.
fn tag(rest: &[u8]) -> Option<usize> {
    let head = rest.get(..10).filter(|head| head.starts_with(b"ID3"))?;
    let [flags, lengths @ ..] = head.get(5..)? else { return None };
    let size = lengths.iter().fold(0, |sum, bits| (sum << 7) | usize::from(bits & 0x7f));
    Some(size + if flags & 0x10 == 0 { 10 } else { 20 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn paged(number: u8, lengths: &[u8], content: &[u8]) -> Vec<u8> {
        let mut page = [b"OggS\0\0", &[0; 8][..], &[5; 4], &[number, 0, 0, 0], &[0; 4]].concat();
        page.push(u8::try_from(lengths.len()).unwrap());
        page.extend([lengths, content].concat());
        let sum = checksum(&page).to_le_bytes();
        page[CHECKSUM].copy_from_slice(&sum);
        page
    }

    fn of(tags: &[u8]) -> Vec<u8> {
        let length = u8::try_from(tags.len()).unwrap();
        [paged(0, &[19], &[b"OpusHead", &[1; 11][..]].concat()), paged(1, &[length], tags), paged(2, &[4], b"tone")]
            .concat()
    }

    /// The check value of this CRC as catalogues of them list it for `123456789` (CRC-32/CKSUM without its last complement and with no
    /// beginning but zero).
    #[test]
    fn the_checksum_is_that_of_ogg() {
        assert_eq!(checksum(b"123456789"), !0x765e_7680);
    }

    #[test]
    fn a_voice_message_keeps_its_sound_and_loses_its_comments() {
        let tags = [b"OpusTags", &[4, 0, 0, 0][..], b"Anas", &[1, 0, 0, 0], &[5, 0, 0, 0], b"Ort=B"].concat();
        let bare = [&b"OpusTags"[..], &vec![0; tags.len() - 8]].concat();
        assert_eq!(voice(&of(&tags)), Some(of(&bare)));
        assert_eq!(voice(&of(b"OpusTags")), None, "too short to be comments");
        assert_eq!(voice(&of(b"anything at all")), None);
    }

    #[test]
    fn comments_that_do_not_end_on_their_page_are_left() {
        let begin = [&b"OpusTags"[..], &[b'A'; 247]].concat();
        let head = paged(0, &[19], &[b"OpusHead", &[1; 11][..]].concat());
        let whole = [head, paged(1, &[255], &begin), paged(2, &[4], b"more")].concat();
        assert_eq!(voice(&whole), None);
    }

    #[test]
    fn tags_before_and_behind_sound_go() {
        let sound = [&[0xff, 0xfb][..], &[9; 200]].concat();
        let (before, foot) = (b"ID3\x03\0\0\0\0\0\x03Ana", b"ID3\x04\0\x10\0\0\0\x02BBcccccccccc");
        let behind = [&b"TAG"[..], &[b'A'; 125]].concat();
        assert_eq!(tagged(&[&before[..], foot, &sound, &behind].concat()), Some(sound.clone()));
        assert_eq!(tagged(&sound), Some(sound));
        assert_eq!(tagged(b"ID3\x03\0\0\0\0\x7f\x7fAna"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_grow(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let ogg = [&of(b"OpusTags\0\0\0\0\0\0\0\0")[..60], &bytes].concat();
            let mp3 = [&b"ID3\x03\0\0\0\0"[..], &bytes].concat();
            prop_assert!(voice(&ogg).is_none_or(|out| out.len() <= ogg.len()));
            prop_assert!(tagged(&mp3).is_none_or(|out| out.len() <= mp3.len()));
        }
    }
}
