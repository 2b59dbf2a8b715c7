//! Every key of the configuration is documented, and none that does not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use regex::Regex;

use crate::markdown::{Document, codes, top};

/// A documented key.
pub(crate) struct Key {
    /// With all tables around it: `pool.NAME.endpoints[].weight`.
    pub(crate) path: String,
    /// What it holds.
    pub(crate) kind: String,
    /// The cell of its default.
    pub(crate) default: String,
    /// The cell of its range.
    pub(crate) range: String,
}

/// The keys that docs/configuration.md documents.
pub(crate) fn documented() -> Vec<Key> {
    let rows = Document::read("docs/configuration.md").rows();
    let keys = rows.into_iter().filter(|row| row.table == "key").map(|row| {
        assert_eq!(row.cells.len(), 5, "key, type, default, range, meaning: {row:?}");
        // `[dns.limits]` is a table; other headings are none.
        let table = codes(&row.heading).first().and_then(|code| code.strip_prefix('['));
        let table =
            table.map_or(String::new(), |table| table.trim_end_matches(']').to_owned() + ".");
        let [key, kind, default, range] = [0, 1, 2, 3].map(|at| row.cells[at].clone());
        Key { path: table + codes(&key)[0], kind, default, range }
    });
    keys.collect()
}

/// The structs of the specs by name, each with the name and type of its fields.
fn structs() -> BTreeMap<String, Vec<(String, String)>> {
    let body = Regex::new(r"(?s)struct (\w+) \{\n(.*?)\n\}").unwrap();
    let field = Regex::new(r"(?m)^    pub (?:r#)?(\w+): (.+),$").unwrap();
    let mut structs = BTreeMap::new();
    for file in [
        "node",
        "acme",
        "webhook",
        "relay",
        "keys",
        "tokens",
        "fleet",
        "latency",
        "protection",
        "shape",
        "zone",
    ] {
        let text = fs::read_to_string(top().join(format!("src/config/spec/{file}.rs"))).unwrap();
        for found in body.captures_iter(&text) {
            let fields = field.captures_iter(&found[2]);
            let fields = fields.map(|field| (field[1].to_owned(), field[2].to_owned())).collect();
            structs.insert(found[1].to_owned(), fields);
        }
    }
    structs
}

/// Collects the keys below a struct of the specs.
fn collect(
    structs: &BTreeMap<String, Vec<(String, String)>>,
    name: &str,
    path: &str,
    keys: &mut BTreeSet<String>,
) {
    let inner = Regex::new(r"(\w+Table)>").unwrap();
    for (field, kind) in &structs[name] {
        let path = format!("{path}{field}");
        // A table alone is a heading in the document; a list of tables, or a table in place of
        // a word, is a value.
        if !kind.starts_with("Named<") && !kind.starts_with("Field<Table<") {
            keys.insert(path.clone());
        }
        let Some(inner) = inner.captures(kind) else { continue };
        let step = match kind {
            kind if kind.starts_with("Named<") || kind.contains("BTreeMap<") => ".NAME.",
            kind if kind.starts_with("List<") => "[].",
            _ => ".",
        };
        let table = inner[1].to_owned();
        let table = if structs.contains_key(&table) { table } else { panic!("no spec {table}") };
        collect(structs, &table, &(path + step), keys);
    }
}

#[test]
fn every_key_of_the_specs_is_documented_and_no_other() {
    let structs = structs();
    let mut keys = BTreeSet::new();
    for file in ["NodeFile", "KeysFile", "TokensFile", "FleetFile", "ZoneFile"] {
        collect(&structs, file, "", &mut keys);
    }
    assert!(keys.len() > 70 && keys.contains("monitor.NAME.headers.NAME.env"), "{keys:?}");
    let all: Vec<String> = documented().into_iter().map(|key| key.path).collect();
    let documented: BTreeSet<String> = all.iter().cloned().collect();
    assert_eq!(documented.len(), all.len(), "a key is documented twice");
    let missing: Vec<_> = keys.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&keys).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?}");
}

/// The refusals of the code: a key, or a key and the refused word.
fn refused() -> BTreeSet<String> {
    let text = fs::read_to_string(top().join("src/config/unsupported.rs")).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap();
    let rule = Regex::new(r#"(?s)\b(?:key|word)\(\s*&\[([^\]]+)\](?:,\s*When::(\w+)\("(\w+)"\))?"#);
    let mut refused = BTreeSet::new();
    for found in rule.unwrap().captures_iter(text) {
        let steps: Vec<&str> =
            found[1].split(',').map(|step| step.trim().trim_matches('"')).collect();
        let mut path = String::new();
        for (at, step) in steps.iter().enumerate() {
            match *step {
                "*" if at == 1 && path != "route" => path += ".NAME",
                "*" => path += "[]",
                step if at == 0 => path += step,
                step => path = path + "." + step,
            }
        }
        match (found.get(2).map(|when| when.as_str()), found.get(3)) {
            // The short form of a method says what the long one does.
            (Some("Is"), Some(_)) if path.ends_with("[]") => {}
            (Some("Is"), Some(word)) => {
                refused.insert(format!("{path} = \"{}\"", word.as_str()));
            }
            _ => {
                refused.insert(path);
            }
        }
    }
    refused
}

#[test]
fn every_refused_key_and_word_is_listed_and_no_other() {
    let rows = Document::read("docs/configuration.md").rows();
    let mut listed = BTreeSet::new();
    for row in rows.iter().filter(|row| row.heading == "Not supported yet") {
        let mut before: Option<String> = None;
        for code in codes(&row.cells[1]) {
            let word = code.starts_with('"');
            match (word, &before, code.split_once(" = ")) {
                (true, Some(path), _) => drop(listed.insert(format!("{path} = {code}"))),
                (true, None, _) => {}
                (false, _, Some((path, _))) => {
                    before = Some(path.to_owned());
                    listed.insert(code.to_owned());
                }
                (false, ..) => {
                    before = None;
                    listed.insert(code.to_owned());
                }
            }
        }
    }
    let refused = refused();
    assert!(!refused.is_empty(), "nothing was read");
    assert_eq!(listed, refused);
}
