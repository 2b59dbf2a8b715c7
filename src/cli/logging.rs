//! The log: one line an event, for people or for programs, on standard error.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};

use tracing::error;
use tracing_subscriber::EnvFilter;

use crate::model::{Log, LogFormat};

/// Starts logging; a second call in one process changes nothing.
///
/// # Errors
/// When the level is no filter.
pub(super) fn start(log: &Log) -> Result<(), String> {
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|error| format!("log.level `{}` is not a filter: {error}", log.level))?;
    // https://no-color.org: any value but the empty one.
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(!plain && io::stderr().is_terminal());
    let started = match log.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    // The only failure is that a logger is there already.
    drop(started);
    panic::set_hook(Box::new(report));
    Ok(())
}

/// A panic is an event like others, so that programs can read it.
fn report(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let message = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    // Captured only when the environment asks for it.
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        error!(%place, thread, %backtrace, "panic: {message}");
    } else {
        error!(%place, thread, "panic: {message}");
    }
}
