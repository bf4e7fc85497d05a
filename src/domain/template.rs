//! What a template expects of a message: how many values, of which form, in which place.

use serde_json::Value;

/// The places of a template, as far as we know how to fill them. What is not known expects nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Whether values are found by name and not by order.
    pub named: bool,
    /// What stands above the text.
    pub header: Header,
    /// Names, or numbers, of the places in the text.
    pub body: Vec<String>,
    /// In their order.
    pub buttons: Vec<Button>,
    /// Whether it holds cards, an offer or other things whose values are not looked at.
    pub has_more: bool,
}

/// What a header expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Header {
    /// Nothing.
    Nothing,
    /// Values for these places.
    Text(Vec<String>),
    /// A file of this `type`.
    Media(&'static str),
    /// A place on the map.
    Location,
    /// Something that we do not know.
    Unknown,
}

/// What a button expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Button {
    /// The end of its URL.
    Url,
    /// A code to be copied.
    CopyCode,
    /// Nothing, or nothing that must be given.
    Free,
}

impl Shape {
    /// Reads Meta's `components`.
    #[must_use]
    pub fn read(components: &Value, named: bool) -> Self {
        let mut shape = Self { named, header: Header::Nothing, body: Vec::new(), buttons: Vec::new(), has_more: false };
        for component in components.as_array().into_iter().flatten() {
            match word(component, "type").as_str() {
                "HEADER" => shape.header = header(component),
                "BODY" => shape.body = places(text(component, "text")),
                "BUTTONS" => {
                    let buttons = component.get("buttons").and_then(Value::as_array);
                    shape.buttons = buttons.into_iter().flatten().map(button).collect();
                }
                "FOOTER" => {}
                _ => shape.has_more = true,
            }
        }
        shape
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn word(value: &Value, key: &str) -> String {
    text(value, key).to_ascii_uppercase()
}

fn header(component: &Value) -> Header {
    match word(component, "format").as_str() {
        "TEXT" | "" => match places(text(component, "text")) {
            places if places.is_empty() => Header::Nothing,
            places => Header::Text(places),
        },
        "IMAGE" => Header::Media("image"),
        "VIDEO" => Header::Media("video"),
        "DOCUMENT" => Header::Media("document"),
        "LOCATION" => Header::Location,
        _ => Header::Unknown,
    }
}

fn button(button: &Value) -> Button {
    match word(button, "type").as_str() {
        "URL" if text(button, "url").contains("{{") => Button::Url,
        "COPY_CODE" => Button::CopyCode,
        _ => Button::Free,
    }
}

/// What stands between `{{` and `}}`, each once, in the order of its first appearance.
fn places(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for place in text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()) {
        let place = place.trim().to_owned();
        if !found.contains(&place) {
            found.push(place);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_places_of_a_template_are_found() {
        let components = json!([
            { "type": "HEADER", "format": "IMAGE" },
            { "type": "BODY", "text": "Hello {{1}}, {{2}} and {{1}}." },
            { "type": "FOOTER", "text": "bye" },
            { "type": "BUTTONS", "buttons": [
                { "type": "QUICK_REPLY", "text": "Stop" }, { "type": "URL", "text": "see", "url": "https://a.example/{{1}}" },
                { "type": "URL", "text": "see", "url": "https://a.example/" }, { "type": "COPY_CODE", "example": "x" } ] },
        ]);
        let shape = Shape::read(&components, false);
        assert_eq!((shape.header, shape.body), (Header::Media("image"), vec!["1".to_owned(), "2".to_owned()]));
        assert_eq!(shape.buttons, [Button::Free, Button::Url, Button::Free, Button::CopyCode]);
        assert!(!shape.has_more);
        let named = json!([{ "type": "header", "format": "text", "text": "Dear {{ first_name }}" }, { "type": "CAROUSEL", "cards": [] }]);
        let shape = Shape::read(&named, true);
        assert_eq!((shape.header, shape.has_more), (Header::Text(vec!["first_name".to_owned()]), true));
    }

    #[test]
    fn what_is_no_list_of_components_expects_nothing() {
        for odd in [json!(null), json!("x"), json!([7, {}, { "type": "BODY" }, { "type": "BUTTONS", "buttons": 1 }])] {
            let shape = Shape::read(&odd, false);
            assert!(shape.body.is_empty() && shape.buttons.is_empty(), "{odd}");
        }
    }
}
