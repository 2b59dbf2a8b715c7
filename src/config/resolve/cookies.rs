//! `[dns.cookies]`: the policy, and the secrets from a file or the environment.

use toml::Spanned;

use crate::config::defaults as d;
use crate::config::files::{Files, Place};
use crate::config::sheet::Section;
use crate::config::spec::{CookiesTable, EnvTable, Table, TextOr};
use crate::config::value::{Fault, word};
use crate::model::{CookiePolicy, CookieSecret, Cookies};

/// Most secrets: each one costs a hash for every cookie that is not ours. A roll-over needs two.
const SECRETS_MAX: usize = 4;

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
    let from_file = section.optional("secret_file", table.secret_file.as_ref(), |text| {
        super::node::path(text)?;
        let place = folder.join(text);
        let source = files
            .read(&place)
            .map_err(|error| Fault::new(format!("`{}` {}", place.shown, error.what)))?;
        secrets(source.text(), &place.shown)
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
        secrets(&text, variable)
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

/// Reads secrets divided by white space, without comments. What is wrong is never shown, since
/// findings end up in logs.
fn secrets(text: &str, from: &str) -> Result<Vec<CookieSecret>, Fault> {
    let mut read = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let line = line.split('#').next().unwrap_or_default();
        for word in line.split_whitespace() {
            let secret = word.parse::<CookieSecret>().map_err(|_| {
                Fault::new(format!("line {number} of `{from}` is not a secret"))
                    .hint("32 hexadecimal digits, such as `openssl rand -hex 16` prints")
            })?;
            if read.contains(&secret) {
                return Err(Fault::new(format!("`{from}` holds a secret twice")));
            }
            read.push(secret);
        }
    }
    match read.len() {
        0 => Err(Fault::new(format!("`{from}` holds no secret"))
            .hint("write 32 hexadecimal digits, such as `openssl rand -hex 16` prints")),
        1..=SECRETS_MAX => Ok(read),
        count => Err(Fault::new(format!("`{from}` holds {count} secrets"))
            .hint(format!("{SECRETS_MAX} at most; remove the oldest"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stand_one_a_line_and_are_never_shown() {
        let (a, b) = ("00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100");
        let count = |text: &str| secrets(text, "key").map(|secrets| secrets.len());
        assert_eq!(count(&format!("# now\n{a}\n\n  {b} # before\n")), Ok(2));
        assert_eq!(count(&format!("{a} {b}")), Ok(2), "as in a variable of the environment");
        for text in ["", "# nothing\n", "0011", &format!("{a}\n{a}"), &format!("{a}\n{b}0")] {
            let Fault { what, .. } = secrets(text, "key").unwrap_err();
            assert!(!what.contains("0011") && !what.contains("ffee"), "{what}");
        }
        let many: Vec<String> = (10..15).map(|n| format!("{n}{}", "0".repeat(30))).collect();
        assert!(secrets(&many.join("\n"), "key").is_err());
    }
}
