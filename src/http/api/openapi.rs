//! `GET /openapi.json`: made from the table of routes, so that it cannot differ from what is served.

use std::collections::{BTreeMap, BTreeSet};

use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::{Operation, PathItem, Paths};
use utoipa::openapi::schema::{AdditionalProperties, ArrayItems};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, Info, OpenApi, OpenApiBuilder, Ref, RefOr, Response, ResponseBuilder, Schema,
};
use utoipa::{PartialSchema, ToSchema};

use super::problem::{Code, Document, Fault};
use super::routes::{Access, Route};

/// Carries the permission of an operation. Whoever reaches the listener may do what has none.
pub(super) const PERMISSION: &str = "x-permission";
/// Carries the class of fields that a key must see to be answered at all.
const LEAST_CLASS: &str = "x-least-field-class";
/// Carries the highest class of fields in an answer.
const FIELD_CLASS: &str = "x-field-class";

const ABOUT: &str = "Reads what Meta delivered, sends messages, and sets the gateway up. Times are RFC 3339 in UTC. \
    Lists are pages: give `next_cursor` of one as `cursor` of the next. Every refusal is a problem document (RFC 9457).";

/// Problems that any operation may answer with.
const COMMON: [Code; 6] =
    [Code::Unauthenticated, Code::Forbidden, Code::InvalidQuery, Code::Unavailable, Code::TimedOut, Code::Internal];
/// Problems of operations with an id in their path.
const OF_ONE: [Code; 1] = [Code::NotFound];
/// Problems of operations with a body.
const OF_BODIES: [Code; 4] = [Code::InvalidJson, Code::BodyTooLarge, Code::UnsupportedMediaType, Code::InvalidBody];

/// The document of these routes.
pub(super) fn document(table: impl Iterator<Item = Route>) -> OpenApi {
    let mut info = Info::new("Waxseal", env!("CARGO_PKG_VERSION"));
    info.description = Some(ABOUT.to_owned());
    let mut components = Components::new();
    components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    let header = ApiKey::Header(ApiKeyValue::new("X-Api-Key"));
    components.add_security_scheme("header", SecurityScheme::ApiKey(header));
    components.schemas.insert("Problem".to_owned(), Document::schema());
    components.schemas.insert(Fault::name().into_owned(), Fault::schema());

    let (mut api, mut bodies) = (OpenApiBuilder::new().info(info).build(), BTreeSet::new());
    for Route { access, served: (schemas, paths, _) } in table {
        components.schemas.extend(schemas);
        for (path, mut item) in paths.paths {
            // The router's word for "and all that follows" is none of OpenAPI's.
            let path = path.replace("{*", "{");
            for operation in operations(&mut item) {
                complete(operation, &path, access);
                bodies.extend(body_of(operation));
            }
            match api.paths.paths.get_mut(&path) {
                Some(known) => known.merge_operations(item),
                None => drop(api.paths.paths.insert(path, item)),
            }
        }
    }
    refer_to_items(&mut components.schemas);
    close(&mut components.schemas, &bodies);
    api.components = Some(components);
    api
}

/// The statuses that the operation of these paths is documented with.
pub(super) fn statuses(paths: &mut Paths, access: Access) -> BTreeSet<String> {
    let mut statuses = BTreeSet::new();
    for (path, item) in &mut paths.paths {
        for operation in operations(item) {
            complete(operation, path, access);
            statuses.extend(operation.responses.responses.keys().cloned());
        }
    }
    statuses
}

/// A page holds its items by reference: where the schema of a page is made, the name of its items is not known.
fn refer_to_items(schemas: &mut BTreeMap<String, RefOr<Schema>>) {
    let names: BTreeSet<String> = schemas.keys().cloned().collect();
    for (name, schema) in schemas {
        let Some(item) = name.strip_prefix("Page_").filter(|item| names.contains(*item)) else { continue };
        let RefOr::T(Schema::Object(page)) = schema else { continue };
        if let Some(RefOr::T(Schema::Array(data))) = page.properties.get_mut("data") {
            data.items = ArrayItems::RefOrSchema(Box::new(Ref::from_schema_name(item).into()));
        }
    }
}

/// The name of the schema of an operation's body.
fn body_of(operation: &Operation) -> Option<String> {
    let Some(RefOr::T(body)) = &operation.request_body else { return None };
    let Some(RefOr::T(json)) = body.content.get("application/json") else { return None };
    let Some(RefOr::Ref(named)) = &json.schema else { return None };
    named.ref_location.rsplit('/').next().map(str::to_owned)
}

/// Bodies have the members that are documented and no others.
fn close(schemas: &mut BTreeMap<String, RefOr<Schema>>, bodies: &BTreeSet<String>) {
    for (_, schema) in schemas.iter_mut().filter(|(name, _)| bodies.contains(*name)) {
        if let RefOr::T(Schema::Object(body)) = schema {
            body.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten()
}

/// Adds what follows from the permission and the form of an operation.
fn complete(operation: &mut Operation, path: &str, access: Access) {
    let none: [&str; 0] = [];
    let mut common = COMMON.to_vec();
    operation.security = Some(match access {
        Access::Open => Vec::new(),
        Access::Needs { .. } => {
            vec![SecurityRequirement::new("bearer", none), SecurityRequirement::new("header", none)]
        }
    });
    match access {
        Access::Open => common.retain(|code| !matches!(code, Code::Unauthenticated | Code::Forbidden)),
        Access::Needs { permission, least, most } => {
            common.push(Code::ReadBudgetExceeded);
            let extensions = ExtensionsBuilder::new().add(PERMISSION, permission.as_str());
            let extensions = extensions.add(LEAST_CLASS, least.as_str()).add(FIELD_CLASS, most.as_str());
            operation.extensions = Some(extensions.build());
        }
    }
    let of_one: &[Code] = if path.contains('{') { &OF_ONE } else { &[] };
    let of_body: &[Code] = if operation.request_body.is_some() { &OF_BODIES } else { &[] };
    let mut codes: Vec<Code> = common.iter().chain(of_one).chain(of_body).copied().collect();
    codes.sort_by_key(|code| code.status());
    for code in codes {
        let status = code.status().as_u16().to_string();
        let responses = &mut operation.responses.responses;
        match responses.get_mut(&status) {
            Some(RefOr::T(known)) => known.description = format!("{} · `{}`", known.description, code.as_str()),
            _ => drop(responses.insert(status, RefOr::T(problem(&format!("`{}`", code.as_str()))))),
        }
    }
    // Those that a handler names itself have a description alone.
    for (_, answer) in operation.responses.responses.iter_mut().filter(|(status, _)| status.starts_with('4')) {
        if let RefOr::T(known) = answer {
            known.content = problem("").content;
        }
    }
}

fn problem(description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(description).content("application/problem+json", content).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::routes::table;

    fn documented() -> BTreeSet<String> {
        let api = serde_json::to_value(document(table())).unwrap();
        let mut lines = BTreeSet::new();
        for (path, item) in api["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                lines.insert(format!(
                    "{} {path} {}",
                    method.to_uppercase(),
                    operation[PERMISSION].as_str().unwrap_or("-")
                ));
            }
        }
        lines
    }

    #[test]
    fn every_route_of_the_table_is_documented_with_its_permission_and_nothing_else_is() {
        let mut lines = BTreeSet::new();
        for Route { access, served: (_, paths, _) } in table() {
            let permission = match access {
                Access::Needs { permission, .. } => permission.as_str(),
                Access::Open => "-",
            };
            for (path, mut item) in paths.paths {
                let methods = [
                    ("GET", &item.get),
                    ("POST", &item.post),
                    ("PUT", &item.put),
                    ("PATCH", &item.patch),
                    ("DELETE", &item.delete),
                ];
                let path = path.replace("{*", "{");
                for (method, _) in methods.iter().filter(|(_, operation)| operation.is_some()) {
                    assert!(lines.insert(format!("{method} {path} {permission}")), "twice: {method} {path}");
                }
                assert_eq!(operations(&mut item).count(), 1, "{path}");
            }
        }
        assert_eq!(lines, documented());
    }

    #[test]
    fn whoever_only_reads_can_change_nothing() {
        for line in documented() {
            // A link shows what the key that makes it reads anyway.
            let makes_link = ["/v1/media/{id}/link", "/v1/privacy/exports/{id}/link"]
                .iter()
                .any(|path| line.starts_with(&format!("POST {path} ")));
            let reads = line.starts_with("GET ") || makes_link;
            let is_link = ["GET /v1/media-links -", "GET /v1/privacy/export-links -"].contains(&line.as_str());
            assert_eq!(reads, line.ends_with(":read") || is_link, "{line}");
        }
    }

    #[test]
    fn every_schema_that_is_referred_to_is_there() {
        let api = serde_json::to_value(document(table())).unwrap();
        let text = api.to_string();
        for reference in text.split(r##""#/components/schemas/"##).skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(api["components"]["schemas"].get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn the_document_is_what_was_published() {
        let mut api = document(table());
        api.info.version = "any".to_owned();
        // A value's members are sorted; extensions are in no order.
        insta::assert_json_snapshot!("openapi", serde_json::to_value(api).unwrap());
    }
}
