//! Films and sound in boxes (ISO/IEC 14496-12: MP4, 3GP, M4A). Nothing moves, since tables in the file say where each sample lies: what is
//! told beside the film becomes free space of the same length, and its times become zero.

/// Boxes that hold boxes in which something is told.
const HOLDERS: [&[u8; 4]; 5] = [b"moov", b"trak", b"mdia", b"moof", b"traf"];
/// Boxes of users, applications and cameras, and what was free and may be anything.
const TELLING: [&[u8; 4]; 5] = [b"udta", b"meta", b"uuid", b"free", b"skip"];
/// A box with boxes in it lies no deeper in a film that is one.
const DEEPEST: u8 = 8;

/// A film without what it says beside itself; `None`: it has not that form.
pub(super) fn film(file: &[u8]) -> Option<Vec<u8>> {
    file.get(4..8).filter(|kind| *kind == b"ftyp")?;
    let mut out = file.to_vec();
    boxes(&mut out, DEEPEST)?;
    Some(out)
}

/// One box behind the other, to the end.
fn boxes(mut rest: &mut [u8], deeper: u8) -> Option<()> {
    while !rest.is_empty() {
        let (head, size) = extent(rest)?;
        let (one, behind) = rest.split_at_mut_checked(size)?;
        let (head, content) = one.split_at_mut_checked(head)?;
        let kind: [u8; 4] = head.get(4..8)?.try_into().ok()?;
        if TELLING.contains(&&kind) {
            head.get_mut(4..8)?.copy_from_slice(b"free");
            content.fill(0);
        } else if HOLDERS.contains(&&kind) {
            boxes(content, deeper.checked_sub(1)?)?;
        } else {
            untimed(kind, content)?;
        }
        rest = behind;
    }
    Some(())
}

/// Bytes of the head of the first box, and of all of it. A length of one stands in eight bytes behind the type; none: up to the end.
fn extent(rest: &[u8]) -> Option<(usize, usize)> {
    let size = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?);
    let (head, size) = match size {
        0 => (8, rest.len()),
        1 => (16, usize::try_from(u64::from_be_bytes(rest.get(8..16)?.try_into().ok()?)).ok()?),
        _ => (8, usize::try_from(size).ok()?),
    };
    (size >= head && size <= rest.len()).then_some((head, size))
}

/// When a film or a track was made and changed, and what the program is called that made it.
fn untimed(kind: [u8; 4], content: &mut [u8]) -> Option<()> {
    match &kind {
        b"mvhd" | b"tkhd" | b"mdhd" => {
            let end = if *content.first()? == 1 { 20 } else { 12 };
            content.get_mut(4..end)?.fill(0);
        }
        // Version and flags, four bytes, the kind of the track, twelve bytes; then a name.
        b"hdlr" => content.get_mut(24..)?.fill(0),
        _ => {}
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn boxed(kind: &[u8], content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(content.len() + 8).unwrap().to_be_bytes();
        [&size[..], kind, content].concat()
    }

    fn long(kind: &[u8], content: &[u8]) -> Vec<u8> {
        let size = (content.len() as u64 + 16).to_be_bytes();
        [&[0, 0, 0, 1][..], kind, &size, content].concat()
    }

    /// A film with this in the place of what is told, of times and of names.
    fn made(told: &[u8], filled: u8) -> Vec<u8> {
        let all = |length: usize| vec![filled; length];
        let head = |times: usize, version: u8| [&[version, 0, 0, 0][..], &all(times), &[7; 20]].concat();
        let name = [&[0; 4][..], &[0; 4], b"vide", &[0; 12], &all(9)].concat();
        let media = [boxed(b"mdhd", &head(16, 1)), boxed(b"hdlr", &name), boxed(b"minf", b"samples")].concat();
        let track = [boxed(b"tkhd", &head(8, 0)), boxed(b"mdia", &media), boxed(told, &all(13))].concat();
        let movie = [boxed(b"mvhd", &head(8, 0)), boxed(b"trak", &track), long(told, &all(40))].concat();
        [boxed(b"ftyp", b"isom"), boxed(told, &all(30)), boxed(b"moov", &movie), long(b"mdat", &[9; 50])].concat()
    }

    #[test]
    fn a_film_keeps_its_samples_where_they_are_and_loses_what_it_says_beside_them() {
        for told in [&b"udta"[..], b"meta", b"uuid", b"skip", b"free"] {
            let bare = made(b"free", 0);
            assert_eq!(film(&made(told, b'A')), Some(bare.clone()));
            assert_eq!(film(&bare), Some(bare), "a second time nothing changes");
        }
    }

    #[test]
    fn the_last_box_may_reach_to_the_end() {
        let whole =
            [boxed(b"ftyp", b"isom"), boxed(b"udta", b"Ana"), [&[0; 4][..], b"mdat", &[9; 5]].concat()].concat();
        let bare =
            [boxed(b"ftyp", b"isom"), boxed(b"free", &[0; 3]), [&[0; 4][..], b"mdat", &[9; 5]].concat()].concat();
        assert_eq!(film(&whole), Some(bare));
    }

    #[test]
    fn what_ends_within_a_box_or_goes_deeper_than_any_film_is_none() {
        let whole = made(b"udta", b'A');
        for length in 0..whole.len() {
            let cut = film(&whole[..length]);
            assert!(cut.is_none_or(|out| !out.contains(&b'A')), "{length}");
        }
        let mut deep = Vec::new();
        for _ in 0..1000 {
            deep = boxed(b"moov", &deep);
        }
        assert_eq!(film(&[boxed(b"ftyp", b"isom"), deep].concat()), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_change_its_length(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let file = [&boxed(b"ftyp", b"isom")[..], &bytes].concat();
            prop_assert!(film(&file).is_none_or(|out| out.len() == file.len()));
        }
    }
}
