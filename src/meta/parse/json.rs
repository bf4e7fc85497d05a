//! A map of a JSON text: where every value begins and ends. Values are never rebuilt, only pointed at, so that what is
//! cut out later is Meta's byte for byte: numbers, escapes, unknown keys and half surrogates included.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// Containers inside containers. Readers built on `serde_json` stop at 128; the difference is room for the event JSON
/// that an envelope travels in.
pub(super) const MAX_DEPTH: usize = 120;

/// One value or one key, in the order of the text.
struct Node {
    start: u32,
    end: u32,
    /// The first node behind this one and everything in it.
    next: u32,
    /// Whether this is a string with escapes.
    escaped: bool,
}

/// A JSON text and its map. Objects are followed by key, value, key, value; arrays by their elements.
pub(super) struct Document<'t> {
    text: &'t str,
    nodes: Vec<Node>,
}

impl<'t> Document<'t> {
    /// `None` when the bytes are not UTF-8, not JSON or nested deeper than [`MAX_DEPTH`].
    pub(super) fn read(bytes: &'t [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        // The grammar is serde_json's business. What follows may rely on it.
        serde_json::from_str::<&RawValue>(text).ok()?;
        Some(Self { text, nodes: map(text)? })
    }

    /// The outermost value.
    pub(super) fn root(&self) -> Value<'_> {
        Value { document: self, at: 0 }
    }
}

/// Walks a valid JSON text once.
fn map(text: &str) -> Option<Vec<Node>> {
    let bytes = text.as_bytes();
    u32::try_from(bytes.len()).ok()?;
    let mut nodes: Vec<Node> = Vec::with_capacity(bytes.len() / 12 + 8);
    let mut open: Vec<usize> = Vec::with_capacity(16);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at as u32;
        at = match byte {
            b'{' | b'[' if open.len() == MAX_DEPTH => return None,
            b'{' | b'[' => {
                open.push(nodes.len());
                nodes.push(Node { start, end: 0, next: 0, escaped: false });
                at + 1
            }
            b'}' | b']' => {
                let next = nodes.len() as u32;
                let container = nodes.get_mut(open.pop()?)?;
                (container.end, container.next) = (start + 1, next);
                at + 1
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => at + 1,
            _ => {
                let (end, escaped) = if byte == b'"' { string_end(bytes, at) } else { (literal_end(bytes, at), false) };
                nodes.push(Node { start, end: end as u32, next: nodes.len() as u32 + 1, escaped });
                end
            }
        };
    }
    Some(nodes)
}

/// Behind the closing quote of the string that opens at `start`, and whether there is an escape in it.
fn string_end(bytes: &[u8], start: usize) -> (usize, bool) {
    let (mut at, mut escaped) = (start + 1, false);
    while let Some(step) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += step;
        if bytes.get(at) == Some(&b'"') {
            return (at + 1, escaped);
        }
        (at, escaped) = (at + 2, true);
    }
    (bytes.len(), escaped)
}

/// Behind a number, `true`, `false` or `null`.
fn literal_end(bytes: &[u8], start: usize) -> usize {
    let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
    bytes.iter().skip(start).position(ends).map_or(bytes.len(), |length| start + length)
}

/// A place on the map.
#[derive(Clone, Copy)]
pub(super) struct Value<'d> {
    document: &'d Document<'d>,
    at: u32,
}

impl<'d> Value<'d> {
    fn node(self) -> Option<&'d Node> {
        self.document.nodes.get(self.at as usize)
    }

    /// The value as written.
    pub(super) fn raw(self) -> &'d str {
        let span = self.node().and_then(|node| self.document.text.get(node.start as usize..node.end as usize));
        span.unwrap_or_default()
    }

    /// The number of this place: ascending in the order of the text, children behind their parents.
    pub(super) fn place(self) -> u32 {
        self.at
    }

    /// Whether `place` is this value or inside it.
    pub(super) fn covers(self, place: u32) -> bool {
        (self.at..self.next()).contains(&place)
    }

    fn next(self) -> u32 {
        self.node().map_or(u32::MAX, |node| node.next)
    }

    fn starts_with(self, byte: u8) -> bool {
        self.node().and_then(|node| self.document.text.as_bytes().get(node.start as usize)) == Some(&byte)
    }

    pub(super) fn is_object(self) -> bool {
        self.starts_with(b'{')
    }

    pub(super) fn is_array(self) -> bool {
        self.starts_with(b'[')
    }

    pub(super) fn is_null(self) -> bool {
        self.raw() == "null"
    }

    /// The values directly inside, without telling keys from values.
    fn children(self, inside: bool) -> impl Iterator<Item = Value<'d>> {
        let end = if inside { self.next() } else { self.at };
        let mut at = self.at + 1;
        std::iter::from_fn(move || {
            let child = Value { document: self.document, at };
            (at < end).then(|| at = child.next())?;
            Some(child)
        })
    }

    /// The elements of an array; none of anything else.
    pub(super) fn elements(self) -> impl Iterator<Item = Value<'d>> {
        self.children(self.is_array())
    }

    /// Key and value of an object's members, doubled keys included; none of anything else.
    pub(super) fn members(self) -> impl Iterator<Item = (Key<'d>, Value<'d>)> {
        let mut children = self.children(self.is_object());
        std::iter::from_fn(move || Some((Key(children.next()?), children.next()?)))
    }

    /// The member of that name; of doubled keys the last, as JSON readers have it.
    pub(super) fn get(self, name: &str) -> Option<Value<'d>> {
        self.members().filter(|(key, _)| key.is(name)).last().map(|(_, value)| value)
    }

    /// The text of a string. `None` for other kinds, and for strings that Rust cannot hold: half a surrogate pair.
    pub(super) fn text(self) -> Option<Cow<'d, str>> {
        let node = self.node().filter(|_| self.starts_with(b'"'))?;
        if node.escaped {
            return serde_json::from_str(self.raw()).ok().map(Cow::Owned);
        }
        self.document.text.get(node.start as usize + 1..node.end as usize - 1).map(Cow::Borrowed)
    }

    /// The text of a string that is not empty, or a number as written: Meta is not always sure which one an id is.
    pub(super) fn word(self) -> Option<Cow<'d, str>> {
        let number = |raw: &str| raw.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        if number(self.raw()) {
            return Some(Cow::Borrowed(self.raw()));
        }
        self.text().filter(|text| !text.is_empty())
    }

    /// A whole number, written as a number or in a string.
    pub(super) fn integer(self) -> Option<i64> {
        self.word()?.trim().parse().ok()
    }
}

/// The key of a member.
#[derive(Clone, Copy)]
pub(super) struct Key<'d>(Value<'d>);

impl<'d> Key<'d> {
    /// The key as written, with its quotes.
    pub(super) fn raw(self) -> &'d str {
        self.0.raw()
    }

    /// Whether this is the key `name`, however it is escaped.
    pub(super) fn is(self, name: &str) -> bool {
        match self.0.node() {
            Some(node) if node.escaped => self.text() == name,
            // Most keys are not meant: their length says so before any text is looked at.
            Some(node) => (node.end - node.start) as usize == name.len() + 2 && self.text() == name,
            None => false,
        }
    }

    /// The key, decoded.
    pub(super) fn text(self) -> Cow<'d, str> {
        self.0.text().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<Document<'_>> {
        Document::read(text.as_bytes())
    }

    #[test]
    fn values_come_back_as_they_were_written() {
        let document = read(r#" { "a" : 1.50e+3 , "b\n":[ "\ud800", {} ,[],null ], "a": -0 } "#).unwrap();
        let root = document.root();
        assert_eq!(root.get("a").unwrap().raw(), "-0");
        let list: Vec<_> = root.get("b\n").unwrap().elements().map(Value::raw).collect();
        assert_eq!(list, [r#""\ud800""#, "{}", "[]", "null"]);
        assert_eq!(root.members().map(|(key, _)| key.raw()).collect::<Vec<_>>(), [r#""a""#, r#""b\n""#, r#""a""#]);
    }

    #[test]
    fn a_scalar_is_a_document_too() {
        assert_eq!(read(" \"x\" ").unwrap().root().text().unwrap(), "x");
        assert_eq!(read("17").unwrap().root().integer(), Some(17));
        assert!(read("17").unwrap().root().members().next().is_none());
    }

    #[test]
    fn half_a_surrogate_has_no_text_but_is_there() {
        let document = read(r#"{"\ud800":"\udfff"}"#).unwrap();
        let (key, value) = document.root().members().next().unwrap();
        assert_eq!((key.raw(), value.raw(), value.text()), (r#""\ud800""#, r#""\udfff""#, None));
    }

    #[test]
    fn what_is_not_json_or_too_deep_is_not_read() {
        for text in ["", "{", "nul", "{}{}", "[1,]", "\"\u{1}\"", "01", "\u{feff}{}"] {
            assert!(read(text).is_none(), "{text:?}");
        }
        assert!(Document::read(b"\"\xff\"").is_none());
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(read(&nested(MAX_DEPTH)).is_some());
        assert!(read(&nested(MAX_DEPTH + 1)).is_none());
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<i32>().prop_map(|eighths| (f64::from(eighths) / 8.0).into()),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::hash_map(any::<String>(), inner, 0..6)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn same(value: Value<'_>, expected: &serde_json::Value) -> bool {
        match expected {
            serde_json::Value::Array(list) => {
                value.elements().count() == list.len() && value.elements().zip(list).all(|(a, b)| same(a, b))
            }
            serde_json::Value::Object(map) => {
                value.members().count() == map.len() && map.iter().all(|(key, b)| same(value.get(key).unwrap(), b))
            }
            scalar => serde_json::from_str::<serde_json::Value>(value.raw()).unwrap() == *scalar,
        }
    }

    proptest! {
        #[test]
        fn the_map_agrees_with_serde_json(expected in json(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&expected) } else { serde_json::to_string(&expected) };
            let text = text.unwrap();
            prop_assert!(same(read(&text).unwrap().root(), &expected));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = Document::read(&bytes);
        }
    }
}
