//! Media: by an id that Meta gave, or by a link that Meta fetches.

use super::place::Place;

/// Longest caption, in characters.
const CAPTION: usize = 1024;
/// Longest link, in characters.
pub(super) const LINK: usize = 2000;

/// Image, video and document.
pub(super) fn captioned(media: &Place<'_>) {
    source(media);
    media.optional_text("caption", 0..=CAPTION);
    media.optional_text("filename", 0..=CAPTION);
}

/// Audio and sticker, which Meta shows without words.
pub(super) fn bare(media: &Place<'_>) {
    source(media);
    media.optional_flag("voice");
    if let Some(caption) = media.optional("caption") {
        caption.fault("is not possible with this type");
    }
}

/// Exactly one of id and link.
pub(super) fn source(media: &Place<'_>) {
    if !media.is_object() {
        return;
    }
    match (media.optional("id"), media.optional("link")) {
        (None, None) => media.fault("must have an \"id\" or a \"link\""),
        (Some(_), Some(link)) => link.fault("must not be there beside an \"id\""),
        (Some(id), None) if id.value().is_u64() => {}
        (Some(id), None) => {
            id.text(1..=500);
        }
        (None, Some(link)) => link.url(LINK),
    }
}
