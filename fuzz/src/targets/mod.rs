//! The fuzz targets: each feeds one input to the server's code, and panics where what must hold for
//! every input does not.

// Whoever includes this uses a part of it.
#![allow(dead_code, unreachable_pub)]
// A panic is how a target reports.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod cache_rules;
pub mod client_hello;
pub mod config_toml;
pub mod cookies;
mod diagnostics;
pub mod dns_answer;
#[path = "../../../tests/dns_support/mod.rs"]
mod dns_support;
pub mod doh_request;
pub mod edns_ecs;
pub mod http3_frames;
pub mod http_framing;
pub mod mmdb;
pub mod overrides;
pub mod page;
pub mod proxy_header;
pub mod rdata_text;
pub mod request_head;
pub mod saved_health;
mod site;
pub mod transfer_apply;
pub mod tsig;
pub mod wire;
pub mod zone_text;

/// A target: its name, which is that of its folder of seeds, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const ALL: &[Target] = &[
    ("cache_rules", cache_rules::run),
    ("client_hello", client_hello::run),
    ("config_toml", config_toml::run),
    ("cookies", cookies::run),
    ("dns_answer", dns_answer::run),
    ("doh_request", doh_request::run),
    ("edns_ecs", edns_ecs::run),
    ("http3_frames", http3_frames::run),
    ("http_framing", http_framing::run),
    ("mmdb", mmdb::run),
    ("overrides", overrides::run),
    ("page", page::run),
    ("proxy_header", proxy_header::run),
    ("rdata_text", rdata_text::run),
    ("request_head", request_head::run),
    ("saved_health", saved_health::run),
    ("transfer_apply", transfer_apply::run),
    ("tsig", tsig::run),
    ("wire", wire::run),
    ("zone_text", zone_text::run),
];
