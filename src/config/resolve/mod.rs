//! From specs to the model: references, ranges and what keys mean together, file by file.

mod access_log;
mod acme;
mod admin;
mod capacity;
mod cluster;
mod cookies;
mod direct;
mod drill;
mod endpoint;
mod failback;
mod fleet;
mod https;
mod io;
mod keys;
mod latency;
mod loops;
mod method;
mod monitor;
mod needs;
mod network;
mod node;
mod proxy;
mod query_log;
mod resolvers;
mod response_rates;
mod route;
mod secrets;
mod service;
mod telemetry;
mod tokens;
mod transports;
mod webhook;
mod zones;

use super::sheet::Section;
use super::spec::Field;
use super::value::Fault;

pub(super) use acme::unanswered;
pub(super) use drill::resolve as resolve_drill;
pub(super) use fleet::{FleetDraft, FleetNames, resolve as resolve_fleet};
pub(super) use keys::{Keys, resolve as resolve_keys};
pub(super) use node::{NodeDraft, resolve as resolve_node};
pub(super) use tokens::resolve as resolve_tokens;
pub(super) use zones::{Known, ZonesDraft, resolve as resolve_zones, unusable};

/// The one version of the language there is.
const VERSION: i64 = 1;

/// `version`, which every file starts with.
fn version(top: &mut Section<'_>, field: &Field<i64>) {
    match field {
        None => {
            let fault =
                Fault::new("`version` is missing").hint("start the file with `version = 1`");
            top.lacks("version", fault);
        }
        Some(field) if *field.get_ref() == VERSION => top.written("version", field.span()),
        Some(field) => {
            let fault = Fault::new(format!("version `{}` is not known", field.get_ref()));
            top.error(field.span(), fault.hint("write `version = 1`"));
        }
    }
}
