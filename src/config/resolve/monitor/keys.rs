//! Which keys belong to which kind.

use std::ops::Range;

use toml::Spanned;

use crate::config::sheet::Section;
use crate::config::spec::MonitorTable;
use crate::config::value::Fault;

/// The keys of every kind that looks for itself.
const LOOKING: [&str; 7] =
    ["interval", "timeout", "fall", "rise", "vantage", "hold_down", "family"];

/// The keys of each kind, beside `kind` and [`LOOKING`].
const OWN: [(&str, &[&str]); 9] = [
    (
        "http",
        &[
            "scheme",
            "version",
            "port",
            "path",
            "host",
            "method",
            "headers",
            "expect_status",
            "expect_body",
            "verify_certificate",
            "expires_within",
            "source",
        ],
    ),
    ("tcp", &["port", "send", "expect", "source"]),
    ("tls", &["port", "server_name", "alpn", "verify_certificate", "expires_within", "source"]),
    (
        "grpc",
        &["scheme", "port", "host", "service", "verify_certificate", "expires_within", "source"],
    ),
    (
        "dns",
        &["port", "name", "type", "transport", "recursion", "expect_rcode", "expect", "source"],
    ),
    ("icmp", &["source"]),
    ("exec", &["command", "port", "expect_status"]),
    ("feed", &["file", "expires", "stale", "interval", "fall", "rise", "vantage", "hold_down"]),
    ("calculated", &["of", "at_least", "weights", "threshold", "invert"]),
];

/// Whether `key` belongs to `kind`.
fn belongs(key: &str, kind: &str) -> bool {
    let own = OWN.iter().any(|(known, keys)| *known == kind && keys.contains(&key));
    own || (LOOKING.contains(&key) && !matches!(kind, "feed" | "calculated"))
}

/// Says which keys do not belong to `kind`.
pub(super) fn refuse_foreign(section: &mut Section<'_>, table: &MonitorTable, kind: &str) {
    for (key, span) in written(table) {
        if belongs(key, kind) {
            continue;
        }
        let home = OWN.iter().find(|(_, keys)| keys.contains(&key) && !LOOKING.contains(&key));
        let hint = match home {
            Some((home, _)) => format!("write `kind = \"{home}\"`, or leave it out"),
            None => "leave it out".to_owned(),
        };
        let fault = Fault::new(format!("`{key}` does not belong to kind `{kind}`"));
        section.error(span, fault.hint(hint));
    }
}

/// Some keys of a table, with the places of those that are written.
macro_rules! places {
    ($table:ident: $($field:ident)*) => {
        [$((stringify!($field), $table.$field.as_ref().map(Spanned::span))),*]
    };
}

/// The keys that are written, with their places, but for `kind`.
fn written(table: &MonitorTable) -> Vec<(&'static str, Range<usize>)> {
    let all = places![table:
        scheme version port path host method headers expect_status expect_body
        verify_certificate expires_within send expect server_name alpn name r#type expect_rcode
        transport recursion service command file expires stale of at_least weights threshold
        invert source family interval timeout fall rise vantage hold_down
    ];
    let named = all.map(|(key, span)| (key.trim_start_matches("r#"), span));
    named.into_iter().filter_map(|(key, span)| Some((key, span?))).collect()
}
