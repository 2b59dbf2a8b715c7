//! The documented defaults and ranges are those in force.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use meridian::config::{self, Origin};
use regex::Regex;
use tempfile::TempDir;
use toml::{Table, Value};

use crate::keys::documented;
use crate::markdown::codes;

/// All tables, and every key that has a default left out.
const FILES: [(&str, &str); 4] = [
    (
        "config/node.toml",
        "version = 1\n\
         [node]\nname = \"a\"\nregion = \"eu\"\n\
         [zones]\n[geo]\n[dns]\n[dns.query_log]\nfile = \"q\"\n\
         [dns.client_subnet]\n[dns.limits]\n[probe]\n[proxy]\n\
         tcp = [{ listen = \"192.0.2.1:5432\", pool = \"web\", sni = [\
         { hosts = [\"a.example\"], pool = \"web\" }] }]\n\
         udp = [{ listen = \"192.0.2.1:5000\", pool = \"web\" }]\n\
         [proxy.limits]\n[proxy.access_log]\nfile = \"a\"\n\
         [proxy.acme]\nagree_terms = true\ncertificates = [{ names = [\"www.example.com\"] }]\n\
         [cluster]\n[cluster.nats]\nservers = [\"tls://a\"]\n\
         [admin]\ntokens = \"tokens.toml\"\n[log]\n\
         [telemetry]\notlp = \"http://192.0.2.9:4318\"\n\
         [webhook.a]\nurl = \"https://a.example/\"\nsecret_file = \"secret\"\n",
    ),
    ("config/tokens.toml", TOKENS),
    (
        "config/fleet.toml",
        "version = 1\n\
         [region.eu]\nlocation = \"DE\"\n\
         [region.us]\nlocation = { lat = 38.95, lon = -77.45 }\n\
         [monitor.clear]\nkind = \"http\"\n\
         [monitor.secret]\nkind = \"http\"\nscheme = \"https\"\nexpires_within = \"7d\"\n\
         [monitor.port]\nkind = \"tcp\"\nport = 5432\n\
         [monitor.handshake]\nkind = \"tls\"\n\
         [monitor.call]\nkind = \"grpc\"\n\
         [monitor.question]\nkind = \"dns\"\nname = \"a.example\"\n\
         [monitor.echo]\nkind = \"icmp\"\n\
         [monitor.command]\nkind = \"exec\"\ncommand = [\"true\"]\n\
         [monitor.both]\nkind = \"calculated\"\nof = [\"clear\", \"port\"]\nat_least = 2\n\
         [monitor.heavy]\nkind = \"calculated\"\nweights = { clear = 2, port = 1 }\nthreshold = 2\n\
         [monitor.reports]\nkind = \"feed\"\nfile = \"reports\"\n\
         [pool.web]\nendpoints = [{ region = \"eu\", address = \"192.0.2.1\" }]\n\
         [safety]\n[latency]\n\
         [latency.resolvers]\nfile = \"resolvers\"\n[plan]\nversion = 1\n\
         [network.office]\nasns = [64500]\nregions = [\"us\"]\n\
         [[route]]\npool = \"web\"\ncache = {}\nsticky = { cookie = \"a\" }\n\
         rate_limit = { rate = \"1/s\" }\nhedge = {}\n\
         [[route]]\npath = \"/tls\"\npool = \"web\"\nupstream = { port = 80, tls = {} }\n\
         [[route]]\npool = \"web\"\nmethods = [\"PUT\"]\n\
         priority = { header = \"x\" }\n\
         [[route]]\npool = \"web\"\npath = \"/a\"\ncompress = true\n\
         unavailable = { body = \"a\" }\n\
         [[route]]\npath = \"/b\"\nredirect = { to = \"/\" }\n\
         [[route]]\npath = \"/c\"\nrespond = { body = \"a\" }\n",
    ),
    (
        "zones/example.com.toml",
        "version = 1\n[zone.transfer]\n\
         [service.www]\npool = \"web\"\n\
         [service.all]\npool = \"web\"\npolicy = [\"rotate\"]\n\
         [service.far]\npool = \"web\"\npolicy = [\
         { method = \"fence\", by = \"country\" }, { method = \"proximity\" }, \
         { method = \"latency\" }, { method = \"nearest\" }, { method = \"spill\" }, \
         { method = \"affinity\" }]\n",
    ),
];

/// A token of a digest that nobody has a token for.
const TOKENS: &str = "version = 1\n[token.a]\nrole = \"read\"\nhash = \"sha256:\
    0000000000000000000000000000000000000000000000000000000000000000\"\n";

/// A folder with these files.
fn lay_out<'a>(files: impl IntoIterator<Item = (&'a str, String)>) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::create_dir_all(folder.path().join("zones")).unwrap();
    fs::write(folder.path().join("config/secret"), "c2VjcmV0").unwrap();
    fs::write(folder.path().join("config/resolvers"), "192.0.2.53\n").unwrap();
    fs::write(folder.path().join("zones/example.com.zone"), "").unwrap();
    folder
}

/// A key in force as it is documented: `pool.web.endpoints[0].weight` is one of a pool's.
fn general(key: &str) -> String {
    let named =
        Regex::new(r#"^(region|monitor|pool|network|service|token|webhook)\.("[^"]*"|[^.]+)"#)
            .unwrap();
    let item = Regex::new(r"\[\d+\]").unwrap();
    item.replace_all(&named.replace(key, "$1.NAME"), "[]").into_owned()
}

#[test]
fn every_default_is_documented_as_it_is_in_force() {
    let folder = lay_out(FILES.map(|(path, text)| (path, text.to_owned())));
    let (loaded, values) = config::effective(&folder.path().join("config"));
    assert!(loaded.model.is_some(), "{}", loaded.diagnostics);
    let mut in_force: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for value in values.iter().filter(|value| value.from == Origin::Default) {
        in_force.entry(general(&value.key)).or_default().insert(&value.value);
    }
    for key in &documented() {
        let found = in_force.remove(&key.path).unwrap_or_default();
        let written: BTreeSet<&str> = codes(&key.default).into_iter().collect();
        assert_eq!(written, found, "{}: documented, and in force", key.path);
        let word = ["none", "required"].contains(&key.default.as_str());
        assert!(word || !written.is_empty(), "{}: `{}`", key.path, key.default);
    }
    assert!(in_force.is_empty(), "not documented: {in_force:?}");
}

/// The table with the value at a path changed, once for each place that the path can mean.
fn variants(at: &Value, path: &[&str], new: &Value) -> Vec<Value> {
    let Some((step, rest)) = path.split_first() else { return vec![new.clone()] };
    let Some(table) = at.as_table() else { return Vec::new() };
    let with = |key: &str, value: Value| {
        let mut table = table.clone();
        table.insert(key.to_owned(), value);
        Value::Table(table)
    };
    if let Some(list) = step.strip_suffix("[]") {
        let items = table.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
        let changed = (0..items.len()).flat_map(|index| {
            let variants = variants(&items[index], rest, new);
            let items = &items;
            variants.into_iter().map(move |value| {
                let mut items = items.clone();
                items[index] = value;
                Value::Array(items)
            })
        });
        return changed.map(|items| with(list, items)).collect();
    }
    let keys: Vec<&str> = match *step {
        "NAME" => table.keys().map(String::as_str).collect(),
        step => vec![step],
    };
    let empty = Value::Table(Table::new());
    let below = |key: &&str| {
        let inner = table.get(*key).unwrap_or(&empty);
        variants(inner, rest, new).into_iter().map(|value| with(key, value)).collect::<Vec<_>>()
    };
    keys.iter().flat_map(below).collect()
}

/// What is said when one key of the files has this value, wherever it can stand.
fn complaints(path: &str, value: &Value) -> String {
    let steps: Vec<&str> = path.split('.').collect();
    let mut said = String::new();
    for (changed, _) in FILES {
        let tables = FILES.map(|(file, text)| (file, Value::Table(text.parse().unwrap())));
        let (_, table) = tables.iter().find(|(file, _)| *file == changed).unwrap();
        if !table.as_table().unwrap().contains_key(steps[0].trim_end_matches("[]")) {
            continue;
        }
        for variant in variants(table, &steps, value) {
            let text = |file: &str, table: &Value| {
                toml::to_string(if file == changed { &variant } else { table }).unwrap()
            };
            let folder = lay_out(tables.iter().map(|(file, table)| (*file, text(file, table))));
            said += &config::load(&folder.path().join("config")).diagnostics.to_string();
        }
    }
    said
}

#[test]
fn what_is_above_a_documented_range_is_refused_with_that_range() {
    let range = Regex::new(r"^(-?\d+)([a-zA-Z]*) to (\d+)([a-zA-Z]*)$").unwrap();
    let mut seen = 0;
    for key in documented() {
        let Some(found) = range.captures(&key.range) else {
            let words = key.range.is_empty() || key.range.starts_with('`');
            assert!(words, "{}: what is `{}`?", key.path, key.range);
            continue;
        };
        let above = found[3].parse::<i64>().unwrap() + 1;
        let above = match (&found[4], key.kind.as_str()) {
            ("", kind) if kind == "share" || kind.starts_with("degrees") => {
                Value::Float(above as f64)
            }
            ("", _) => Value::Integer(above),
            (unit, _) => Value::String(format!("{above}{unit}")),
        };
        let above = match key.kind.split(' ').next().unwrap() {
            "list" => Value::Array(vec![above]),
            "table" => Value::Table([("eu".to_owned(), above)].into_iter().collect()),
            _ => above,
        };
        let said = complaints(&key.path, &above);
        let wanted = format!("must be from {}, found", key.range);
        assert!(said.contains(&wanted), "{} = {above}: wanted `{wanted}`\n{said}", key.path);
        seen += 1;
    }
    assert!(seen > 25, "{seen} ranges");
}

#[test]
fn the_documented_words_are_those_that_are_known() {
    let choice = Regex::new(r"`zzzzzzzzzz` \(expected one of: ([^)]*)\)").unwrap();
    for key in documented().iter().filter(|key| key.range.starts_with('`')) {
        let word = Value::String("zzzzzzzzzz".to_owned());
        let list = key.kind.starts_with("list");
        let said = complaints(&key.path, &if list { Value::Array(vec![word]) } else { word });
        let written: BTreeSet<&str> = codes(&key.range).into_iter().collect();
        let known = choice.captures(&said).map(|found| found.extract::<1>().1[0]);
        let known: BTreeSet<&str> = match known {
            Some(known) => known.split(", ").collect(),
            // The other words of this one are refused as not supported yet.
            None if said.contains("only \"auto\" is") => ["auto"].into(),
            None => panic!("{}: no word is refused\n{said}", key.path),
        };
        assert_eq!(written, known, "{}: documented, and known", key.path);
    }
}
