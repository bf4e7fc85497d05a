//! A place in a message: its value, and the JSON pointer (RFC 6901) under which what is wrong with it is reported.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::RangeInclusive;

use serde_json::Value;

use super::super::check::{Fault, escape};

/// A walk through one message, which gathers what is wrong.
#[derive(Debug, Default)]
pub(super) struct Walk(RefCell<Vec<Fault>>);

/// Where the walk is.
#[derive(Clone)]
pub(super) struct Place<'w> {
    value: &'w Value,
    pointer: String,
    walk: &'w Walk,
}

impl Walk {
    pub(super) fn begin<'w>(&'w self, message: &'w Value) -> Place<'w> {
        Place { value: message, pointer: String::new(), walk: self }
    }

    pub(super) fn faults(self) -> Vec<Fault> {
        self.0.into_inner()
    }

    fn fault(&self, pointer: String, detail: impl Into<Cow<'static, str>>) {
        self.0.borrow_mut().push(Fault { pointer, detail: detail.into() });
    }
}

/// `1..=20` as people say it.
fn range<T: std::fmt::Display + PartialEq>(range: &RangeInclusive<T>) -> String {
    match (range.start(), range.end()) {
        (one, same) if one == same => one.to_string(),
        (least, most) => format!("{least} to {most}"),
    }
}

impl<'w> Place<'w> {
    pub(super) const fn value(&self) -> &'w Value {
        self.value
    }

    /// Reports something about this place.
    pub(super) fn fault(&self, detail: impl Into<Cow<'static, str>>) {
        self.walk.fault(self.pointer.clone(), detail);
    }

    fn below(&self, name: &str, value: &'w Value) -> Self {
        Self { value, pointer: format!("{}/{}", self.pointer, escape(name)), walk: self.walk }
    }

    /// The member of this name, where there is one. `null` stands for none, as with Meta.
    pub(super) fn optional(&self, name: &str) -> Option<Self> {
        self.value.get(name).filter(|value| !value.is_null()).map(|value| self.below(name, value))
    }

    /// The member of this name, whose absence is a fault.
    pub(super) fn needed(&self, name: &str) -> Option<Self> {
        let found = self.optional(name);
        if found.is_none() {
            self.walk.fault(format!("{}/{}", self.pointer, escape(name)), "is missing");
        }
        found
    }

    /// The member of this name, which must be an object.
    pub(super) fn needed_object(&self, name: &str) -> Option<Self> {
        self.needed(name).filter(Self::is_object)
    }

    /// Whether this is an object; a fault if not.
    pub(super) fn is_object(&self) -> bool {
        if !self.value.is_object() {
            self.fault("must be an object");
        }
        self.value.is_object()
    }

    /// Text of so many characters; `None` and a fault for anything else.
    pub(super) fn text(&self, characters: RangeInclusive<usize>) -> Option<&'w str> {
        let Some(text) = self.value.as_str() else {
            self.fault("must be a string");
            return None;
        };
        if !characters.contains(&text.chars().count()) {
            self.fault(format!("must have {} characters", range(&characters)));
            return None;
        }
        Some(text)
    }

    pub(super) fn needed_text(&self, name: &str, characters: RangeInclusive<usize>) -> Option<&'w str> {
        self.needed(name)?.text(characters)
    }

    pub(super) fn optional_text(&self, name: &str, characters: RangeInclusive<usize>) -> Option<&'w str> {
        self.optional(name)?.text(characters)
    }

    pub(super) fn optional_flag(&self, name: &str) {
        if let Some(flag) = self.optional(name)
            && !flag.value.is_boolean()
        {
            flag.fault("must be true or false");
        }
    }

    /// One of these words.
    pub(super) fn word(&self, words: &[&str]) {
        if !self.value.as_str().is_some_and(|word| words.contains(&word)) {
            self.fault(format!("must be one of {}", words.join(", ")));
        }
    }

    /// A number, or a text that is one, as some SDKs send it.
    pub(super) fn number(&self, between: RangeInclusive<f64>) {
        let number = self.value.as_f64().or_else(|| self.value.as_str()?.parse().ok());
        if !number.is_some_and(|number| between.contains(&number)) {
            self.fault(format!("must be a number from {}", range(&between)));
        }
    }

    /// An address on the web.
    pub(super) fn url(&self, longest: usize) {
        let Some(text) = self.text(1..=longest) else { return };
        let parsed = url::Url::parse(text);
        if !parsed.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
            self.fault("must be a URL that begins with https:// or http://");
        }
    }

    /// So many items; empty, and a fault, if this is no list. A list of another length is gone through all the same.
    pub(super) fn items(&self, count: RangeInclusive<usize>) -> Vec<Self> {
        let Some(items) = self.value.as_array() else {
            self.fault("must be a list");
            return Vec::new();
        };
        if !count.contains(&items.len()) {
            self.fault(format!("must have {} items", range(&count)));
        }
        items.iter().enumerate().map(|(index, item)| self.below(&index.to_string(), item)).collect()
    }

    /// The list of this name, of objects.
    pub(super) fn needed_items(&self, name: &str, count: RangeInclusive<usize>) -> Vec<Self> {
        let items = self.needed(name).map(|list| list.items(count)).unwrap_or_default();
        items.into_iter().filter(Self::is_object).collect()
    }
}
