//! `GET /docs`: the same document as `/openapi.json`, for people. Plain HTML: no script, nothing from elsewhere.

use std::fmt::Write;
use std::future::{Ready, ready};
use std::sync::{Arc, LazyLock};

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use utoipa::openapi::OpenApi;

use super::openapi::{PERMISSION, document};
use super::problem::Code;
use super::routes::table;
use crate::access::permissions::ADMIN;
use crate::domain::event::EventType;

/// The page's style sheet.
pub(super) const STYLE: &str = include_str!("docs.css");

/// The page, rendered once.
fn page(api: &OpenApi) -> String {
    // What is served as JSON can be turned into JSON.
    let api = serde_json::to_value(api).unwrap_or_default();
    let mut page = Page { html: String::new() };
    page.put("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Waxseal API</title>");
    page.put(
        "<meta name=\"viewport\" content=\"width=device-width\"><link rel=\"stylesheet\" href=\"/docs/style.css\">",
    );
    page.put("<main><h1>Waxseal API</h1>");
    page.text("p", text(&api, "/info/description"));
    page.put("<p>Show your key as <code>Authorization: Bearer waxseal_live_…</code> or as <code>X-Api-Key</code>. ");
    page.put("This page for programs: <a href=\"/openapi.json\">openapi.json</a>.</p>");
    page.contents(&api);
    page.operations(&api);
    page.events();
    page.schemas(&api);
    page.problems();
    page.put("</main></html>\n");
    page.html
}

/// A handler that always answers this, which is made when somebody asks for the first time.
pub(super) fn fixed(kind: &'static str, make: fn() -> Bytes) -> impl Fn() -> Ready<Response> + Clone + Send {
    let body = Arc::new(LazyLock::new(make));
    move || ready(([(CONTENT_TYPE, kind)], Bytes::clone(&body)).into_response())
}

/// `/openapi.json`.
pub(super) fn of_programs() -> Bytes {
    // What utoipa builds, it can write. By way of a value, whose members are sorted: its extensions are in no order.
    serde_json::to_value(document(table())).map(|api| api.to_string()).unwrap_or_default().into()
}

/// `/docs`.
pub(super) fn of_people() -> Bytes {
    page(&document(table())).into()
}

struct Page {
    html: String,
}

/// The text at a JSON pointer.
fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn members(value: Option<&Value>) -> impl Iterator<Item = (&str, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

fn elements(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

/// Every operation with its method and path.
fn operations(api: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    members(api.get("paths")).flat_map(|(path, item)| members(Some(item)).map(move |(method, it)| (method, path, it)))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Markdown as far as our own texts use it: `code`.
fn inline(text: &str) -> String {
    let mut html = String::new();
    for (at, part) in escaped(text).split('`').enumerate() {
        html.push_str(match (at, at % 2) {
            (0, _) => "",
            (_, 1) => "<code>",
            _ => "</code>",
        });
        html.push_str(part);
    }
    html
}

/// A schema in a few words, with links to the named ones.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next()) {
        let name = escaped(name);
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    let one_of: Vec<String> =
        elements(schema.get("oneOf")).filter(|one| text(one, "/type") != "null").map(kind).collect();
    if !one_of.is_empty() {
        return one_of.join(" or ");
    }
    if let Some(items) = schema.get("items") {
        return format!("list of {}", kind(items));
    }
    let named = elements(schema.get("type")).filter_map(Value::as_str).find(|one| *one != "null");
    let mut words = named.unwrap_or(text(schema, "/type")).to_owned();
    if let Some(format) = schema.get("format").and_then(Value::as_str) {
        let _infallible = write!(words, " ({format})");
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        let _infallible = write!(words, " {pattern}");
    }
    escaped(&words)
}

impl Page {
    fn put(&mut self, html: &str) {
        self.html.push_str(html);
    }

    fn text(&mut self, tag: &str, text: &str) {
        for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
            self.put(&format!("<{tag}>{}</{tag}>", inline(paragraph)));
        }
    }

    fn contents(&mut self, api: &Value) {
        self.put("<nav><table>");
        for (method, path, operation) in operations(api) {
            let (id, summary) = (escaped(text(operation, "/operationId")), inline(text(operation, "/summary")));
            let (method, path) = (method.to_uppercase(), escaped(path));
            self.put(&format!("<tr><td>{method}<td><a href=\"#{id}\"><code>{path}</code></a><td>{summary}"));
        }
        self.put("</table><p><a href=\"#events\">Event types</a> · <a href=\"#schemas\">Schemas</a> · ");
        self.put("<a href=\"#problems\">Problems</a></p></nav>");
    }

    fn operations(&mut self, api: &Value) {
        for (method, path, operation) in operations(api) {
            let (id, permission) = (escaped(text(operation, "/operationId")), escaped(operation_permission(operation)));
            let (method, path) = (method.to_uppercase(), escaped(path));
            self.put(&format!("<section id=\"{id}\"><h2>{method} <code>{path}</code></h2>"));
            self.text("p", text(operation, "/summary"));
            self.text("p", text(operation, "/description"));
            self.put(&match permission.as_str() {
                "" => "<p>No key is needed.</p>".to_owned(),
                permission => format!("<p>Permission: <code>{permission}</code> (or <code>{ADMIN}</code>)</p>"),
            });
            self.parameters(operation);
            if let Some(schema) = operation.pointer("/requestBody/content/application~1json/schema") {
                self.put(&format!("<p>Body: {}</p>", kind(schema)));
            }
            self.answers(operation);
            self.put("</section>");
        }
    }

    fn parameters(&mut self, operation: &Value) {
        if elements(operation.get("parameters")).next().is_none() {
            return;
        }
        self.put("<table>");
        for parameter in elements(operation.get("parameters")) {
            let (name, place) = (escaped(text(parameter, "/name")), escaped(text(parameter, "/in")));
            let kind = parameter.get("schema").map(kind).unwrap_or_default();
            let about = inline(text(parameter, "/description"));
            self.put(&format!("<tr><td><code>{name}</code><td>{place}<td>{kind}<td>{about}"));
        }
        self.put("</table>");
    }

    fn answers(&mut self, operation: &Value) {
        self.put("<table>");
        for (status, answer) in members(operation.get("responses")) {
            let schema = members(answer.get("content")).find_map(|(_, content)| content.get("schema"));
            let (about, kind) = (inline(text(answer, "/description")), schema.map(kind).unwrap_or_default());
            self.put(&format!("<tr><td>{}<td>{about}<td>{kind}", escaped(status)));
        }
        self.put("</table>");
    }

    fn events(&mut self) {
        self.put("<section id=\"events\"><h2>Event types</h2><p>");
        let names: Vec<String> = EventType::ALL.iter().map(|one| format!("<code>{}</code>", one.as_str())).collect();
        self.put(&names.join(" · "));
        self.put("</p></section>");
    }

    fn schemas(&mut self, api: &Value) {
        self.put("<section id=\"schemas\"><h2>Schemas</h2></section>");
        for (name, schema) in members(api.pointer("/components/schemas")) {
            let name = escaped(name);
            self.put(&format!("<section id=\"schema-{name}\"><h3>{name}</h3>"));
            self.text("p", text(schema, "/description"));
            let parts = || elements(schema.get("allOf")).chain(elements(schema.get("oneOf"))).chain([schema]);
            if parts().all(|part| part.get("properties").is_none()) {
                self.put(&format!("<p>{}</p>", kind(schema)));
            }
            for part in parts() {
                self.fields(part);
            }
            self.put("</section>");
        }
    }

    fn fields(&mut self, schema: &Value) {
        if schema.get("$ref").is_some() {
            self.put(&format!("<p>Everything of {}, and:</p>", kind(schema)));
        }
        if members(schema.get("properties")).next().is_none() {
            return;
        }
        self.put("<table>");
        for (name, field) in members(schema.get("properties")) {
            let required = elements(schema.get("required")).any(|one| one.as_str() == Some(name));
            let required = if required { "always" } else { "" };
            let about = inline(text(field, "/description"));
            self.put(&format!("<tr><td><code>{}</code><td>{required}<td>{}<td>{about}", escaped(name), kind(field)));
        }
        self.put("</table>");
    }

    fn problems(&mut self) {
        self.put("<section id=\"problems\"><h2>Problems</h2><table>");
        for code in Code::ALL {
            let (name, status) = (code.as_str(), code.status().as_u16());
            let about = inline(code.meaning());
            self.put(&format!("<tr id=\"problem-{name}\"><td><code>{name}</code><td>{status}<td>{about}"));
        }
        self.put("</table></section>");
    }
}

fn operation_permission(operation: &Value) -> &str {
    operation.get(PERMISSION).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::http::api::routes::table;

    #[test]
    fn every_operation_schema_and_problem_is_on_the_page_and_every_link_leads_somewhere() {
        let (page, api) = (page(&document(table())), serde_json::to_value(document(table())).unwrap());
        for (_, _, operation) in operations(&api) {
            assert!(page.contains(&format!("<section id=\"{}\">", text(operation, "/operationId"))));
        }
        for code in Code::ALL {
            assert!(page.contains(&format!("id=\"problem-{}\"", code.as_str())));
        }
        for link in page.split("href=\"#").skip(1) {
            let id = link.split('"').next().unwrap();
            assert!(page.contains(&format!("id=\"{id}\"")), "#{id}");
        }
    }

    #[test]
    fn the_page_loads_and_runs_nothing_but_its_style_sheet() {
        let page = page(&document(table()));
        for word in ["<script", "http://", "src=", "style=", "<style", "onload"] {
            assert!(!page.contains(word), "{word}");
        }
    }

    #[test]
    fn texts_are_escaped_before_they_are_marked_up() {
        assert_eq!(inline("a `b<c` & `d`"), "a <code>b&lt;c</code> &amp; <code>d</code>");
    }
}
