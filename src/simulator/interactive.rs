//! The shape of interactive messages: buttons, lists, links, flows, products, carousels.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::errors::GraphError;
use super::validation::{Checked, inner, length, text};

type Object = Map<String, Value>;

/// Checks an interactive object by its own type.
pub(super) fn check(interactive: &Object) -> Checked {
    let kind = text(interactive, "type").ok_or_else(|| GraphError::missing("interactive.type"))?;
    let longest_body = if kind == "list" { 4096 } else { 1024 };
    // A catalogue's single product brings its own text.
    if kind != "product" || interactive.contains_key("body") {
        length(inner(interactive, "body")?, "text", longest_body, true)?;
    }
    if let Some(footer) = interactive.get("footer").and_then(Value::as_object) {
        length(footer, "text", 60, true)?;
    }
    if let Some(header) = interactive.get("header").and_then(Value::as_object) {
        length(header, "text", 60, text(header, "type") == Some("text"))?;
    }
    match kind {
        "button" => buttons(inner(interactive, "action")?),
        "list" => list(inner(interactive, "action")?),
        "cta_url" => link(inner(interactive, "action")?),
        "flow" => flow(inner(interactive, "action")?),
        "carousel" => carousel(inner(interactive, "action")?),
        "location_request_message"
        | "product"
        | "product_list"
        | "catalog_message"
        | "voice_call"
        | "call_permission_request"
        | "address_message"
        | "order_details"
        | "order_status"
        | "contact_request"
        | "request_contact_info" => Ok(()),
        _ => Err(GraphError::new(131_009, format!("Param interactive['type'] is not known - got \"{kind}\""))),
    }
}

/// The objects in the array under `key`.
fn objects<'a>(object: &'a Object, key: &str) -> Result<Vec<&'a Object>, GraphError> {
    let items = object.get(key).and_then(Value::as_array).ok_or_else(|| GraphError::missing(key))?;
    Ok(items.iter().filter_map(Value::as_object).collect())
}

fn count(what: &str, number: usize, least: usize, most: usize) -> Checked {
    if (least..=most).contains(&number) {
        return Ok(());
    }
    Err(GraphError::new(131_009, format!("Invalid {what} count. Min allowed {what}: {least}, max allowed: {most}")))
}

fn buttons(action: &Object) -> Checked {
    let buttons = objects(action, "buttons")?;
    count("buttons", buttons.len(), 1, 3)?;
    let mut ids = HashSet::new();
    for button in buttons {
        let reply = inner(button, "reply")?;
        length(reply, "id", 256, true)?;
        length(reply, "title", 20, true)?;
        if !ids.insert(text(reply, "id")) {
            return Err(GraphError::new(131_009, "Duplicated button ids are not allowed"));
        }
    }
    Ok(())
}

fn list(action: &Object) -> Checked {
    length(action, "button", 20, true)?;
    let sections = objects(action, "sections")?;
    count("sections", sections.len(), 1, 10)?;
    let mut rows = Vec::new();
    for section in &sections {
        length(section, "title", 24, sections.len() > 1)?;
        rows.extend(objects(section, "rows")?);
    }
    // Over all sections together, which schemas that look at one section cannot say.
    count("rows", rows.len(), 1, 10)?;
    for row in rows {
        length(row, "id", 200, true)?;
        length(row, "title", 24, true)?;
        length(row, "description", 72, false)?;
    }
    Ok(())
}

fn link(action: &Object) -> Checked {
    let parameters = inner(action, "parameters")?;
    length(parameters, "display_text", 20, true)?;
    length(parameters, "url", 2000, true)
}

fn flow(action: &Object) -> Checked {
    let parameters = inner(action, "parameters")?;
    length(parameters, "flow_cta", 30, true)?;
    match (text(parameters, "flow_id"), text(parameters, "flow_name")) {
        (None, None) => Err(GraphError::missing("flow_id")),
        (Some(_), Some(_)) => Err(GraphError::parameter("Only one of flow_id and flow_name is allowed.")),
        _ => Ok(()),
    }
}

fn carousel(action: &Object) -> Checked {
    count("cards", objects(action, "cards")?.len(), 2, 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn accepts(interactive: &Value) -> bool {
        check(interactive.as_object().unwrap()).is_ok()
    }

    fn with_buttons(ids: &[&str]) -> Value {
        let buttons: Vec<_> =
            ids.iter().map(|id| json!({"type": "reply", "reply": {"id": id, "title": "Yes"}})).collect();
        json!({"type": "button", "body": {"text": "?"}, "action": {"buttons": buttons}})
    }

    #[test]
    fn one_to_three_buttons_with_their_own_ids_are_taken() {
        assert!(accepts(&with_buttons(&["a", "b", "c"])));
        assert!(!accepts(&with_buttons(&[])));
        assert!(!accepts(&with_buttons(&["a", "b", "c", "d"])));
        assert!(!accepts(&with_buttons(&["a", "a"])));
    }

    #[test]
    fn list_rows_are_counted_over_all_sections() {
        let section = |rows: usize| {
            let rows: Vec<_> = (0..rows).map(|row| json!({"id": row.to_string(), "title": "t"})).collect();
            json!({"title": "s", "rows": rows})
        };
        let list = |first, second| {
            json!({"type": "list", "body": {"text": "?"},
                "action": {"button": "Open", "sections": [section(first), section(second)]}})
        };
        assert!(accepts(&list(5, 5)));
        assert!(!accepts(&list(5, 6)));
    }
}
