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
        "telemetry",
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
