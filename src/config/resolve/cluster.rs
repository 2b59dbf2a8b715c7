//! `[cluster]`: from what is written to [`Cluster`].

use std::sync::Arc;

use toml::Spanned;

use super::node::octets;
use crate::config::defaults as d;
use crate::config::files::{Files, Place};
use crate::config::sheet::Section;
use crate::config::spec::{BusTlsTable, ClusterTable, NatsTable, Table};
use crate::config::value::{Fault, word};
use crate::model::{BusTls, Cluster, Credentials, Nats};
use crate::tls::{Certificate, CertificateError, authorities};

/// Longest prefix: subjects stay short, and streams have it in their names.
const PREFIX_MAX: usize = 32;
/// Port of a NATS server.
const PORT: u16 = 4_222;
/// Schemes of the URLs of servers.
const SCHEMES: [&str; 2] = ["tls://", "nats://"];

/// Resolves the table; `folder` is where node.toml is.
pub(super) fn resolve(
    top: &mut Section<'_>,
    table: Option<&Spanned<Table<ClusterTable>>>,
    folder: &Place,
    files: &mut Files,
) -> Cluster {
    let Some(table) = table else { return Cluster::Embedded };
    let mut section = top.inside("cluster", table.span());
    let table = &table.get_ref().0;
    let words = [("embedded", false), ("nats", true)];
    let nats = section.value("engine", &table.engine, d::ENGINE, word("engine", &words));
    let Some(table) = &table.nats else {
        if nats {
            let fault = Fault::new("`[cluster.nats]` is missing, which the engine needs");
            section.lacks("nats", fault.hint("it needs `servers`"));
        }
        return Cluster::Embedded;
    };
    if !nats {
        let fault = Fault::new("`nats` has no effect with this engine");
        section.warn(table.span(), fault.hint("write `engine = \"nats\"`"));
    }
    match bus(&mut section, table, folder, files) {
        Some(bus) if nats => Cluster::Nats(Arc::new(bus)),
        Some(_) | None => Cluster::Embedded,
    }
}

fn bus(
    cluster: &mut Section<'_>,
    table: &Spanned<Table<NatsTable>>,
    folder: &Place,
    files: &mut Files,
) -> Option<Nats> {
    let mut section = cluster.inside("nats", table.span());
    let table = &table.get_ref().0;
    if table.servers.is_none() {
        section.missing("servers");
    }
    section.not_empty(&table.servers, Fault::new("`servers` is empty").hint("name one at least"));
    let servers = section.list("servers", &table.servers, |text| server(text).map(Some));
    let credentials =
        section.optional("credentials_file", table.credentials_file.as_ref(), |text| {
            let (shown, octets) = read(text, folder, files)?;
            credentials(octets).ok_or_else(|| {
                Fault::new(format!("`{shown}` is not a credentials file of NATS"))
                    .hint("it holds a user JWT and the seed of its key, as `nsc` writes them")
            })
        });
    let tls = table.tls.as_ref().map(|table| tls(&mut section, table, folder, files));
    if tls.is_none()
        && let Some(field) = &table.servers
    {
        for item in field.get_ref() {
            if item.get_ref().strip_prefix("nats://").is_some_and(|rest| !is_loopback(rest)) {
                let fault = Fault::new(format!("`{}` is reached in the clear", item.get_ref()));
                section.warn(item.span(), fault.hint("anyone on the way can take regions down"));
            }
        }
    }
    if table.prefix.is_none() {
        section.default("prefix", d::PREFIX.written);
    }
    let prefix = section.optional("prefix", table.prefix.as_ref(), |text| prefix(text));
    let prefix = prefix.unwrap_or_else(|| d::PREFIX.value.to_owned());
    (!servers.is_empty()).then_some(Nats { servers, credentials, tls, prefix })
}

/// `tls://HOST[:PORT]` or `nats://HOST[:PORT]`, with the port written out.
fn server(text: &str) -> Result<String, Fault> {
    let wrong = |what: &str| {
        Fault::new(format!("`{text}` {what}")).hint("write `tls://nats-1.example.net:4222`")
    };
    let scheme = SCHEMES.into_iter().find(|scheme| text.starts_with(scheme));
    let scheme = scheme.ok_or_else(|| wrong("is not the URL of a NATS server"))?;
    let rest = text.strip_prefix(scheme).unwrap_or_default();
    if rest.contains('@') {
        return Err(Fault::new("a URL with a user or password in it stands in the file")
            .hint("write `credentials_file`, or certificates in `tls`"));
    }
    let (host, port) = match rest.rsplit_once(':') {
        // An IPv6 address has colons of its own.
        Some((host, port)) if !port.ends_with(']') => {
            let port = port.parse::<u16>().ok().filter(|port| *port > 0);
            (host, port.ok_or_else(|| wrong("has no valid port"))?)
        }
        _ => (rest, PORT),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let valid = match inner {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(plain),
    };
    if valid { Ok(format!("{scheme}{host}:{port}")) } else { Err(wrong("has no valid host")) }
}

fn is_loopback(rest: &str) -> bool {
    ["127.", "localhost", "[::1]"].iter().any(|start| rest.starts_with(start))
}

fn prefix(text: &str) -> Result<String, Fault> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=PREFIX_MAX).contains(&text.len()) && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    Err(Fault::new(format!("`{text}` is not a valid prefix"))
        .hint(format!("1 to {PREFIX_MAX} characters of a-z, 0-9 and `-`")))
}

/// A file's name as it is shown, and its content.
fn read(text: &str, folder: &Place, files: &mut Files) -> Result<(String, Vec<u8>), Fault> {
    let (octets, place) = octets(text, folder, files)?;
    Ok((place.shown, octets))
}

/// The content of a credentials file, if it looks like one; nothing of it is ever shown.
fn credentials(octets: Vec<u8>) -> Option<Credentials> {
    let text = String::from_utf8(octets).ok()?;
    let marks = ["BEGIN NATS USER JWT", "BEGIN USER NKEY SEED"];
    marks.iter().all(|mark| text.contains(mark)).then(|| Credentials(text.into()))
}

/// `tls = { ca, chain, key }`.
fn tls(
    nats: &mut Section<'_>,
    table: &Spanned<Table<BusTlsTable>>,
    folder: &Place,
    files: &mut Files,
) -> BusTls {
    let mut section = nats.inside("tls", table.span());
    let table = &table.get_ref().0;
    let roots = section.optional("ca", table.ca.as_ref(), |text| {
        let (shown, octets) = read(text, folder, files)?;
        authorities(&octets).map_err(|why| Fault::new(format!("`{shown}` {why}")))
    });
    let mut file = |text: &String| read(text, folder, files);
    let chain = section.optional("chain", table.chain.as_ref(), &mut file);
    let key = section.optional("key", table.key.as_ref(), &mut file);
    match (&table.chain, &table.key) {
        (Some(field), None) => {
            let fault = Fault::new("`key` is missing, which `chain` needs");
            section.error(field.span(), fault.hint("name the file of its key"));
        }
        (None, Some(field)) => {
            let fault = Fault::new("`chain` is missing, which `key` needs");
            section.error(field.span(), fault.hint("name the file of the certificate"));
        }
        _ => {}
    }
    let certificate = chain.zip(key).and_then(|((chain_file, chain), (key_file, key))| {
        let at =
            |field: &Option<Spanned<String>>| field.as_ref().map(Spanned::span).unwrap_or_default();
        let (at, what) = match Certificate::from_pem(&chain, &key) {
            Ok(certificate) => return Some(certificate),
            Err(CertificateError::Chain(why)) => {
                (at(&table.chain), format!("`{chain_file}` {why}"))
            }
            Err(CertificateError::Key(why)) => (at(&table.key), format!("`{key_file}` {why}")),
            Err(CertificateError::Mismatch) => {
                let what = "does not belong to the certificate in";
                (at(&table.key), format!("the key in `{key_file}` {what} `{chain_file}`"))
            }
        };
        section.error(at, Fault::new(what));
        None
    });
    BusTls { roots: roots.unwrap_or_default(), certificate }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_urls_with_a_host_and_no_secret() {
        for (text, read) in [
            ("tls://nats-1.example.net", "tls://nats-1.example.net:4222"),
            ("nats://127.0.0.1:5222", "nats://127.0.0.1:5222"),
            ("tls://[2001:db8::1]", "tls://[2001:db8::1]:4222"),
            ("tls://[::1]:99", "tls://[::1]:99"),
        ] {
            assert_eq!(server(text), Ok(read.to_owned()));
        }
        for text in [
            "",
            "nats-1.example.net",
            "http://a",
            "ws://a",
            "tls://",
            "tls://a:0",
            "tls://a:x",
            "tls://a/b",
            "tls://::1",
            "tls://[x]",
        ] {
            assert!(server(text).is_err(), "{text}");
        }
        let fault = server("tls://me:hidden@a").unwrap_err();
        assert!(!fault.what.contains("hidden"), "{fault:?}");
    }

    #[test]
    fn a_credentials_file_holds_a_token_and_a_seed() {
        let whole = "-----BEGIN NATS USER JWT-----\nx\n-----BEGIN USER NKEY SEED-----\ny\n";
        assert!(credentials(whole.into()).is_some());
        for text in ["", "-----BEGIN NATS USER JWT-----\nx\n", "user: a\npassword: b\n"] {
            assert!(credentials(text.into()).is_none(), "{text}");
        }
        assert!(credentials(vec![0xff]).is_none());
    }
}
