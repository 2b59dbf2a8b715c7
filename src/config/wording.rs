//! Mistakes of form in words an operator can act on, whatever the libraries underneath say.

use toml::de::DeValue;

use super::spec::{DURATION_EXPECTED, RATE_EXPECTED};
use super::tree::Step;
use super::value::Fault;
use crate::diagnostic::nearest;

/// How messages of the parser start, and what to say instead.
const SYNTAX: [(&str, &str); 23] = [
    ("unclosed table", "the closing `]` of the header is missing"),
    ("unclosed array table", "the closing `]]` of the header is missing"),
    ("key with no value", "`=` is missing after the key"),
    ("missing value for key", "`=` is missing after the key"),
    ("missing comma between array elements", "a comma is missing between two items"),
    ("missing comma between key-value pairs", "a comma is missing between two keys"),
    ("extra comma", "there is a comma too many"),
    ("extra `=`", "there is an `=` too many"),
    ("invalid key-value pair", "unexpected text, expected `key = value` or a `[table]`"),
    ("unexpected key or value", "unexpected text, expected the end of the line"),
    ("invalid inline table element", "unexpected text, expected `,` or `}`"),
    ("missing key for inline table", "unexpected text, expected `key = value`"),
    ("missing assignment between", "`=` is missing after the key"),
    ("unquoted keys cannot be empty", "a key is missing"),
    ("invalid unquoted key", "this key or name is not quoted"),
    ("missing escaped value", "unknown escape after `\\`"),
    ("carriage return must", "a carriage return without a line feed"),
    ("invalid basic string", "a control character in a string"),
    ("invalid multi-line", "a control character in a string"),
    ("invalid literal string", "a control character in a string"),
    ("invalid comment character", "a control character in a comment"),
    ("cannot recurse", "lists or tables are nested too deep"),
    ("recursion limit", "a key or header has too many dots"),
];

/// A syntax error. `unclosed`: the value it is in never ends.
pub(super) fn syntax(message: &str, unclosed: bool) -> Fault {
    if unclosed {
        return Fault::new("the closing bracket of this value is missing");
    }
    if message.ends_with("string, expected `\"`") || message.ends_with("string, expected `'`") {
        return Fault::new("the closing quote is missing");
    }
    let Some((start, what)) = SYNTAX.iter().find(|(start, _)| message.starts_with(start)) else {
        return Fault::new(message);
    };
    let fault = Fault::new(*what);
    match *start {
        "missing escaped value" => fault.hint("write `\\\\` for a backslash, or use '…' quotes"),
        "invalid unquoted key" => fault.hint("such as [service.\"*.eu\"]"),
        "carriage return must" => fault.hint("save the file with the line ends of Unix"),
        "invalid basic string" | "invalid multi-line" => fault.hint("write it as `\\uXXXX`"),
        "invalid literal string" => fault.hint("write it as `\\uXXXX` in \"…\" quotes"),
        "invalid comment character" => fault.hint("take it out"),
        _ => fault,
    }
}

/// A word that is neither quoted nor a number nor `true` or `false`.
pub(super) fn word(text: &str) -> Fault {
    let number = |c: char| c.is_ascii_digit() || "+-._".contains(c);
    let fault = Fault::new(format!("`{text}` is not quoted"));
    match text {
        "" => Fault::new("a value is missing after `=`"),
        "True" | "TRUE" | "yes" | "on" => fault.hint("write `true`, or quote it"),
        "False" | "FALSE" | "no" | "off" => fault.hint("write `false`, or quote it"),
        _ if text.chars().all(number) => {
            Fault::new(format!("`{text}` is not a number")).hint("quote it if text is meant")
        }
        _ => fault.hint(format!("write `\"{text}\"`")),
    }
}

/// A key or table that is there twice; `first`: the line of a table's first header.
pub(super) fn twice(text: &str, first: Option<usize>) -> Fault {
    let first = first.map_or_else(String::new, |line| format!("the first is in line {line}; "));
    Fault::new(format!("`{text}` is defined twice"))
        .hint(format!("{first}keep one of them, or give this one another name"))
}

/// A date where the language knows none.
pub(super) fn date(text: &str) -> Fault {
    Fault::new(format!("`{text}` is a date, and no key takes one"))
        .hint(format!("write `\"{text}\"` if text is meant"))
}

/// An unknown key or a value of the wrong type, at the entry that `path` leads to.
pub(super) fn mistyped(message: &str, path: &[Step], value: &DeValue<'_>) -> Fault {
    let (key, is_item) = named(path);
    let expected = message.rsplit_once(", expected ").map_or("", |(_, expected)| expected);
    if is_unknown_key(message) {
        return match (path, value) {
            ([Step::Key(kind), Step::Key(name), Step::Key(_)], DeValue::Table(_))
                if kind == "service" =>
            {
                Fault::new(format!("unknown table `{key}` in service `{name}`"))
                    .hint(format!("a name with dots is quoted: [service.\"{name}.{key}\"]"))
            }
            ([_], _) if elsewhere(key, expected).is_some() => {
                Fault::new(format!("`{key}` does not belong in this file"))
                    .hint(elsewhere(key, expected).unwrap_or_default())
            }
            _ => unknown_key(key, expected),
        };
    }
    let of = if is_item { "an item of " } else { "" };
    if is_too_large(message) {
        return Fault::new(format!("{of}`{key}` is out of range, found {}", found(value)));
    }
    let words = match expected {
        "i64" => "a whole number",
        "f64" => "a number",
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list",
        "a map" => "a table",
        "" => return Fault::new(message),
        other => other,
    };
    let fault = Fault::new(format!("{of}`{key}` must be {words}, found {}", found(value)));
    match meant(words, key, value) {
        Some(meant) => fault.hint(format!("write `{meant}`")),
        None => fault,
    }
}

/// Whether serde complains of a key.
pub(super) fn is_unknown_key(message: &str) -> bool {
    message.starts_with("unknown field")
}

/// Whether serde complains of a type, which holds for all values of that type in that place.
pub(super) fn is_wrong_type(message: &str) -> bool {
    message.starts_with("invalid type") && !is_too_large(message)
}

/// Whether serde found a whole number beyond 64 bits, which it calls another type.
fn is_too_large(message: &str) -> bool {
    message.contains("as i128") || message.contains("as u128")
}

/// The last key of a path, and whether an item of its list is meant.
fn named(path: &[Step]) -> (&str, bool) {
    let key = path.iter().rev().find_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Item(_) => None,
    });
    (key.unwrap_or_default(), matches!(path.last(), Some(Step::Item(_))))
}

/// An unknown key; serde gives the known ones in backquotes.
fn unknown_key(key: &str, expected: &str) -> Fault {
    Fault::new(format!("unknown key `{key}`")).hint(choice("known keys", key, &known(expected)))
}

/// The keys that serde lists.
fn known(expected: &str) -> Vec<&str> {
    expected.split('`').skip(1).step_by(2).collect()
}

/// The tables at the top of each file.
const TABLES: [(&str, &[&str]); 3] = [
    (
        "node.toml",
        &["node", "zones", "geo", "dns", "probe", "proxy", "cluster", "admin", "log", "telemetry"],
    ),
    ("fleet.toml", &["region", "monitor", "pool", "network", "safety", "plan", "latency", "route"]),
    ("zones/NAME.toml", &["service"]),
];

/// Where a table belongs that is at the top of the wrong file; `expected`: the keys of this one.
fn elsewhere(key: &str, expected: &str) -> Option<String> {
    let known = known(expected);
    let (file, _) = TABLES.iter().find(|(_, tables)| tables.contains(&key))?;
    (!known.contains(&key)).then(|| format!("it belongs in {file}"))
}

/// What to say of a word that is none of `known`: the nearest one, or all.
pub(super) fn choice(kind: &str, word: &str, known: &[&str]) -> String {
    match meant_name(word, known) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("{kind}: {}", known.join(", ")),
    }
}

/// The known name that a misspelt one was meant to be: the same but for case and hyphens, the
/// nearest, or one that is written out.
pub(super) fn meant_name<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |name: &str| name.to_lowercase().replace('_', "-");
    let lower = plain(word);
    let longer = |name: &&str| name.len() >= WRITTEN_OUT_MIN && lower.starts_with(&plain(name));
    let exact = known.iter().find(|name| plain(name) == lower);
    let near = exact.copied().or_else(|| nearest(word, known.iter().copied()));
    near.or_else(|| known.iter().copied().find(longer))
}

/// Shortest name taken for the start of a longer word: `lat` of `latitude`.
const WRITTEN_OUT_MIN: usize = 3;

fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string `\"{text}\"`"),
        DeValue::Integer(number) => format!("the number `{}`", number.as_str()),
        DeValue::Float(number) => format!("the number `{}`", number.as_str()),
        DeValue::Boolean(flag) => format!("`{flag}`"),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// What to write instead, where that can be told from the value.
fn meant(expected: &str, key: &str, value: &DeValue<'_>) -> Option<String> {
    match (expected, value) {
        ("a list", DeValue::String(text)) => Some(format!("{key} = [\"{text}\"]")),
        ("a list", DeValue::Integer(number)) if key == "expect_status" => {
            Some(format!("{key} = [\"{}\"]", number.as_str()))
        }
        ("a list", DeValue::Integer(number)) => Some(format!("{key} = [{}]", number.as_str())),
        ("a table", _) if key == "ttl" => Some("ttl = { min = \"5s\", max = \"30s\" }".to_owned()),
        ("a table", DeValue::String(text)) if key == "client_subnet" => {
            Some(format!("client_subnet = {{ policy = \"{text}\" }}"))
        }
        ("a string", DeValue::Integer(number)) => Some(format!("\"{}\"", number.as_str())),
        (DURATION_EXPECTED, DeValue::Integer(number)) => Some(format!("\"{}s\"", number.as_str())),
        (RATE_EXPECTED, DeValue::Integer(number)) => Some(format!("\"{}/s\"", number.as_str())),
        ("a whole number", DeValue::String(text)) => {
            let digits = if key == "asns" { text.trim_start_matches(['A', 'S']) } else { text };
            digits.parse::<i64>().ok().map(|number| number.to_string())
        }
        ("a number", DeValue::String(text)) => {
            let percent = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
            let share = percent.map(|number| number / 100.0);
            share.or_else(|| text.parse().ok()).map(|number| number.to_string())
        }
        ("`true` or `false`", DeValue::String(text)) => {
            text.parse::<bool>().ok().map(|flag| flag.to_string())
        }
        _ => None,
    }
}
