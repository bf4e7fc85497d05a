//! A send of a template against the template: whether it may be sent, whether the parameters fit, what it is priced as.

use serde_json::{Map, Value};

use super::errors::GraphError;
use super::templates::{TemplateShelf, word};
use super::validation::{Checked, text};

impl TemplateShelf {
    /// The pricing category of a send, once the template is known to exist, to be approved, and to fit the parameters.
    /// Without `strict` an unknown template passes as utility.
    pub(super) fn price(&self, send: &Map<String, Value>, strict: bool) -> Result<&'static str, GraphError> {
        let name = text(send, "name").unwrap_or_default();
        let language = send.get("language").and_then(|language| language.get("code")).and_then(Value::as_str);
        let rows = self.rows();
        let row = rows.iter().find(|row| word(row, "name") == name && Some(word(row, "language")) == language);
        let Some(row) = row else {
            let details = format!("template name ({name}) does not exist in {}", language.unwrap_or_default());
            return if strict { Err(GraphError::new(132_001, details)) } else { Ok("utility") };
        };
        match word(row, "status") {
            "APPROVED" => {}
            "PAUSED" => return Err(GraphError::new(132_015, "The template is paused")),
            "DISABLED" => return Err(GraphError::new(132_016, "The template is disabled")),
            _ => return Err(GraphError::new(132_001, "The template is not approved")),
        }
        fits(row, send)?;
        Ok(match word(row, "category") {
            "MARKETING" => "marketing",
            "AUTHENTICATION" => "authentication",
            _ => "utility",
        })
    }
}

/// The number of body parameters must be the number of different placeholders.
fn fits(row: &Value, send: &Map<String, Value>) -> Checked {
    let components = |of: Option<&Value>| of.and_then(Value::as_array).cloned().unwrap_or_default();
    let is_body = |component: &Value| word(component, "type").eq_ignore_ascii_case("body");
    let expected = components(row.get("components")).iter().find(|part| is_body(part)).map_or(0, |part| {
        let mut names: Vec<&str> =
            word(part, "text").split("{{").skip(1).filter_map(|rest| rest.split("}}").next()).collect();
        names.sort_unstable();
        names.dedup();
        names.len()
    });
    let given = components(send.get("components"))
        .iter()
        .find(|part| is_body(part))
        .map_or(0, |part| part.get("parameters").and_then(Value::as_array).map_or(0, Vec::len));
    if given == expected {
        return Ok(());
    }
    let details = format!("body: number of params ({given}) does not match the expected number of params ({expected})");
    Err(GraphError::new(132_000, details))
}
