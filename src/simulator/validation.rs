//! The shape of a message object, with Meta's main limits. Lengths are in characters.

use axum::body::Bytes;
use serde_json::{Map, Value};

use super::errors::GraphError;
use super::interactive;

/// What a check gives.
pub(super) type Checked = Result<(), GraphError>;

/// The body as a JSON object.
pub(super) fn object(body: &Bytes) -> Result<Map<String, Value>, GraphError> {
    serde_json::from_slice(body).map_err(|_| GraphError::parameter("The body is not a JSON object."))
}

/// A form, or a JSON object. Objects and lists in a form are JSON.
pub(super) fn form(body: &Bytes) -> Result<Map<String, Value>, GraphError> {
    if body.first() == Some(&b'{') {
        return object(body);
    }
    let pairs = url::form_urlencoded::parse(body).map(|(name, value)| {
        let parsed = serde_json::from_str::<Value>(&value).ok().filter(|value| value.is_object() || value.is_array());
        (name.into_owned(), parsed.unwrap_or_else(|| value.into_owned().into()))
    });
    Ok(pairs.collect())
}

/// The text under `key`.
pub(super) fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str()
}

/// The object under `key`, which must be there.
pub(super) fn inner<'a>(object: &'a Map<String, Value>, key: &str) -> Result<&'a Map<String, Value>, GraphError> {
    object.get(key).and_then(Value::as_object).ok_or_else(|| GraphError::missing(key))
}

/// Refuses text under `key` that is empty or longer than `most`, and its absence when it is `needed`.
pub(super) fn length(object: &Map<String, Value>, key: &str, most: usize, needed: bool) -> Checked {
    match object.get(key) {
        None | Some(Value::Null) if needed => Err(GraphError::missing(key)),
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(text)) if text.is_empty() => Err(GraphError::missing(key)),
        Some(Value::String(text)) if text.chars().count() <= most => Ok(()),
        Some(Value::String(_)) => {
            Err(GraphError::parameter(format!("Param {key} must be at most {most} characters long.")))
        }
        Some(_) => Err(GraphError::parameter(format!("Param {key} must be a string."))),
    }
}

/// `messaging_product` must be `whatsapp`.
pub(super) fn product(message: &Map<String, Value>) -> Checked {
    match text(message, "messaging_product") {
        Some("whatsapp") => Ok(()),
        Some(_) => Err(GraphError::parameter("Param messaging_product must be one of {WHATSAPP}.")),
        None => Err(GraphError::parameter("The parameter messaging_product is required.")),
    }
}

/// Whether a type is sent by media id or link.
pub(super) fn is_media(kind: &str) -> bool {
    matches!(kind, "image" | "video" | "audio" | "document" | "sticker")
}

/// Checks the message by its type and gives the type; `text` is Meta's default.
pub(super) fn check(message: &Map<String, Value>) -> Result<&str, GraphError> {
    let kind = text(message, "type").unwrap_or("text");
    length(message, "biz_opaque_callback_data", 512, false)?;
    match kind {
        "text" => length(inner(message, kind)?, "body", 4096, true)?,
        kind if is_media(kind) => media(kind, inner(message, kind)?)?,
        "location" => coordinates(inner(message, kind)?)?,
        "contacts" => cards(message.get(kind))?,
        "reaction" => reaction(inner(message, kind)?)?,
        "template" => template(inner(message, kind)?)?,
        "interactive" => interactive::check(inner(message, kind)?)?,
        // Kinds of small markets and of groups: taken as they are.
        "order_details" | "order_status" | "pin" | "unpin" => {
            inner(message, kind)?;
        }
        _ => {
            let details = format!("Param type must be one of {{AUDIO, CONTACTS, DOCUMENT, IMAGE, …}} - got \"{kind}\"");
            return Err(GraphError::new(131_009, details));
        }
    }
    Ok(kind)
}

fn media(kind: &str, media: &Map<String, Value>) -> Checked {
    match (text(media, "id").is_some(), text(media, "link").is_some()) {
        (false, false) => return Err(GraphError::missing("id or link")),
        (true, true) => return Err(GraphError::parameter(format!("Param {kind} takes either id or link."))),
        _ => {}
    }
    if let Some(link) = text(media, "link")
        && !link.starts_with("https://")
        && !link.starts_with("http://")
    {
        return Err(GraphError::new(131_009, "Parameter 'link' is not a URL"));
    }
    if matches!(kind, "audio" | "sticker") && media.contains_key("caption") {
        return Err(GraphError::parameter(format!("Unexpected key \"caption\" on param \"{kind}\".")));
    }
    length(media, "caption", 1024, false)
}

fn coordinates(location: &Map<String, Value>) -> Checked {
    for (key, most) in [("latitude", 90.0), ("longitude", 180.0)] {
        let value = location.get(key).ok_or_else(|| GraphError::missing(key))?;
        let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
        if !number.is_some_and(|number| number.abs() <= most) {
            return Err(GraphError::new(131_009, format!("Parameter '{key}' is out of range")));
        }
    }
    Ok(())
}

fn cards(contacts: Option<&Value>) -> Checked {
    let cards = contacts.and_then(Value::as_array).ok_or_else(|| GraphError::missing("contacts"))?;
    if cards.is_empty() || cards.len() > 257 {
        return Err(GraphError::parameter("Param contacts must have 1 to 257 elements."));
    }
    let named = |card: &Value| card.pointer("/name/formatted_name").and_then(Value::as_str).is_some();
    if cards.iter().all(named) { Ok(()) } else { Err(GraphError::missing("name.formatted_name")) }
}

fn reaction(reaction: &Map<String, Value>) -> Checked {
    text(reaction, "message_id").ok_or_else(|| GraphError::missing("message_id"))?;
    text(reaction, "emoji").ok_or_else(|| GraphError::missing("emoji")).map(drop)
}

fn template(template: &Map<String, Value>) -> Checked {
    length(template, "name", 512, true)?;
    length(inner(template, "language")?, "code", 32, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn accepts(message: &Value) -> bool {
        check(message.as_object().unwrap()).is_ok()
    }

    #[test]
    fn the_limits_hold_at_their_edges() {
        assert!(accepts(&json!({"text": {"body": "ü".repeat(4096)}})));
        assert!(!accepts(&json!({"text": {"body": "ü".repeat(4097)}})));
        assert!(!accepts(&json!({"text": {"body": ""}})));
        assert!(!accepts(&json!({"text": {"body": "a"}, "biz_opaque_callback_data": "x".repeat(513)})));
        assert!(accepts(&json!({"type": "location", "location": {"latitude": "52.5", "longitude": 13.4}})));
        assert!(!accepts(&json!({"type": "location", "location": {"latitude": 91, "longitude": 13.4}})));
    }

    #[test]
    fn media_needs_exactly_one_source_and_no_caption_where_meta_takes_none() {
        assert!(accepts(&json!({"type": "image", "image": {"id": "1", "caption": "c"}})));
        assert!(!accepts(&json!({"type": "image", "image": {}})));
        assert!(!accepts(&json!({"type": "image", "image": {"id": "1", "link": "https://x"}})));
        assert!(!accepts(&json!({"type": "audio", "audio": {"id": "1", "caption": "c"}})));
    }

    #[test]
    fn an_emptied_reaction_is_a_removal_and_an_absent_one_is_not() {
        assert!(accepts(&json!({"type": "reaction", "reaction": {"message_id": "wamid.x", "emoji": ""}})));
        assert!(!accepts(&json!({"type": "reaction", "reaction": {"message_id": "wamid.x"}})));
    }
}
