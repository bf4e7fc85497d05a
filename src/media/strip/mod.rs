//! Takes out of pictures, films and sound what they say beside these: where and when they were made, with which device, by whom. How a JPEG is
//! to be turned stays, alone. All consist of parts, each behind its length; what does not have that form is left as it is.

mod film;
mod sound;

/// Whether files of this type are stripped.
#[must_use]
pub fn is_stripped(mime_type: &str) -> bool {
    matches!(
        mime_type,
        "image/jpeg"
            | "image/png"
            | "image/webp"
            | "video/mp4"
            | "video/3gpp"
            | "audio/mp4"
            | "audio/ogg"
            | "audio/mpeg"
            | "audio/aac"
    )
}

/// A file without what it says beside its content; `None`: it has not the form of its type.
#[must_use]
pub fn strip(mime_type: &str, file: &[u8]) -> Option<Vec<u8>> {
    match mime_type {
        "image/jpeg" => jpeg(file),
        "image/png" => png(file),
        "image/webp" => webp(file),
        "video/mp4" | "video/3gpp" | "audio/mp4" => film::film(file),
        "audio/ogg" => sound::voice(file),
        "audio/mpeg" | "audio/aac" => sound::tagged(file),
        _ => None,
    }
}

/// The four bytes at `at` as a length.
fn length(file: &[u8], at: usize, from: fn([u8; 4]) -> u32) -> Option<usize> {
    let bytes: [u8; 4] = file.get(at..at.checked_add(4)?)?.try_into().ok()?;
    usize::try_from(from(bytes)).ok()
}

/// Segments up to the first scan; then scans up to the end of the picture. What follows the end (other pictures, videos) goes.
fn jpeg(file: &[u8]) -> Option<Vec<u8>> {
    let mut out = file.get(..2).filter(|magic| *magic == [0xff, 0xd8])?.to_vec();
    let (mut at, mut is_turned) = (2, false);
    loop {
        // A marker may have fill bytes before it.
        while file.get(at..at + 2)? == [0xff, 0xff] {
            at += 1;
        }
        let &[0xff, marker] = file.get(at..at + 2)? else { return None };
        if marker == 0xd9 {
            out.extend_from_slice(&[0xff, 0xd9]);
            return Some(out);
        }
        if matches!(marker, 0x01 | 0xd0..=0xd7) {
            out.extend_from_slice(&[0xff, marker]);
            at += 2;
            continue;
        }
        let &[high, low] = file.get(at + 2..at + 4)? else { return None };
        let size = usize::from(u16::from_be_bytes([high, low]));
        let segment = file.get(at..at.checked_add(2 + size)?).filter(|_| size >= 2)?;
        at += segment.len();
        // JFIF, colour profile and Adobe's colour transform are needed to show the picture right.
        let content = segment.get(4..).unwrap_or_default();
        let is_needed = match marker {
            0xe0 => content.starts_with(b"JFIF\0"),
            0xe2 => content.starts_with(b"ICC_PROFILE\0"),
            0xee => content.starts_with(b"Adobe"),
            0xe1..=0xef | 0xfe => false,
            _ => true,
        };
        if is_needed {
            out.extend_from_slice(segment);
        } else if marker == 0xe1
            && !is_turned
            && segment.len() >= TURNED.len() + 7
            && let Some(turn) = turn(content)
        {
            out.extend_from_slice(TURNED);
            out.extend_from_slice(&[turn, 0, 0, 0, 0, 0, 0]);
            is_turned = true;
        }
        if marker == 0xda {
            let scan = scan_length(file.get(at..)?)?;
            out.extend_from_slice(file.get(at..at + scan)?);
            at += scan;
        }
    }
}

/// An EXIF segment whose one field says how the picture is to be turned, up to the value (Exif 2.3, orientation).
const TURNED: &[u8] = b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0";

/// How an EXIF segment says that the picture is to be turned, unless it stands upright.
fn turn(content: &[u8]) -> Option<u8> {
    let tiff = content.strip_prefix(b"Exif\0\0")?;
    let is_little = tiff.starts_with(b"II");
    let short = |at: usize| {
        let bytes: [u8; 2] = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let first = length(tiff, 4, if is_little { u32::from_le_bytes } else { u32::from_be_bytes })?;
    let fields = (0..usize::from(short(first)?)).map(|field| first.saturating_add(2 + field * 12));
    let mut turns = fields.filter(|at| short(*at) == Some(0x0112)).filter_map(|at| short(at.checked_add(8)?));
    turns.next().filter(|turn| (2..=8).contains(turn)).and_then(|turn| u8::try_from(turn).ok())
}

/// Bytes of a scan: up to a marker that is neither a stuffed byte nor a restart.
fn scan_length(rest: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr(0xff, rest.get(from..)?)?;
        match rest.get(at + 1)? {
            0x00 | 0xd0..=0xd7 => from = at + 2,
            0xff => from = at + 1,
            _ => return Some(at),
        }
    }
}

/// Chunks that show the picture; texts, times and EXIF go, and so does what follows the end.
fn png(file: &[u8]) -> Option<Vec<u8>> {
    const MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";
    const KEPT: [&[u8]; 12] =
        [b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"acTL", b"fcTL", b"fdAT"];
    let mut out = file.get(..8).filter(|magic| *magic == MAGIC)?.to_vec();
    let mut at = 8;
    loop {
        let size = length(file, at, u32::from_be_bytes)?;
        let chunk = file.get(at..at.checked_add(size)?.checked_add(12)?)?;
        let kind = chunk.get(4..8)?;
        if KEPT.contains(&kind) {
            out.extend_from_slice(chunk);
        }
        at += chunk.len();
        if kind == b"IEND" {
            return Some(out);
        }
    }
}

/// Chunks that show the picture; EXIF and XMP go, and the flags that announce them.
fn webp(file: &[u8]) -> Option<Vec<u8>> {
    const KEPT: [&[u8]; 7] = [b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"];
    const EXIF_AND_XMP: u8 = 0x08 | 0x04;
    let is_webp = file.get(..4)? == b"RIFF" && file.get(8..12)? == b"WEBP";
    let end = length(file, 4, u32::from_le_bytes)?.checked_add(8).filter(|end| is_webp && *end <= file.len())?;
    let (mut out, mut at) = (b"RIFF\0\0\0\0WEBP".to_vec(), 12);
    while at < end {
        let size = length(file, at + 4, u32::from_le_bytes)?;
        let padded = size.checked_add(size % 2)?.checked_add(8)?;
        let chunk = file.get(at..at.checked_add(padded)?.min(end))?;
        if chunk.len() < size + 8 {
            return None;
        }
        let kind = chunk.get(..4)?;
        if KEPT.contains(&kind) {
            let begin = out.len();
            out.extend_from_slice(chunk);
            if let Some(flags) = out.get_mut(begin + 8).filter(|_| kind == b"VP8X") {
                *flags &= !EXIF_AND_XMP;
            }
        }
        at += padded;
    }
    let size = u32::try_from(out.len() - 8).ok()?.to_le_bytes();
    out.get_mut(4..8)?.copy_from_slice(&size);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
        let size = u16::try_from(content.len() + 2).unwrap().to_be_bytes();
        [&[0xff, marker], &size[..], content].concat()
    }

    fn chunk(kind: &[u8], content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&size[..], kind, content, &[0; 4]].concat()
    }

    fn riff(kind: &[u8], content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(content.len()).unwrap().to_le_bytes();
        [kind, &size[..], content, if content.len() % 2 == 1 { &[0] } else { &[] }].concat()
    }

    fn in_riff(chunks: &[u8]) -> Vec<u8> {
        let size = u32::try_from(chunks.len() + 4).unwrap().to_le_bytes();
        [&b"RIFF"[..], &size, b"WEBP", chunks].concat()
    }

    #[test]
    fn a_jpeg_keeps_its_picture_and_loses_what_it_says_beside_it() {
        let scan = [segment(0xda, &[1, 2]), b"\x12\xff\x00\x34\xff\xd0\x56".to_vec()].concat();
        let (begin, end) = (&[0xff, 0xd8][..], &[0xff, 0xd9][..]);
        let (jfif, icc) = (segment(0xe0, b"JFIF\0\x01"), segment(0xe2, b"ICC_PROFILE\0\x01"));
        let noise = [segment(0xe1, b"Exif\0\0place"), segment(0xfe, b"by Ana"), segment(0xed, b"Photoshop")].concat();
        let whole = [begin, &jfif, &noise, &icc, &segment(0xdb, &[7; 9]), &scan, end, b"MotionPhoto"].concat();
        let bare = [begin, &jfif, &icc, &segment(0xdb, &[7; 9]), &scan, end].concat();
        assert_eq!(strip("image/jpeg", &whole), Some(bare));
    }

    #[test]
    fn a_jpeg_that_lies_on_its_side_is_turned_as_before_and_says_nothing_else() {
        let picture = [segment(0xdb, &[7; 9]), segment(0xda, &[1]), b"\x12\xff\xd9".to_vec()].concat();
        let jpeg = |exif: &[u8]| [&[0xff, 0xd8][..], &segment(0xe1, exif), &picture].concat();
        let field =
            |order: &[u8], count: &[u8], fields: &[u8]| [b"Exif\0\0", order, count, fields, b"\0\0\0\0 more"].concat();
        let place = b"\x88\x25\0\x04\0\0\0\x01\0\0\0\x40";
        let turned = b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0";
        let whole = field(b"MM\0\x2a\0\0\0\x08", b"\0\x02", &[&place[..], turned].concat());
        let bare = field(b"MM\0\x2a\0\0\0\x08", b"\0\x01", turned);
        let bare = &bare[..bare.len() - 5];
        assert_eq!(strip("image/jpeg", &jpeg(&whole)), Some(jpeg(bare)));
        let upright = field(b"MM\0\x2a\0\0\0\x08", b"\0\x01", b"\x01\x12\0\x03\0\0\0\x01\0\x01\0\0");
        assert_eq!(strip("image/jpeg", &jpeg(&upright)), Some([&[0xff, 0xd8][..], &picture].concat()));
        let little = field(b"II\x2a\0\x08\0\0\0", b"\x01\0", b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0");
        assert_eq!(strip("image/jpeg", &jpeg(&little)), Some(jpeg(bare)), "whichever end comes first");
    }

    #[test]
    fn a_png_keeps_its_picture_and_loses_what_it_says_beside_it() {
        let magic = b"\x89PNG\r\n\x1a\n";
        let (head, data, end) = (chunk(b"IHDR", &[1; 13]), chunk(b"IDAT", b"pixels"), chunk(b"IEND", b""));
        let noise = [chunk(b"tEXt", b"by Ana"), chunk(b"eXIf", b"place"), chunk(b"tIME", b"then")].concat();
        let whole = [&magic[..], &head, &noise, &data, &end, b"more"].concat();
        assert_eq!(strip("image/png", &whole), Some([&magic[..], &head, &data, &end].concat()));
    }

    #[test]
    fn a_webp_keeps_its_picture_and_loses_what_it_says_beside_it() {
        let (flags, bare) = ([0x1c, 0, 0, 0, 1, 0, 0, 1, 0, 0], [0x10, 0, 0, 0, 1, 0, 0, 1, 0, 0]);
        let picture = riff(b"VP8 ", b"pixel");
        let whole = [riff(b"VP8X", &flags), picture.clone(), riff(b"EXIF", b"place"), riff(b"XMP ", b"Ana")].concat();
        let kept = [riff(b"VP8X", &bare), picture].concat();
        assert_eq!(strip("image/webp", &in_riff(&whole)), Some(in_riff(&kept)));
    }

    #[test]
    fn what_has_another_form_than_its_type_is_left_as_it_is() {
        for kind in ["image/jpeg", "image/png", "image/webp", "video/mp4"] {
            assert_eq!(strip(kind, b"no picture at all"), None);
            assert_eq!(strip(kind, b""), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_grow(
            head in 0usize..3, bytes in proptest::collection::vec(any::<u8>(), 0..300), swap in any::<bool>()
        ) {
            let heads: [&[u8]; 3] = [&[0xff, 0xd8, 0xff], b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBP"];
            let file = if swap { bytes } else { [heads[head], &bytes].concat() };
            for kind in ["image/jpeg", "image/png", "image/webp"] {
                prop_assert!(strip(kind, &file).is_none_or(|out| out.len() <= file.len()));
            }
        }
    }
}
