//! Predicates on JSON: what an event must look like to be told. A closed little language without loops or patterns, so that the
//! cost of an evaluation is bounded by the size of the predicate and of the event.
//!
//! A condition is an object with `at`, an RFC 6901 pointer into the event, and one operator: `is` (a text, number, truth value
//! or null), `in` (a list of these), `exists` (true or false), `starts_with` and `contains` (texts), `at_least` and `at_most`
//! (numbers). Conditions are joined by `{"all": […]}`, `{"any": […]}` and `{"not": …}`.

use std::fmt;

use serde_json::{Map, Value};

/// How deep conditions may be nested, and how many there may be in all.
const MAX_DEPTH: usize = 8;
const MAX_CONDITIONS: usize = 64;
/// The longest pointer or text of a condition, in bytes.
const MAX_TEXT: usize = 512;

/// What an event must look like.
#[derive(Clone, PartialEq)]
pub struct Predicate {
    source: Value,
    node: Node,
}

#[derive(Clone, PartialEq)]
enum Node {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Condition { at: String, test: Test },
}

#[derive(Clone, PartialEq)]
enum Test {
    In(Vec<Value>),
    Exists(bool),
    StartsWith(String),
    Contains(String),
    AtLeast(f64),
    AtMost(f64),
}

/// Why a value is no predicate: where in it, and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// RFC 6901, from the root of the predicate.
    pub pointer: String,
    /// What was expected.
    pub expected: &'static str,
}

impl Predicate {
    /// Reads a predicate.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(source: Value) -> Result<Self, Vec<Malformed>> {
        let mut reading = Reading::default();
        match (reading.node(&source, "", 0), reading.faults) {
            (Some(node), faults) if faults.is_empty() => Ok(Self { source, node }),
            (_, faults) => Err(faults),
        }
    }

    /// As it was read. It may quote what people write, so it is stored sealed.
    #[must_use]
    pub const fn source(&self) -> &Value {
        &self.source
    }

    /// Whether an event is to be told.
    #[must_use]
    pub fn holds(&self, event: &Value) -> bool {
        self.node.holds(event)
    }
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Predicate(…)")
    }
}

impl Node {
    fn holds(&self, event: &Value) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.holds(event)),
            Self::Any(nodes) => nodes.iter().any(|node| node.holds(event)),
            Self::Not(node) => !node.holds(event),
            Self::Condition { at, test } => test.holds(event.pointer(at)),
        }
    }
}

impl Test {
    fn holds(&self, found: Option<&Value>) -> bool {
        let text = || found.and_then(Value::as_str);
        let number = || found.and_then(Value::as_f64);
        match self {
            Self::Exists(wanted) => found.is_some() == *wanted,
            Self::In(values) => found.is_some_and(|found| values.iter().any(|value| equal(value, found))),
            Self::StartsWith(start) => text().is_some_and(|text| text.starts_with(start.as_str())),
            Self::Contains(part) => text().is_some_and(|text| text.contains(part.as_str())),
            Self::AtLeast(least) => number().is_some_and(|number| number >= *least),
            Self::AtMost(most) => number().is_some_and(|number| number <= *most),
        }
    }
}

/// Equality of scalars. 1 and 1.0 are one number, as in JSON.
fn equal(one: &Value, other: &Value) -> bool {
    match (one.as_i64(), other.as_i64(), one.as_f64(), other.as_f64()) {
        (Some(one), Some(other), ..) => one == other,
        (_, _, Some(one), Some(other)) => one.total_cmp(&other).is_eq(),
        _ => one == other,
    }
}

#[derive(Default)]
struct Reading {
    conditions: usize,
    faults: Vec<Malformed>,
}

impl Reading {
    fn refuse<T>(&mut self, pointer: &str, expected: &'static str) -> Option<T> {
        self.faults.push(Malformed { pointer: pointer.to_owned(), expected });
        None
    }

    fn node(&mut self, value: &Value, pointer: &str, depth: usize) -> Option<Node> {
        if depth > MAX_DEPTH {
            return self.refuse(pointer, "at most 8 levels of all, any and not");
        }
        let Some(object) = value.as_object() else { return self.refuse(pointer, "an object") };
        if object.contains_key("at") {
            return self.condition(object, pointer);
        }
        let mut members = object.iter();
        match (members.next(), members.next()) {
            (Some((word, inner)), None) => self.joined(word, inner, pointer, depth),
            _ => self.refuse(pointer, "one of all, any and not, or at with one operator"),
        }
    }

    fn joined(&mut self, word: &str, inner: &Value, pointer: &str, depth: usize) -> Option<Node> {
        let within = format!("{pointer}/{word}");
        match word {
            "all" => self.nodes(inner, &within, depth).map(Node::All),
            "any" => self.nodes(inner, &within, depth).map(Node::Any),
            "not" => self.node(inner, &within, depth + 1).map(|node| Node::Not(Box::new(node))),
            _ => self.refuse(pointer, "one of all, any and not, or at with one operator"),
        }
    }

    fn nodes(&mut self, value: &Value, pointer: &str, depth: usize) -> Option<Vec<Node>> {
        let Some(values) = value.as_array().filter(|values| !values.is_empty()) else {
            return self.refuse(pointer, "a list with at least one condition");
        };
        let read = values.iter().enumerate();
        // Every one is read before one that is missing counts: its fault is noted.
        let read: Vec<_> = read.map(|(index, one)| self.node(one, &format!("{pointer}/{index}"), depth + 1)).collect();
        read.into_iter().collect()
    }

    fn condition(&mut self, object: &Map<String, Value>, pointer: &str) -> Option<Node> {
        self.conditions += 1;
        if self.conditions > MAX_CONDITIONS {
            return self.refuse(pointer, "at most 64 conditions");
        }
        let at = object.get("at").and_then(Value::as_str).filter(|at| is_pointer(at)).map(str::to_owned);
        if at.is_none() {
            self.faults.push(Malformed { pointer: format!("{pointer}/at"), expected: "a JSON pointer (RFC 6901)" });
        }
        let mut operators = object.iter().filter(|(name, _)| *name != "at");
        let test = match (operators.next(), operators.next()) {
            (Some((name, operand)), None) => self.test(name, operand, &format!("{pointer}/{name}")),
            _ => self.refuse(pointer, "exactly one operator beside at"),
        };
        Some(Node::Condition { at: at?, test: test? })
    }

    fn test(&mut self, name: &str, operand: &Value, pointer: &str) -> Option<Test> {
        let text = || operand.as_str().filter(|text| text.len() <= MAX_TEXT).map(str::to_owned);
        let scalars =
            || operand.as_array().filter(|values| !values.is_empty() && values.iter().all(is_scalar)).cloned();
        let (test, expected) = match name {
            "is" => {
                (is_scalar(operand).then(|| Test::In(vec![operand.clone()])), "a text, number, truth value or null")
            }
            "in" => (scalars().map(Test::In), "a list of texts, numbers, truth values or null"),
            "exists" => (operand.as_bool().map(Test::Exists), "true or false"),
            "starts_with" => (text().map(Test::StartsWith), "a text of at most 512 bytes"),
            "contains" => (text().map(Test::Contains), "a text of at most 512 bytes"),
            "at_least" => (operand.as_f64().map(Test::AtLeast), "a number"),
            "at_most" => (operand.as_f64().map(Test::AtMost), "a number"),
            _ => (None, "one of is, in, exists, starts_with, contains, at_least and at_most"),
        };
        test.or_else(|| self.refuse(pointer, expected))
    }
}

fn is_scalar(value: &Value) -> bool {
    match value {
        Value::String(text) => text.len() <= MAX_TEXT,
        Value::Array(_) | Value::Object(_) => false,
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

fn is_pointer(text: &str) -> bool {
    let escapes = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    text.len() <= MAX_TEXT && (text.is_empty() || text.starts_with('/')) && escapes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(predicate: Value) -> bool {
        let event = json!({"type": "message.received", "data": {"item": {
            "type": "text", "text": {"body": "STOP it"}, "n": 3, "a/b": null, "list": ["x"]
        }}});
        Predicate::parse(predicate).unwrap().holds(&event)
    }

    #[test]
    fn every_operator_holds_for_what_it_says_and_for_nothing_else() {
        let body = "/data/item/text/body";
        for (condition, expected) in [
            (json!({"at": "/type", "is": "message.received"}), true),
            (json!({"at": "/type", "is": "message"}), false),
            (json!({"at": "/data/item/n", "is": 3.0}), true),
            (json!({"at": "/data/item/a~1b", "is": null}), true),
            (json!({"at": "/data/item/none", "is": null}), false),
            (json!({"at": "/data/item/type", "in": ["image", "text"]}), true),
            (json!({"at": "/data/item/type", "in": ["image"]}), false),
            (json!({"at": "/data/item/list/0", "exists": true}), true),
            (json!({"at": "/data/item/list/1", "exists": false}), true),
            (json!({"at": body, "starts_with": "STOP"}), true),
            (json!({"at": body, "starts_with": "stop"}), false),
            (json!({"at": body, "contains": "P i"}), true),
            (json!({"at": "/data/item/n", "contains": "3"}), false),
            (json!({"at": "/data/item/n", "at_least": 3}), true),
            (json!({"at": "/data/item/n", "at_most": 2.5}), false),
            (json!({"at": body, "at_least": 0}), false),
            (json!({"not": {"at": "/type", "exists": true}}), false),
            (json!({"all": [{"at": "/type", "exists": true}, {"at": "/no", "exists": true}]}), false),
            (json!({"any": [{"at": "/type", "exists": true}, {"at": "/no", "exists": true}]}), true),
        ] {
            assert_eq!(holds(condition.clone()), expected, "{condition}");
        }
    }

    #[test]
    fn everything_wrong_with_a_predicate_is_told_with_its_place() {
        let wrong = json!({"all": [
            {"at": "type", "is": 1}, {"at": "/a~2", "is": []}, {"at": "/a"}, {"at": "/a", "is": 1, "in": [1]},
            {"like": 1}, {"any": []}, 7, {"at": "/a", "matches": "x"}, {"at": "/a", "at_least": "1"}
        ]});
        let told: Vec<_> = Predicate::parse(wrong).unwrap_err().into_iter().map(|fault| fault.pointer).collect();
        let expected = [
            "/all/0/at",
            "/all/1/at",
            "/all/1/is",
            "/all/2",
            "/all/3",
            "/all/4",
            "/all/5/any",
            "/all/6",
            "/all/7/matches",
            "/all/8/at_least",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn depth_number_and_length_are_bounded() {
        let nested = |levels| (0..levels).fold(json!({"at": "", "exists": true}), |inner, _| json!({"not": inner}));
        assert!(Predicate::parse(nested(8)).is_ok() && Predicate::parse(nested(9)).is_err());
        let many = |count| json!({"any": vec![json!({"at": "", "exists": true}); count]});
        assert!(Predicate::parse(many(64)).is_ok() && Predicate::parse(many(65)).is_err());
        let long = |length| json!({"at": "", "is": "x".repeat(length)});
        assert!(Predicate::parse(long(512)).is_ok() && Predicate::parse(long(513)).is_err());
    }

    #[test]
    fn a_predicate_never_prints_what_it_looks_for() {
        let predicate = Predicate::parse(json!({"at": "/a", "is": "canary"})).unwrap();
        assert_eq!(format!("{predicate:?}"), "Predicate(…)");
    }
}
