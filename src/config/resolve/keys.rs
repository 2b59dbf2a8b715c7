//! keys.toml: the secrets that transfers are signed with, and references to them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use data_encoding::{BASE64, BASE64_NOPAD};
use toml::Spanned;

use super::node::content;
use crate::config::files::{Files, Place};
use crate::config::sheet::{Section, Sheet};
use crate::config::spec::{EnvTable, Field, KeyTable, KeysFile, TextOr};
use crate::config::value::{Fault, ip, word};
use crate::config::wording::choice;
use crate::model::{Algorithm, Key, Secret};
use crate::name::Name;

/// Longest secret, in octets: far beyond what a hash can use (RFC 2104 section 3).
const SECRET_MAX: usize = 1_024;

/// How a secret is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// In base64 as DNS servers and `openssl` write it (RFC 4648 section 4).
    Base64,
    /// As authorities of certificates give it out: also in the alphabet of section 5, and unpadded.
    Given,
}

/// The keys there are.
#[derive(Default)]
pub(in crate::config) struct Keys {
    /// `None`: it is there, but could not be read.
    by_name: BTreeMap<Name, Option<Arc<Key>>>,
    /// Whether any key may exist, because the file could not be read as a whole.
    lenient: bool,
}

/// Resolves the file; `folder` is where it is.
pub(in crate::config) fn resolve(
    spec: &KeysFile,
    sheet: &mut Sheet,
    folder: &Place,
    files: &mut Files,
) -> Keys {
    let mut keys = Keys { by_name: BTreeMap::new(), lenient: sheet.lost_table("key") };
    let lost: Vec<String> = sheet.lost_names("key").map(str::to_owned).collect();
    for name in lost {
        keys.by_name.extend(Name::parse(&name, &Name::root()).map(|name| (name, None)));
    }
    let mut top = sheet.top();
    super::version(&mut top, &spec.version);
    for (text, table) in &spec.key {
        let name = match Name::parse(text.get_ref(), &Name::root()) {
            Ok(name) => name,
            Err(error) => {
                let fault = Fault::new(format!("`{}` is not a key name: {error}", text.get_ref()));
                top.error(text.span(), fault);
                continue;
            }
        };
        let mut section = top.named("key", text.get_ref(), table.span());
        let key = key(&mut section, &name, &table.get_ref().0, folder, files);
        if keys.by_name.insert(name, key.map(Arc::new)).is_some() {
            let fault = Fault::new(format!("key `{}` is defined twice", text.get_ref()));
            top.error(text.span(), fault.hint("names of keys do not tell case"));
        }
    }
    keys
}

fn key(
    section: &mut Section<'_>,
    name: &Name,
    table: &KeyTable,
    folder: &Place,
    files: &mut Files,
) -> Option<Key> {
    let words = Algorithm::ALL;
    let read = word("algorithm", &words);
    let algorithm = section.required("algorithm", table.algorithm.as_ref(), read);
    let fields = (table.secret_file.as_ref(), table.secret.as_ref());
    let secret = secret_of(section, fields, Form::Base64, (folder, files));
    Some(Key { name: name.clone(), algorithm: algorithm?, secret: secret? })
}

/// A secret in a file or in the environment; one of the two must be there. `folder` is where the
/// file that names it is.
pub(super) fn secret_of(
    section: &mut Section<'_>,
    fields: (Option<&Spanned<String>>, Option<&Spanned<TextOr<EnvTable>>>),
    form: Form,
    (folder, files): (&Place, &mut Files),
) -> Option<Secret> {
    match fields {
        (Some(_), Some(field)) => {
            let fault = Fault::new("`secret` stands beside `secret_file`");
            section.error(field.span(), fault.hint("keep one of them"));
            None
        }
        (None, None) => {
            let fault = Fault::new("`secret_file` is missing");
            let hint = "write `secret_file = \"FILE\"` or `secret = { env = \"NAME\" }`";
            section.lacks("secret_file", fault.hint(hint));
            None
        }
        (named, None) => {
            section.optional("secret_file", named, |text| file(text, form, (folder, files)))
        }
        (None, held) => section.optional("secret", held, |value| variable(value, form)),
    }
}

/// The secret in a file.
fn file(text: &str, form: Form, (folder, files): (&Place, &mut Files)) -> Result<Secret, Fault> {
    let (source, place) = content(text, folder, files)?;
    secret(&format!("`{}`", place.shown), source.text(), form)
}

/// The secret in an environment variable.
fn variable(value: &TextOr<EnvTable>, form: Form) -> Result<Secret, Fault> {
    let hint = "write { env = \"NAME\" } and set that variable for the process";
    match value {
        TextOr::Text(_) => Err(Fault::new("a secret stands in the file").hint(hint)),
        TextOr::Table(EnvTable { env: None }) => Err(Fault::new("`env` is missing").hint(hint)),
        TextOr::Table(EnvTable { env: Some(name) }) => {
            let name = name.get_ref();
            let text = std::env::var(name).map_err(|_| {
                Fault::new(format!("the environment has no variable `{name}`"))
                    .hint("set it for the process that runs this")
            })?;
            secret(&format!("the variable `{name}`"), &text, form)
        }
    }
}

/// A secret, whose text is never shown.
fn secret(from: &str, text: &str, form: Form) -> Result<Secret, Fault> {
    let fault = |why: &str| {
        let hint = "such as `openssl rand -base64 32` prints it";
        Fault::new(format!("{from} holds no secret: {why}")).hint(hint)
    };
    let packed: String = text.split_whitespace().collect();
    let plain = packed.trim_end_matches('=').replace('-', "+").replace('_', "/");
    let lenient = BASE64_NOPAD.decode(plain.as_bytes());
    let octets = match form {
        Form::Given => lenient.map_err(|_| fault("expected base64"))?,
        Form::Base64 => match (lenient, BASE64.decode(packed.as_bytes())) {
            (Ok(octets), Ok(_)) => octets,
            (Err(_), _) => return Err(fault("expected base64")),
            (Ok(_), Err(_)) if packed.contains(['-', '_']) => {
                return Err(fault("it has `-` or `_` for what are `+` and `/` in base64"));
            }
            // Other servers would refuse it as well, or hold another key.
            (Ok(_), Err(_)) => {
                let why = "expected base64 with as many `=` at its end as make it whole fours";
                return Err(fault(why));
            }
        },
    };
    match octets.len() {
        0 => Err(fault("it is empty")),
        1..=SECRET_MAX => Ok(Secret::new(octets)),
        _ => Err(fault("it is too long")),
    }
}

impl Keys {
    /// Every key that can be used.
    pub(in crate::config) fn all(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.by_name.values().flatten()
    }

    /// The key that a file names; `None`: it exists, or may exist, but could not be read.
    pub(super) fn find(&self, text: &str) -> Result<Option<Arc<Key>>, Fault> {
        let name = Name::parse(text, &Name::root())
            .map_err(|error| Fault::new(format!("`{text}` is not a key name: {error}")))?;
        if let Some(key) = self.by_name.get(&name) {
            return Ok(key.clone());
        }
        if self.lenient {
            return Ok(None);
        }
        let known: Vec<String> = self.by_name.keys().map(Name::to_string).collect();
        let hint = if known.is_empty() {
            "keys.toml beside node.toml defines no key".to_owned()
        } else {
            choice("known keys", text, &known.iter().map(String::as_str).collect::<Vec<_>>())
        };
        Err(Fault::new(format!("unknown key `{text}`")).hint(hint))
    }
}

impl Section<'_> {
    /// The key that a table names; reported when it is unknown.
    pub(super) fn key(&mut self, field: &Field<String>, keys: &Keys) -> Option<Arc<Key>> {
        self.optional("key", field.as_ref(), |text| keys.find(text)).flatten()
    }

    /// Address and port of another server; reported when it is none.
    pub(super) fn server(
        &mut self,
        key: &str,
        field: Option<&Spanned<String>>,
        port: u16,
    ) -> Option<SocketAddr> {
        self.optional(key, field, |text| server(text, port))
    }
}

/// An address, with or without port; `port` is the usual one.
pub(super) fn server(text: &str, port: u16) -> Result<SocketAddr, Fault> {
    let whole = text.parse::<SocketAddr>().ok();
    let alone = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port));
    let read = whole.or_else(alone).ok_or_else(|| {
        Fault::new(format!("`{text}` is not an address"))
            .hint("such as `192.0.2.53`, `192.0.2.53:5353` or `[2001:db8::53]:5353`")
    })?;
    if read.port() == 0 {
        return Err(Fault::new(format!("`{text}` has port 0, expected 1 to 65535")));
    }
    ip(&read.ip().to_string())?;
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_dns_are_strict_base64_and_those_of_authorities_as_they_come() {
        let unpadded = Err("expected base64 with as many `=` at its end as make it whole fours");
        let of_urls = Err("it has `-` or `_` for what are `+` and `/` in base64");
        let other = Err("expected base64");
        for (text, strict, given) in [
            ("/+8=", Ok(2), Ok(2)),
            (" /+\n8=\n", Ok(2), Ok(2)),
            ("AAAA", Ok(3), Ok(3)),
            ("/+8", unpadded, Ok(2)),
            ("/+8==", unpadded, Ok(2)),
            ("AAAA=", unpadded, Ok(3)),
            ("_-8", of_urls, Ok(2)),
            ("_-8=", of_urls, Ok(2)),
            ("/+9=", other, other),
            ("/+8=AAAA", other, other),
            ("secret!", other, other),
            ("", Err("it is empty"), Err("it is empty")),
        ] {
            for (form, expected) in [(Form::Base64, strict), (Form::Given, given)] {
                let read = secret("`x`", text, form).map(|secret| secret.octets().len());
                let read = read.map_err(|fault| fault.what);
                let expected = expected.map_err(|why| format!("`x` holds no secret: {why}"));
                assert_eq!(read, expected, "{text:?} as {form:?}");
            }
        }
    }
}
