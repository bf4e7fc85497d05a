//! Files that Meta takes: which types there are, and how large they may be (Cloud API, media).

const KILOBYTE: u64 = 1024;
const MEGABYTE: u64 = 1024 * KILOBYTE;

/// What a file is for Meta. Messages have types of the same names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A picture.
    Image,
    /// A small picture without words.
    Sticker,
    /// Speech or music.
    Audio,
    /// A film.
    Video,
    /// Anything that is read.
    Document,
}

/// Types that Meta takes, the kind of each, and the ending of its name.
const TYPES: [(&str, FileKind, &str); 18] = [
    ("image/jpeg", FileKind::Image, "jpg"),
    ("image/png", FileKind::Image, "png"),
    ("image/webp", FileKind::Sticker, "webp"),
    ("audio/aac", FileKind::Audio, "aac"),
    ("audio/amr", FileKind::Audio, "amr"),
    ("audio/mpeg", FileKind::Audio, "mp3"),
    ("audio/mp4", FileKind::Audio, "m4a"),
    ("audio/ogg", FileKind::Audio, "ogg"),
    ("video/mp4", FileKind::Video, "mp4"),
    ("video/3gpp", FileKind::Video, "3gp"),
    ("text/plain", FileKind::Document, "txt"),
    ("application/pdf", FileKind::Document, "pdf"),
    ("application/msword", FileKind::Document, "doc"),
    ("application/vnd.ms-excel", FileKind::Document, "xls"),
    ("application/vnd.ms-powerpoint", FileKind::Document, "ppt"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", FileKind::Document, "docx"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", FileKind::Document, "xlsx"),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", FileKind::Document, "pptx"),
];

impl FileKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Image, Self::Sticker, Self::Audio, Self::Video, Self::Document];

    /// The stable name; also Meta's.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Sticker => "sticker",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Document => "document",
        }
    }

    /// From the stable name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Of a MIME type, whatever its parameters. `None`: Meta does not take it.
    #[must_use]
    pub fn of_type(mime_type: &str) -> Option<Self> {
        found(mime_type).map(|(_, kind, _)| kind)
    }

    /// The most bytes that Meta takes. Of a sticker, those of one that moves.
    #[must_use]
    pub const fn largest(self) -> u64 {
        match self {
            Self::Image => 5 * MEGABYTE,
            Self::Sticker => 500 * KILOBYTE,
            Self::Audio | Self::Video => 16 * MEGABYTE,
            Self::Document => 100 * MEGABYTE,
        }
    }
}

/// A type without its parameters.
#[must_use]
pub fn essence(mime_type: &str) -> String {
    mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The ending of the name of a file of this type.
#[must_use]
pub fn ending(mime_type: &str) -> &'static str {
    found(mime_type).map_or("bin", |(_, _, ending)| ending)
}

/// The type of files whose names end so. `None`: none that Meta takes.
#[must_use]
pub fn type_of_ending(ending: &str) -> Option<&'static str> {
    let ending = ending.to_ascii_lowercase();
    let ending = if ending == "jpeg" { "jpg" } else { &ending };
    TYPES.into_iter().find(|(.., known)| *known == ending).map(|(mime_type, ..)| mime_type)
}

fn found(mime_type: &str) -> Option<(&'static str, FileKind, &'static str)> {
    let essence = essence(mime_type);
    TYPES.into_iter().find(|(known, ..)| *known == essence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_a_kind_whatever_its_parameters_and_meta_takes_no_others() {
        assert_eq!(FileKind::of_type("audio/ogg; codecs=opus"), Some(FileKind::Audio));
        assert_eq!(FileKind::of_type("Image/JPEG"), Some(FileKind::Image));
        assert_eq!(FileKind::of_type("image/webp").map(FileKind::largest), Some(512_000));
        for other in ["image/gif", "text/html", "application/zip", "", "image"] {
            assert_eq!(FileKind::of_type(other), None, "{other}");
        }
        for kind in FileKind::ALL {
            assert_eq!(FileKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!((ending("application/pdf"), ending("text/html")), ("pdf", "bin"));
        assert_eq!((type_of_ending("JPEG"), type_of_ending("html")), (Some("image/jpeg"), None));
    }
}
