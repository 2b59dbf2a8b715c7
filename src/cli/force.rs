//! `meridian force`: sets, clears and lists operator overrides on a running node.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Serialize;

use super::output::time;
use super::remote::{Failure, Remote};
use super::{Exit, Format, Output};
use crate::admin::{Listing, OverrideStatus, Wish, Written};
use crate::config;
use crate::diagnostic::count;
use crate::health::overrides::Scope;

/// Arguments of `force`.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(subcommand)]
    act: Act,
    #[command(flatten)]
    remote: Remote,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t, global = true)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Count endpoints as up, whatever probes say
    #[command(after_help = "Examples:\n  \
        meridian force up endpoint:192.0.2.10 --for 30m --reason 'the monitor is wrong'\n  \
        meridian force up pool:web@eu-* --until-cleared --reason 'probes are blocked'")]
    Up(Set),
    /// Count endpoints as down, whatever probes say
    #[command(after_help = "Examples:\n  \
        meridian force down region:eu-central --for 30m --reason 'network work'\n  \
        meridian force down endpoint:192.0.2.* --until-cleared --reason 'rack 2 is gone'")]
    Down(Set),
    /// Answer endpoints only when nothing else is left
    #[command(after_help = "Examples:\n  \
        meridian force drain pool:web@us-east --for 1h --reason 'a release'\n  \
        meridian force drain endpoint:192.0.2.10 --for 10m --reason 'a new kernel'")]
    Drain(Set),
    /// Take overrides back
    #[command(after_help = "Examples:\n  meridian force clear region:eu-central\n  \
        meridian force clear 3f2a91c07e --reason 'work is done'")]
    Clear(Clear),
    /// Show the overrides in force
    #[command(after_help = "Examples:\n  meridian force list\n  \
        meridian force list --format json")]
    List,
}

/// What is forced, and why.
#[derive(Debug, Args)]
struct Set {
    /// region:NAME, pool:NAME, pool:NAME@REGION or endpoint:ADDR; `*` stands for any characters
    target: String,
    /// For how long, such as 30m
    #[arg(long = "for", value_name = "DURATION", required_unless_present = "until_cleared",
          value_parser = config::duration)]
    lasts: Option<std::time::Duration>,
    /// It lasts until it is cleared
    #[arg(long, conflicts_with = "lasts")]
    until_cleared: bool,
    /// Why, for whoever looks next
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who decides it
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
    author: Option<String>,
    /// Also where a service keeps less than [safety] asks for
    #[arg(long)]
    anyway: bool,
    /// On this node alone, at most 24 h; it goes before those of the fleet
    #[arg(long)]
    local: bool,
}

#[derive(Debug, Args)]
struct Clear {
    /// The target, as it was set, or the id that `force list` shows
    which: String,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// The body of a clearing.
#[derive(Serialize)]
struct Clearing<'a> {
    reason: &'a str,
}

pub(super) fn run(options: &Options, output: &mut Output) -> Exit {
    let done = match &options.act {
        Act::Up(set) => force("up", set, options, output),
        Act::Down(set) => force("down", set, options, output),
        Act::Drain(set) => force("drain", set, options, output),
        Act::Clear(clear) => take_back(clear, options, output),
        Act::List => list(options, output),
    };
    match done {
        Ok(()) => Exit::Fine,
        Err(failure) => output.failure(&failure, options.format),
    }
}

fn force(action: &str, set: &Set, options: &Options, output: &mut Output) -> Result<(), Failure> {
    let wish = Wish {
        action: action.to_owned(),
        target: set.target.clone(),
        reason: set.reason.clone(),
        author: set.author.clone(),
        for_seconds: set.lasts.map(|lasts| lasts.as_secs()),
        until_cleared: set.until_cleared,
        scope: if set.local { Scope::Node } else { Scope::Fleet },
        anyway: set.anyway,
        drill: None,
    };
    let node = options.remote.open()?;
    let written: Written = node.ask(Method::POST, &["overrides"], Some(&wish))?;
    report(&written, "in force", options.format, output);
    Ok(())
}

fn take_back(clear: &Clear, options: &Options, output: &mut Output) -> Result<(), Failure> {
    let body = clear.reason.as_deref().map(|reason| Clearing { reason });
    let node = options.remote.open()?;
    let written: Written = node.ask(Method::DELETE, &["overrides", &clear.which], body.as_ref())?;
    report(&written, "cleared", options.format, output);
    Ok(())
}

fn report(written: &Written, word: &str, format: Format, output: &mut Output) {
    if format == Format::Json {
        output.json(written);
        return;
    }
    for one in &written.overrides {
        let about = match written.endpoints {
            0 => String::new(),
            endpoints => format!(", {}", count(endpoints, "endpoint")),
        };
        output.line(format!("{word}: {}{about}", line(one)));
    }
    if !written.below_minimum.is_empty() {
        let services = written.below_minimum.join(", ");
        output.trouble(format!("warning: less than [safety] asks for is left of {services}"));
    }
    if !written.saved {
        output.trouble("warning: the node cannot save this; a restart of the node forgets it");
    }
}

fn list(options: &Options, output: &mut Output) -> Result<(), Failure> {
    let node = options.remote.open()?;
    let listing: Listing = node.ask(Method::GET, &["overrides"], None::<&()>)?;
    match options.format {
        Format::Json => output.json(&listing),
        Format::Text if listing.overrides.is_empty() => output.line("no override is in force"),
        Format::Text => listing.overrides.iter().for_each(|one| output.line(line(one))),
    }
    Ok(())
}

/// An override in one line.
pub(super) fn line(one: &OverrideStatus) -> String {
    let left = match (one.left_seconds, one.what.until) {
        (Some(seconds), _) => format!(", {} left", time(seconds)),
        (None, None) => ", until cleared".to_owned(),
        // It was cleared before its end.
        (None, Some(_)) => String::new(),
    };
    let (what, scope) = (&one.what, one.what.scope);
    let here = if scope == Scope::Node { ", this node alone" } else { "" };
    let (id, action, target) = (&what.id, what.action.as_str(), &what.target);
    format!("{id} {action} {target}{left}{here}, by {}: {}", what.author, what.reason)
}
