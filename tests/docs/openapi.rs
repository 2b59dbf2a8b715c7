//! docs/openapi.json is what the code says; `UPDATE_GOLDEN=1` writes it.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::markdown::{Document, codes, top};

#[test]
fn the_description_of_the_api_is_current() {
    let path = top().join("docs/openapi.json");
    let text = serde_json::to_string_pretty(&meridian::admin::openapi()).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "write it with UPDATE_GOLDEN=1 cargo nextest run --test docs");
}

#[test]
fn every_reference_leads_somewhere_and_every_operation_is_named_once() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = meridian::admin::openapi();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        let path = reference.strip_prefix('#').expect("a reference into the document");
        assert!(document.pointer(path).is_some(), "{reference}");
    }
    let paths = document["paths"].as_object().unwrap();
    let operations: Vec<&str> = paths
        .values()
        .flat_map(|methods| methods.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    let distinct: BTreeSet<&&str> = operations.iter().collect();
    assert_eq!(distinct.len(), operations.len(), "{operations:?}");
}

#[test]
fn every_route_stands_in_the_page_about_the_api() {
    let document = meridian::admin::openapi();
    let rows = Document::read("docs/api.md").rows();
    let told: BTreeSet<String> = rows
        .iter()
        .filter(|row| row.table == "request")
        .flat_map(|row| codes(&row.cells[0]).into_iter().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let path = path.replace("{which}", "WHICH").replace("{monitor}", "MONITOR");
            let path = path.replace("{pool}", "POOL").replace("{region}", "REGION");
            let path = path.replace("{file}", "FILE");
            let line = format!("{} {path}", method.to_uppercase());
            assert!(told.contains(&line), "`{line}` is not in docs/api.md: {told:?}");
        }
    }
}
