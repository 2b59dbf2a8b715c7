//! `[dns.cookies]`: the policy, and the secrets from a file or the environment.

use toml::Spanned;

use super::node::content;
use super::secrets::secrets;
use crate::config::defaults as d;
use crate::config::files::{Files, Place};
use crate::config::sheet::Section;
use crate::config::spec::{CookiesTable, EnvTable, Table, TextOr};
use crate::config::value::{Fault, word};
use crate::model::{CookiePolicy, Cookies};

/// How a secret looks.
const SECRET: &str = "32 hexadecimal digits, such as `openssl rand -hex 16` prints";

/// Resolves the table; `folder` is where node.toml is.
pub(super) fn resolve(
    dns: &mut Section<'_>,
    table: Option<&Spanned<Table<CookiesTable>>>,
    folder: &Place,
    files: &mut Files,
) -> Cookies {
    let mut section = dns.inside("cookies", table.map(Spanned::span).unwrap_or_default());
    let empty = CookiesTable::default();
    let table = table.map_or(&empty, |table| &table.get_ref().0);
    let words = [
        ("on", CookiePolicy::On),
        ("off", CookiePolicy::Off),
        ("required", CookiePolicy::Required),
    ];
    let policy = section.value("policy", &table.policy, d::COOKIES, word("policy", &words));
    if table.secret_file.is_none() && table.secret.is_none() {
        section.default("secret_file", d::COOKIE_SECRET);
    }
    let read = |text: &str, from: &str| secrets(text, from, SECRET, |word| word.parse().ok());
    let from_file = section.optional("secret_file", table.secret_file.as_ref(), |text| {
        let (source, place) = content(text, folder, files)?;
        read(source.text(), &place.shown)
    });
    let from_environment = section.optional("secret", table.secret.as_ref(), |value| {
        let TextOr::Table(EnvTable { env }) = value else {
            let fault = Fault::new("the secret itself stands in the file");
            return Err(fault.hint("write `secret_file`, or { env = \"NAME\" }"));
        };
        let variable = env.as_ref().ok_or_else(|| Fault::new("`env` is missing"))?.get_ref();
        let text = std::env::var(variable).map_err(|_| {
            Fault::new(format!("the environment has no variable `{variable}`"))
                .hint("set it for the process that runs this")
        })?;
        read(&text, variable)
    });
    let keys = [
        ("secret_file", table.secret_file.as_ref().map(Spanned::span)),
        ("secret", table.secret.as_ref().map(Spanned::span)),
    ];
    let mut spans = keys.iter().filter_map(|(key, span)| Some((key, span.clone()?)));
    match (spans.next(), spans.next()) {
        (Some(_), Some((key, span))) => {
            let fault = Fault::new(format!("`{key}` and `secret_file` exclude each other"));
            section.error(span, fault.hint("keep one of them"));
        }
        (Some((key, span)), None) if policy == CookiePolicy::Off => {
            let fault = Fault::new(format!("`{key}` has no effect with this policy"));
            section.error(span, fault.hint("write `policy = \"on\"`"));
        }
        _ => {}
    }
    Cookies { policy, secrets: from_file.or(from_environment).unwrap_or_default() }
}
