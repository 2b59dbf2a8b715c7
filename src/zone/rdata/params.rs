//! Service parameters of SVCB and HTTPS records (RFC 9460).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use data_encoding::BASE64;

use super::fields::{Fields, number, parse_str};
use super::forms;
use crate::name;
use crate::zone::mistake::{Mistake, quote};
use crate::zone::token::{Form, Word};

/// Registered keys by number (RFC 9460 section 14.3.2, RFC 9461, RFC 9540).
const KEYS: [&str; 9] = [
    "mandatory",
    "alpn",
    "no-default-alpn",
    "port",
    "ipv4hint",
    "ech",
    "ipv6hint",
    "dohpath",
    "ohttp",
];

const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const IPV4_HINT: u16 = 4;
const ECH: u16 = 5;
const IPV6_HINT: u16 = 6;
const DOHPATH: u16 = 7;
const OHTTP: u16 = 8;
/// Reserved as invalid (RFC 9460 section 14.3.2).
const INVALID: u16 = 65535;

/// One parameter as read.
struct Param {
    key: u16,
    value: Vec<u8>,
    range: Range<usize>,
}

/// Reads `KEY[=VALUE]…` and appends the parameters by ascending key (RFC 9460 section 2.2).
pub(super) fn encode(fields: &mut Fields<'_, '_>, out: &mut Vec<u8>) -> Result<(), Mistake> {
    let mut params: Vec<Param> = Vec::new();
    while fields.peek().is_some() {
        params.push(param(&fields.take("parameter")?)?);
    }
    params.sort_by_key(|param| param.key);
    for pair in params.windows(2) {
        if let [first, second] = pair
            && first.key == second.key
        {
            let what = format!("the parameter `{}` is given twice", shown(first.key));
            return Err(Mistake::new(second.range.clone(), what));
        }
    }
    check_mandatory(&params)?;
    let has_alpn = params.iter().any(|param| param.key == ALPN);
    if let Some(lone) = params.iter().find(|param| param.key == NO_DEFAULT_ALPN && !has_alpn) {
        // RFC 9460 section 7.1.1.
        let what = "`no-default-alpn` without `alpn` leaves no protocol";
        return Err(Mistake::new(lone.range.clone(), what));
    }
    for Param { key, value, range } in &params {
        let length = u16::try_from(value.len()).map_err(|_| {
            let what = format!("the value of `{}` has more than 65535 octets", shown(*key));
            Mistake::new(range.clone(), what)
        })?;
        out.extend(key.to_be_bytes());
        out.extend(length.to_be_bytes());
        out.extend_from_slice(value);
    }
    Ok(())
}

/// Every mandatory key must be there, once, and must not be `mandatory` (RFC 9460 section 8).
fn check_mandatory(params: &[Param]) -> Result<(), Mistake> {
    let Some(mandatory) = params.iter().find(|param| param.key == MANDATORY) else { return Ok(()) };
    let mut last = None;
    for key in mandatory.value.chunks_exact(2) {
        let key = key.iter().fold(0, |key, octet| key << 8 | u16::from(*octet));
        let fault = if key == MANDATORY {
            "must not list itself"
        } else if last == Some(key) {
            "lists a parameter twice"
        } else if params.iter().all(|param| param.key != key) {
            "lists a parameter that is missing"
        } else {
            last = Some(key);
            continue;
        };
        let what = format!("`mandatory` {fault}: `{}`", shown(key));
        return Err(Mistake::new(mandatory.range.clone(), what));
    }
    Ok(())
}

fn param(word: &Word<'_>) -> Result<Param, Mistake> {
    let wrong = |what: String| Mistake::new(word.range(), what);
    let split = word.text.iter().position(|byte| *byte == b'=');
    let (name, raw) = match split.and_then(|at| word.text.split_at_checked(at)) {
        Some((name, raw)) => (name, raw.get(1..)),
        None => (word.text, None),
    };
    let found = key(name).filter(|_| word.form != Form::Quoted).ok_or_else(|| {
        wrong(format!("unknown parameter {}", quote(word.text)))
            .hint(format!("expected KEY or KEY=VALUE with one of {}, or key65280", KEYS.join(", ")))
    })?;
    let key = match found {
        Key::Named(key) | Key::Numbered(key) => key,
    };
    if key == INVALID {
        return Err(wrong("the parameter `key65535` is reserved".to_owned()));
    }
    let text = raw.map(text).transpose().map_err(&wrong)?;
    let value = match found {
        // A key in its generic form has its value in wire form (RFC 9460 section 2.1).
        Key::Numbered(_) => Some(text.unwrap_or_default())
            .filter(|value| is_value(key, value))
            .ok_or("expected its octets as on the wire"),
        Key::Named(_) => value(key, text),
    };
    let value = value
        .map_err(|expected| wrong(format!("the value of `{}` is wrong: {expected}", shown(key))))?;
    Ok(Param { key, value, range: word.range() })
}

/// Whether these octets can be the value of a key; those of unknown keys can be anything.
pub(super) fn is_value(key: u16, value: &[u8]) -> bool {
    let groups = |of: usize| !value.is_empty() && value.len().is_multiple_of(of);
    match key {
        MANDATORY => groups(2) && value.chunks_exact(2).is_sorted_by(|a, b| a < b),
        ALPN => is_protocols(value),
        NO_DEFAULT_ALPN | OHTTP => value.is_empty(),
        PORT => value.len() == 2,
        IPV4_HINT => groups(4),
        IPV6_HINT => groups(16),
        ECH => !value.is_empty(),
        DOHPATH => is_dohpath(value),
        _ => true,
    }
}

/// One protocol or more, none of them empty, each with its length octet.
fn is_protocols(mut rest: &[u8]) -> bool {
    let some = !rest.is_empty();
    while let Some((length, tail)) = rest.split_first() {
        let Some(tail) = tail.get(usize::from(*length)..).filter(|_| *length > 0) else {
            return false;
        };
        rest = tail;
    }
    some
}

/// A path with a place for the variable `dns` (RFC 9461 section 5).
fn is_dohpath(value: &[u8]) -> bool {
    let variables = |text: &str| {
        let expressions = text.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
        expressions.map(|(inside, _)| inside.trim_start_matches(['?', '&']).to_owned()).collect()
    };
    let holds = |all: Vec<String>| all.iter().any(|one| one.split(',').any(|name| name == "dns"));
    std::str::from_utf8(value).is_ok_and(|text| text.starts_with('/') && holds(variables(text)))
}

/// How a key is written.
#[derive(Clone, Copy)]
enum Key {
    Named(u16),
    Numbered(u16),
}

fn key(name: &[u8]) -> Option<Key> {
    let known = KEYS.iter().position(|key| key.as_bytes() == name);
    let named = known.map(|key| Key::Named(key as u16));
    // RFC 9460 section 2.1: without leading zeros.
    let padded = name.starts_with(b"key0") && name != b"key0";
    named.or_else(|| forms::generic(name, b"key").filter(|_| !padded).map(Key::Numbered))
}

fn shown(key: u16) -> String {
    KEYS.get(usize::from(key)).map_or_else(|| format!("key{key}"), |key| (*key).to_owned())
}

/// The octets of a value, which may be quoted as a whole.
fn text(raw: &[u8]) -> Result<Vec<u8>, String> {
    let quoted = raw.strip_prefix(b"\"").and_then(|raw| raw.strip_suffix(b"\""));
    let mut rest = quoted.unwrap_or(raw);
    let mut octets = Vec::new();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'\\' => {
                let (octet, tail) =
                    name::unescape(rest).ok_or_else(|| name::NameError::Escape.to_string())?;
                octets.push(octet);
                rest = tail;
            }
            b'"' => return Err("the value is quoted in part".to_owned()),
            octet => octets.push(*octet),
        }
    }
    Ok(octets)
}

/// The wire form of a value; the error says what is expected.
fn value(key: u16, text: Option<Vec<u8>>) -> Result<Vec<u8>, &'static str> {
    match (key, text) {
        (NO_DEFAULT_ALPN | OHTTP, None) => Ok(Vec::new()),
        (NO_DEFAULT_ALPN | OHTTP, Some(_)) => Err("it takes none"),
        (0..OHTTP, None) => Err("it is missing"),
        (MANDATORY, Some(text)) => {
            let keys = items(&text).map(|item| match self::key(item)? {
                Key::Named(key) | Key::Numbered(key) => Some(key),
            });
            let keys: Option<Vec<u16>> = keys.collect();
            let mut keys = keys.ok_or("expected keys with commas between")?;
            keys.sort_unstable();
            Ok(keys.into_iter().flat_map(u16::to_be_bytes).collect())
        }
        (ALPN, Some(text)) => alpn(&text),
        (PORT, Some(text)) => number(&text, 65535)
            .map(|port| (port as u16).to_be_bytes().to_vec())
            .ok_or("expected a number up to 65535"),
        (IPV4_HINT, Some(text)) => items(&text)
            .map(|item| parse_str::<Ipv4Addr>(item).map(|address| address.octets()))
            .collect::<Option<Vec<_>>>()
            .map(|all| all.concat())
            .ok_or("expected IPv4 addresses with commas between"),
        (IPV6_HINT, Some(text)) => items(&text)
            .map(|item| parse_str::<Ipv6Addr>(item).map(|address| address.octets()))
            .collect::<Option<Vec<_>>>()
            .map(|all| all.concat())
            .ok_or("expected IPv6 addresses with commas between"),
        (ECH, Some(text)) => {
            BASE64.decode(&text).ok().filter(|ech| !ech.is_empty()).ok_or("expected base64")
        }
        (DOHPATH, Some(text)) if !is_dohpath(&text) => {
            Err("expected a path with the variable `dns`, such as `/dns-query{?dns}`")
        }
        (_, text) => Ok(text.unwrap_or_default()),
    }
}

fn items(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b',')
}

/// A list of protocols, each with its length octet; `\,` and `\\` stand for the octet itself
/// (RFC 9460 section 7.1.1 and appendix A.1).
fn alpn(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut wire = Vec::new();
    let mut protocol = Vec::new();
    let mut rest = text;
    loop {
        let (octet, tail) = match rest {
            [b'\\', octet @ (b',' | b'\\'), tail @ ..] => (Some(*octet), tail),
            [b'\\', ..] => return Err("expected `\\,` or `\\\\` after a backslash"),
            [b',', tail @ ..] => (None, tail),
            [octet, tail @ ..] => (Some(*octet), tail),
            [] => (None, rest),
        };
        let last = rest.is_empty();
        rest = tail;
        if let Some(octet) = octet {
            protocol.push(octet);
            continue;
        }
        let length = u8::try_from(protocol.len()).ok().filter(|length| *length > 0);
        wire.push(length.ok_or("expected protocols of 1 to 255 octets with commas between")?);
        wire.append(&mut protocol);
        if last {
            return Ok(wire);
        }
    }
}
