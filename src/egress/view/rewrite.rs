//! Writes a JSON text anew, in one pass, leaving out and replacing what a rule says. What is kept is kept byte for byte.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// What becomes of a string or number.
pub(super) enum Shown {
    /// Copied.
    AsIs,
    /// This text stands in its place, as a string.
    Instead(Cow<'static, str>),
    /// It is left out, and its name with it.
    Nothing,
}

/// What is shown at one place of a JSON text. Lists have the rule of their elements.
pub(super) trait Rule: Copy {
    /// The rule of the member `key` of an object here. `None`: the member is left out.
    fn member(self, key: &str) -> Option<Self>;

    /// What the name of a member may not say is replaced.
    fn key(self, key: &str) -> Shown;

    /// A string here. `None`: it cannot be read (half a surrogate pair).
    fn string(self, text: Option<&str>) -> Shown;

    /// A number, as it is written.
    fn number(self, text: &str) -> Shown;

    /// Whether every string here is copied, so that none needs to be read.
    fn copies_strings(self) -> bool {
        false
    }
}

/// What `rule` leaves of `value`. `None`: nothing.
pub(super) fn rewritten(value: &RawValue, rule: impl Rule) -> Option<String> {
    let text = value.get();
    let mut walk = Walk { text, at: 0, out: String::with_capacity(text.len()) };
    walk.value(rule).then_some(walk.out)
}

/// A walk along a text that is known to be JSON; along anything else it ends early, and its outcome is refused as no JSON.
struct Walk<'a> {
    text: &'a str,
    at: usize,
    out: String,
}

impl<'a> Walk<'a> {
    fn value(&mut self, rule: impl Rule) -> bool {
        self.blank();
        match self.peek() {
            b'{' => self.container(b'}', |walk| walk.member(rule)),
            b'[' => self.container(b']', |walk| walk.value(rule)),
            b'"' => {
                let token = self.string();
                let shown = if rule.copies_strings() { Shown::AsIs } else { rule.string(text_of(token).as_deref()) };
                self.show(token, shown)
            }
            _ => {
                let token = self.token(|byte| !matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t'));
                let is_number = token.starts_with(|first: char| first == '-' || first.is_ascii_digit());
                let shown = if is_number { rule.number(token) } else { Shown::AsIs };
                self.show(token, shown)
            }
        }
    }

    /// An object or a list. What writes nothing gets no comma.
    fn container(&mut self, end: u8, mut element: impl FnMut(&mut Self) -> bool) -> bool {
        self.take();
        let mut written = false;
        self.blank();
        while self.peek() != end && self.peek() != 0 {
            let before = self.out.len();
            if written {
                self.out.push(',');
            }
            if element(self) {
                written = true;
            } else {
                self.out.truncate(before);
            }
            self.blank();
            if self.peek() == b',' {
                self.at += 1;
                self.blank();
            }
        }
        self.take();
        true
    }

    fn member(&mut self, rule: impl Rule) -> bool {
        let name = self.string();
        self.blank();
        self.at += 1; // the colon
        let named = text_of(name).and_then(|key| Some((rule.member(&key)?, rule.key(&key))));
        if let Some((within, key)) = named
            && self.show(name, key)
        {
            self.out.push(':');
            return self.value(within);
        }
        self.skip();
        false
    }

    fn show(&mut self, token: &str, shown: Shown) -> bool {
        match shown {
            Shown::AsIs => self.out.push_str(token),
            Shown::Instead(text) => self.out.push_str(&serde_json::Value::from(&*text).to_string()),
            Shown::Nothing => return false,
        }
        true
    }

    /// Goes past a value.
    fn skip(&mut self) {
        let mut depth = 0_usize;
        loop {
            self.blank();
            match self.peek() {
                b'"' => {
                    self.string();
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                0 => return,
                _ => {
                    self.at += 1;
                    self.token(|byte| !matches!(byte, b'"' | b'{' | b'}' | b'[' | b']' | b','));
                }
            }
            if depth == 0 {
                return;
            }
            while matches!(self.peek(), b',' | b':') {
                self.at += 1;
            }
        }
    }

    /// A string with its quotation marks.
    fn string(&mut self) -> &'a str {
        let mut escaped = false;
        let mut first = true;
        let token = self.token(|byte| {
            let ends = byte == b'"' && !escaped && !first;
            escaped = byte == b'\\' && !escaped;
            first = false;
            !ends
        });
        let with_end = self.text.get(self.at - token.len()..=self.at).unwrap_or(token);
        self.at += 1;
        with_end
    }

    fn token(&mut self, mut belongs: impl FnMut(u8) -> bool) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.bytes().position(|byte| !belongs(byte)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    fn blank(&mut self) {
        self.token(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t'));
    }

    /// Copies a bracket.
    fn take(&mut self) {
        if let Some(bracket) = self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            self.out.push(bracket);
            self.at += bracket.len_utf8();
        }
    }

    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }
}

/// What a string token says.
fn text_of(token: &str) -> Option<Cow<'_, str>> {
    let inner = token.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(token).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}
