//! Whether a message fits its template: that it exists, may be sent, and is given what it expects.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::Fault;
use crate::domain::template::{Button, Header, Shape};

/// States in which Meta refuses a template, and what is wrong then.
pub(super) fn refused(status: &str) -> Option<&'static str> {
    Some(match status {
        "PAUSED" => "is paused by Meta for its quality",
        "DISABLED" => "is disabled by Meta",
        "PENDING" | "IN_APPEAL" => "is not approved yet",
        "REJECTED" => "was rejected by Meta",
        "DELETED" | "PENDING_DELETION" | "ARCHIVED" => "is deleted",
        _ => return None,
    })
}

/// What does not fit. Pointers begin at the message.
pub(super) fn misfits(shape: &Shape, body: &Map<String, Value>) -> Vec<Fault> {
    let components = body.get("template").and_then(|template| template.get("components")).and_then(Value::as_array);
    let parts: Vec<Part<'_>> = components.into_iter().flatten().enumerate().map(Part::new).collect();
    let mut faults = Vec::new();
    let of = |kind: &str| parts.iter().find(|part| part.kind == kind);
    header(&shape.header, of("header"), shape.named, &mut faults);
    values(&shape.body, of("body"), shape.named, "text", &mut faults);
    if !shape.has_more {
        buttons(&shape.buttons, &parts, &mut faults);
    }
    faults
}

/// A component of the message.
struct Part<'a> {
    at: usize,
    kind: String,
    json: &'a Value,
}

impl<'a> Part<'a> {
    fn new((at, json): (usize, &'a Value)) -> Self {
        Self { at, kind: word(json, "type"), json }
    }

    fn parameters(&self) -> &'a [Value] {
        self.json.get("parameters").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn pointer(&self, rest: &str) -> String {
        format!("/template/components/{}{rest}", self.at)
    }

    /// `"0"` and `0` are both taken by Meta.
    fn index(&self) -> Option<usize> {
        let index = self.json.get("index")?;
        index.as_u64().and_then(|index| usize::try_from(index).ok()).or_else(|| index.as_str()?.parse().ok())
    }
}

fn word(json: &Value, key: &str) -> String {
    json.get(key).and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase()
}

fn fault(pointer: String, detail: impl Into<Cow<'static, str>>) -> Fault {
    Fault { pointer, detail: detail.into() }
}

/// Where something is missing altogether.
fn missing(detail: impl Into<Cow<'static, str>>) -> Fault {
    fault("/template/components".to_owned(), detail)
}

fn header(expected: &Header, given: Option<&Part<'_>>, named: bool, faults: &mut Vec<Fault>) {
    let kind = match expected {
        Header::Unknown => return,
        Header::Nothing => return values(&[], given, named, "header", faults),
        Header::Text(places) => return values(places, given, named, "header", faults),
        Header::Media(kind) => *kind,
        Header::Location => "location",
    };
    match given {
        None => faults.push(missing(format!("must have a component of type header with a parameter of type {kind}"))),
        Some(part) => match part.parameters() {
            [only] if word(only, "type") == kind => {}
            [_] => {
                faults.push(fault(part.pointer("/parameters/0/type"), format!("must be {kind}, as in the template")));
            }
            _ => faults.push(fault(part.pointer("/parameters"), format!("must hold one parameter of type {kind}"))),
        },
    }
}

/// As many values as there are places, or one for each by its name.
fn values(places: &[String], given: Option<&Part<'_>>, named: bool, what: &str, faults: &mut Vec<Fault>) {
    let parameters = given.map_or(&[][..], Part::parameters);
    let at = |rest: &str| given.map_or_else(|| "/template/components".to_owned(), |part| part.pointer(rest));
    if !named || places.is_empty() {
        if parameters.len() != places.len() {
            let detail = format!("must give {} values to the {what} of the template", places.len());
            faults.push(fault(at("/parameters"), detail));
        }
        return;
    }
    let names: Vec<&str> =
        parameters.iter().map(|one| one.get("parameter_name").and_then(Value::as_str).unwrap_or_default()).collect();
    for (index, _) in names.iter().enumerate().filter(|(_, name)| !places.iter().any(|place| place == *name)) {
        let pointer = at(&format!("/parameters/{index}/parameter_name"));
        faults.push(fault(pointer, format!("must be the name of a place in the {what} of the template")));
    }
    for place in places.iter().filter(|place| !names.contains(&place.as_str())) {
        faults.push(fault(at("/parameters"), format!("must have a value for \"{place}\"")));
    }
}

fn buttons(expected: &[Button], parts: &[Part<'_>], faults: &mut Vec<Fault>) {
    let given: Vec<&Part<'_>> = parts.iter().filter(|part| part.kind == "button").collect();
    for part in given.iter().filter(|part| part.index().is_some_and(|index| index >= expected.len())) {
        faults.push(fault(
            part.pointer("/index"),
            format!("must be below {}, the buttons of the template", expected.len()),
        ));
    }
    for (index, button) in expected.iter().enumerate() {
        let kind = match button {
            Button::Free => continue,
            Button::Url => "url",
            Button::CopyCode => "copy_code",
        };
        match given.iter().find(|part| part.index() == Some(index)) {
            None => faults.push(missing(format!("must have a component for button {index} with sub_type {kind}"))),
            Some(part) if word(part.json, "sub_type") != kind => {
                faults.push(fault(part.pointer("/sub_type"), format!("must be {kind}, as in the template")));
            }
            Some(part) if part.parameters().len() != 1 => {
                faults.push(fault(part.pointer("/parameters"), "must hold one parameter"));
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[expect(clippy::needless_pass_by_value, reason = "a literal is handed over where it is written")]
    fn pointers(template: Value, named: bool, components: Value) -> Vec<String> {
        let message = json!({ "template": { "components": components } });
        let faults = misfits(&Shape::read(&template, named), message.as_object().unwrap());
        faults.into_iter().map(|fault| fault.pointer).collect()
    }

    fn texts(count: usize) -> Vec<Value> {
        (0..count).map(|_| json!({ "type": "text", "text": "x" })).collect()
    }

    #[test]
    fn values_are_counted_by_position() {
        let template = json!([{ "type": "BODY", "text": "{{1}} and {{2}}" }]);
        let body = |count| json!([{ "type": "BODY", "parameters": texts(count) }]);
        assert!(pointers(template.clone(), false, body(2)).is_empty());
        assert_eq!(pointers(template.clone(), false, body(1)), ["/template/components/0/parameters"]);
        assert_eq!(pointers(template, false, json!(null)), ["/template/components"]);
        assert_eq!(
            pointers(json!([{ "type": "BODY", "text": "plain" }]), false, body(1)),
            ["/template/components/0/parameters"]
        );
    }

    #[test]
    fn values_are_found_by_name() {
        let template = json!([{ "type": "BODY", "text": "{{first}} and {{second}}" }]);
        let named = |names: &[&str]| {
            let values: Vec<Value> =
                names.iter().map(|name| json!({ "type": "text", "parameter_name": name, "text": "x" })).collect();
            json!([{ "type": "body", "parameters": values }])
        };
        assert!(pointers(template.clone(), true, named(&["second", "first"])).is_empty());
        let wrong = ["/template/components/0/parameters/1/parameter_name", "/template/components/0/parameters"];
        assert_eq!(pointers(template, true, named(&["first", "third"])), wrong);
    }

    #[test]
    fn a_header_is_of_the_kind_of_the_template() {
        let template = json!([{ "type": "HEADER", "format": "IMAGE" }, { "type": "BODY", "text": "x" }]);
        let header = |kind: &str| json!([{ "type": "header", "parameters": [{ "type": kind, kind: { "link": "https://a.example" } }] }]);
        assert!(pointers(template.clone(), false, header("image")).is_empty());
        assert_eq!(pointers(template.clone(), false, header("video")), ["/template/components/0/parameters/0/type"]);
        assert_eq!(pointers(template, false, json!([])), ["/template/components"]);
    }

    #[test]
    fn buttons_with_a_place_get_their_value_and_others_need_none() {
        let buttons = json!([{ "type": "QUICK_REPLY" }, { "type": "URL", "url": "https://a.example/{{1}}" }]);
        let template = json!([{ "type": "BODY", "text": "x" }, { "type": "BUTTONS", "buttons": buttons }]);
        let button = |index: Value, sub_type: &str| json!([{ "type": "button", "index": index, "sub_type": sub_type, "parameters": texts(1) }]);
        assert!(pointers(template.clone(), false, button(json!("1"), "url")).is_empty());
        assert!(pointers(template.clone(), false, button(json!(1), "URL")).is_empty());
        assert_eq!(pointers(template.clone(), false, json!([])), ["/template/components"]);
        assert_eq!(
            pointers(template.clone(), false, button(json!(1), "copy_code")),
            ["/template/components/0/sub_type"]
        );
        let far = pointers(template, false, button(json!(5), "url"));
        assert_eq!(far, ["/template/components/0/index", "/template/components"]);
    }
}
