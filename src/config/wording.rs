//! Mistakes of form in words an operator can act on, whatever the libraries underneath say.

use toml::de::DeValue;

use super::spec::{DURATION_EXPECTED, RATE_EXPECTED};
use super::tree::Step;
use super::value::Fault;
use crate::diagnostic::nearest;

/// How messages of the parser start, and what to say instead.
const SYNTAX: [(&str, &str); 16] = [
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

/// A key or table that is there twice.
pub(super) fn twice(text: &str) -> Fault {
    Fault::new(format!("`{text}` is defined twice"))
        .hint("keep one of them, or give this one another name")
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
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    Fault::new(format!("unknown key `{key}`")).hint(choice("known keys", key, &known))
}

/// What to say of a word that is none of `known`: the nearest one, or all.
pub(super) fn choice<'a>(kind: &str, word: &str, known: &[&'a str]) -> String {
    let lower = word.to_lowercase().replace('_', "-");
    let exact = |name: &&&'a str| name.to_lowercase().replace('_', "-") == lower;
    let near = known.iter().find(exact).copied();
    match near.or_else(|| nearest(word, known.iter().copied())) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("{kind}: {}", known.join(", ")),
    }
}

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
        ("a list", DeValue::Integer(number)) => Some(format!("{key} = [{}]", number.as_str())),
        ("a string", DeValue::Integer(number)) => Some(format!("\"{}\"", number.as_str())),
        (DURATION_EXPECTED, DeValue::Integer(number)) => Some(format!("\"{}s\"", number.as_str())),
        (RATE_EXPECTED, DeValue::Integer(number)) => Some(format!("\"{}/s\"", number.as_str())),
        ("a whole number", DeValue::String(text)) => {
            text.parse::<i64>().ok().map(|number| number.to_string())
        }
        ("a number", DeValue::String(text)) => {
            text.parse::<f64>().ok().map(|number| number.to_string())
        }
        ("`true` or `false`", DeValue::String(text)) => {
            text.parse::<bool>().ok().map(|flag| flag.to_string())
        }
        _ => None,
    }
}
