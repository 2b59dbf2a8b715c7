//! The description of the API in the form of `OpenAPI` 3.1, made from the table of routes.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::routes::{Content, Parameter, Route, Within, table};
use crate::model::Role;

/// Problems that may come before any route that needs rights: of who asks, and of the host.
const OF_WHO: [u16; 4] = [401, 403, 421, 429];
/// What must not happen, and is documented since every server has it.
const OURS: u16 = 500;

/// Gives the document.
pub(super) async fn serve() -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::OK, kind, openapi().to_string()).into_response()
}

/// The document.
pub fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut shapes = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for route in table() {
        let operation = operation(route, &mut shapes);
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(methods) = methods.as_object_mut() {
            methods.insert(route.method.as_str().to_ascii_lowercase(), operation);
        }
    }
    let mut schemas = shapes.take_definitions(true);
    schemas.insert("Problem".to_owned(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Meridian admin API",
            "version": "1",
            "summary": "What the commands do, as JSON over HTTP.",
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }, { "certificate": [] }, {}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "certificate": { "type": "mutualTLS" },
            },
        },
    })
}

fn operation(route: &Route, shapes: &mut SchemaGenerator) -> Value {
    let mut replies = Map::new();
    let (status, content) = route.gives;
    replies.insert(status.to_string(), reply("It is done, or told.", content, shapes));
    let guarded = route.role.map_or(&[][..], |_| &OF_WHO);
    for status in guarded.iter().chain(route.refuses).chain([&OURS]) {
        if *status == 304 {
            // It has no body (RFC 9110 section 15.4.5).
            let told = json!({ "description": reason(*status) });
            replies.insert(status.to_string(), told);
            continue;
        }
        let text = matches!(route.gives.1, Content::Text("text/plain")) && route.role.is_none();
        let told = if text {
            reply("Not now.", Content::Text("text/plain"), shapes)
        } else {
            let schema = json!({ "$ref": "#/components/schemas/Problem" });
            json!({
                "description": reason(*status),
                "content": { "application/problem+json": { "schema": schema } },
            })
        };
        replies.insert(status.to_string(), told);
    }
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.does,
        "parameters": route.takes.iter().map(parameter).collect::<Vec<_>>(),
        "responses": replies,
        "x-role": route.role.map_or("none", Role::as_str),
    });
    if let (Some(body), Some(members)) = (&route.body, operation.as_object_mut()) {
        let schema = (body.shape)(shapes);
        let body = json!({
            "required": body.required,
            "content": { "application/json": { "schema": schema } },
        });
        members.insert("requestBody".to_owned(), body);
    }
    if let (None, Some(members)) = (route.role, operation.as_object_mut()) {
        members.insert("security".to_owned(), json!([]));
    }
    operation
}

fn reply(what: &str, content: Content, shapes: &mut SchemaGenerator) -> Value {
    let (kind, schema) = match content {
        Content::Json(shape) => ("application/json", shape(shapes).to_value()),
        Content::Text(kind) => (kind, json!({ "type": "string" })),
    };
    json!({ "description": what, "content": { kind: { "schema": schema } } })
}

fn parameter(parameter: &Parameter) -> Value {
    let mut one = json!({ "type": "string" });
    if let Some(members) = one.as_object_mut() {
        if !parameter.words.is_empty() {
            members.insert("enum".to_owned(), json!(parameter.words));
        }
        if parameter.within == Within::Path {
            members.insert("minLength".to_owned(), json!(1));
        }
    }
    let schema = if parameter.many { json!({ "type": "array", "items": one }) } else { one };
    json!({
        "name": parameter.name,
        "in": match parameter.within {
            Within::Path => "path",
            Within::Query => "query",
            Within::Header => "header",
        },
        "required": parameter.required,
        "description": parameter.means,
        "schema": schema,
    })
}

fn reason(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("error")
}

/// What every refusal is (RFC 9457).
fn problem() -> Value {
    json!({
        "type": "object",
        "required": ["title", "status", "error"],
        "properties": {
            "title": { "type": "string", "description": "The status in words." },
            "status": { "type": "integer", "description": "The status." },
            "error": { "type": "string", "description": "What is wrong." },
            "hint": { "type": "string", "description": "What to do about it." },
            "losses": {
                "type": "array",
                "description": "What services would lose against the rules of `[safety]`.",
                "items": {
                    "type": "object",
                    "required": ["service", "left", "regions", "rule"],
                    "properties": {
                        "service": { "type": "string" },
                        "left": { "type": "integer" },
                        "regions": { "type": "array", "items": { "type": "string" } },
                        "rule": { "enum": ["min_regions", "min_capacity", "last_record"] },
                    },
                },
            },
            "revision": { "type": "integer", "description": "What the overrides are at now." },
        },
    })
}
