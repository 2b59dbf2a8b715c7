//! `[latency.resolvers]`, and the list that it names.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use toml::Spanned;

use crate::config::defaults as d;
use crate::config::files::{Files, Place};
use crate::config::sheet::Section;
use crate::config::spec::{RateText, ResolversTable, Table};
use crate::config::value::{Fault, duration_in, ip, prefix, rate_in, whole_in, word, written};
use crate::diagnostic::{Diagnostic, Source};
use crate::model::{Resolver, Resolvers};
use crate::prefix::Prefix;

/// Mistakes shown of a list; a file of another kind would give one a line.
const FILE_MISTAKES_MAX: usize = 100;
/// Length of the prefixes that round trips are kept by, of IPv4 and of IPv6.
const LENGTHS: [u8; 2] = [24, 48];

/// Resolves the table; `folder` is where fleet.toml is.
pub(super) fn resolve(
    around: &mut Section<'_>,
    table: &Spanned<Table<ResolversTable>>,
    folder: &Place,
    files: &mut Files,
) -> Option<Resolvers> {
    let mut section = around.inside("resolvers", table.span());
    let ResolversTable { file, kind, port, interval, timeout, rate } = &table.get_ref().0;
    let kind = section.value("kind", kind, d::RESOLVER_KIND, word("kind", &d::RESOLVER_KINDS));
    let read = whole_in("port", &d::PORT_RANGE);
    let port = section.value("port", port, d::RESOLVER_PORT, read);
    let read = duration_in("interval", &d::RESOLVER_INTERVAL_RANGE);
    let pause = section.value("interval", interval, d::RESOLVER_INTERVAL, read);
    let read = duration_in("timeout", &d::RESOLVER_TIMEOUT_RANGE);
    let timeout = section.value("timeout", timeout, d::RESOLVER_TIMEOUT, read);
    let rate = section.value("rate", rate, d::RESOLVER_RATE, bounded);
    let Some(field) = file else {
        section.missing("file");
        return None;
    };
    let source = section.file("file", field, folder, files)?;
    let list = lines(&mut section, &source);
    if list.len() > d::RESOLVERS_MAX {
        let what = format!("`{}` lists {} resolvers", source.file(), list.len());
        let hint = format!("{} at most: those of most clients", d::RESOLVERS_MAX);
        section.error(field.span(), Fault::new(what).hint(hint));
    }
    let turn = Duration::from_secs(list.len() as u64) / rate.get();
    if turn > pause {
        let (turn, pause) = (written(Duration::from_secs(turn.as_secs())), written(pause));
        let what = format!("a round of all resolvers takes `{turn}`, longer than `{pause}`");
        let at = interval.as_ref().map_or(field.span(), Spanned::span);
        section.warn(at, Fault::new(what).hint("raise `rate`, or `interval`"));
    }
    Some(Resolvers { list, kind, port, interval: pause, timeout, rate })
}

/// A rate that is one: nobody may be asked without bound.
fn bounded(text: &RateText) -> Result<NonZeroU32, Fault> {
    let hint = "leave out the table for no probes";
    // Others are told that it may be off.
    let read = rate_in("rate", &d::RESOLVER_RATE_RANGE)(text);
    let rate = read.map_err(|Fault { what, .. }| Fault::new(what).hint("such as `\"5/s\"`"))?;
    rate.ok_or_else(|| Fault::new("`rate` cannot be off").hint(hint))
}

/// Reads one resolver a line, with the prefixes of its clients; `#` starts a comment.
fn lines(section: &mut Section<'_>, source: &Source) -> Vec<Resolver> {
    let mut list = Vec::new();
    let mut first: HashMap<IpAddr, u32> = HashMap::new();
    let (mut offset, mut mistakes) = (0, 0);
    for line in source.text().split_inclusive('\n') {
        let content = line.split('#').next().unwrap_or_default();
        let start = offset;
        offset += line.len();
        let mut resolver = None;
        for text in content.split_whitespace() {
            let from = start + (text.as_ptr() as usize - content.as_ptr() as usize);
            let at = source.locate(from..from + text.len());
            let read = if let Some(Resolver { clients, .. }) = &mut resolver {
                client(text).map(|client| clients.push(client))
            } else {
                let read = address(text, &mut first, at.line);
                read.map(|address| resolver = Some(Resolver { address, clients: Vec::new() }))
            };
            if let Err(Fault { what, hint }) = read {
                section.found(Diagnostic::error(at, what).or_hint(hint));
                mistakes += 1;
                break;
            }
        }
        if mistakes == FILE_MISTAKES_MAX {
            break;
        }
        list.extend(resolver.map(with_own));
    }
    list
}

/// A resolver for which no clients are named stands for those beside it.
fn with_own(mut resolver: Resolver) -> Resolver {
    if resolver.clients.is_empty() {
        let [v4, v6] = LENGTHS;
        let length = if resolver.address.is_ipv4() { v4 } else { v6 };
        resolver.clients.push(Prefix::holding(resolver.address, length));
    }
    resolver
}

fn address(text: &str, first: &mut HashMap<IpAddr, u32>, line: u32) -> Result<IpAddr, Fault> {
    let address = ip(text).map_err(|fault| {
        if text.contains('/') {
            fault.hint("a resolver comes first, then its clients")
        } else {
            fault
        }
    })?;
    match first.insert(address, line) {
        None => Ok(address),
        Some(before) => {
            let fault = Fault::new(format!("`{address}` is listed twice"));
            Err(fault.hint(format!("first in line {before}")))
        }
    }
}

fn client(text: &str) -> Result<Prefix, Fault> {
    let prefix = prefix(text)?;
    let [v4, v6] = LENGTHS;
    let length = if prefix.address().is_ipv4() { v4 } else { v6 };
    if prefix.length() < length {
        let what = format!("`{prefix}` is wider than a /{length}, by which round trips are kept");
        return Err(Fault::new(what).hint("name the prefixes whose way is the resolver's"));
    }
    Ok(prefix)
}
