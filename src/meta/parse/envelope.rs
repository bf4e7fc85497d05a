//! Writes the envelope of one item: Meta's own, in Meta's order, without the other items. Every value is copied as it
//! was written; nothing but white space between values is lost.

use super::cut::{Cut, Leaf};
use super::json::Value;

/// What an envelope holds beside the item, as a rule.
const USUAL_FRAME: usize = 512;

/// The envelope around `leaf`, from the outermost value `root` down.
pub(super) fn write(cut: &Cut<'_>, leaf: &Leaf<'_>, root: Value<'_>) -> String {
    let path: Vec<_> = leaf.trail.stations().chain(leaf.item).collect();
    let mut writer = Writer::new(cut, leaf);
    writer.value(root, &path);
    writer.out
}

/// What an item that consists of leftover contacts is: the innermost object of their trail, without other items.
pub(super) fn write_leftover(cut: &Cut<'_>, leaf: &Leaf<'_>) -> String {
    let mut writer = Writer::new(cut, leaf);
    if let Some(home) = leaf.trail.stations().last() {
        writer.object(home, &[]);
    }
    writer.out
}

struct Writer<'a, 'd> {
    cut: &'a Cut<'d>,
    leaf: &'a Leaf<'d>,
    out: String,
}

impl<'a, 'd> Writer<'a, 'd> {
    fn new(cut: &'a Cut<'d>, leaf: &'a Leaf<'d>) -> Self {
        let size = leaf.item.map_or(0, |item| item.raw().len()) + USUAL_FRAME;
        Self { cut, leaf, out: String::with_capacity(size) }
    }

    /// Writes `here`, and of what was taken apart in it only the way along `path`.
    fn value(&mut self, here: Value<'_>, path: &[Value<'_>]) {
        if path.is_empty() && self.leaf.item.is_some() {
            self.out.push_str(here.raw());
        } else {
            self.object(here, path);
        }
    }

    fn object(&mut self, here: Value<'_>, path: &[Value<'_>]) {
        let opening = self.out.len();
        for (key, value) in here.members() {
            if self.cut.is_opened(value) {
                self.step(key.raw(), value, path);
            } else if self.cut.is_shared(value) {
                self.contacts(key.raw(), value);
            } else {
                self.key(key.raw());
                self.out.push_str(value.raw());
            }
        }
        // The comma before the first member is the place of the opening brace.
        if self.out.len() == opening {
            self.out.push('{');
        } else {
            self.out.replace_range(opening..=opening, "{");
        }
        self.out.push('}');
    }

    fn key(&mut self, key: &str) {
        self.out.push(',');
        self.out.push_str(key);
        self.out.push(':');
    }

    /// Writes a member that was taken apart, if the path leads through it.
    fn step(&mut self, key: &str, value: Value<'_>, path: &[Value<'_>]) {
        let Some((next, rest)) = path.split_first().filter(|(next, _)| value.covers(next.place())) else { return };
        self.key(key);
        let listed = next.place() != value.place();
        self.out.push_str(if listed { "[" } else { "" });
        self.value(*next, rest);
        self.out.push_str(if listed { "]" } else { "" });
    }

    /// Writes this item's share of a list of contacts.
    fn contacts(&mut self, key: &str, list: Value<'_>) {
        let mine = self.leaf.contacts.iter().filter(|entry| list.covers(entry.place()));
        for (at, entry) in mine.enumerate() {
            if at == 0 {
                self.key(key);
            }
            self.out.push(if at == 0 { '[' } else { ',' });
            self.out.push_str(entry.raw());
        }
        if self.leaf.contacts.iter().any(|entry| list.covers(entry.place())) {
            self.out.push(']');
        }
    }
}
