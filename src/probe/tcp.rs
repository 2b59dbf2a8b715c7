//! The `tcp` check: a connection is accepted, and says what it should.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Route, failure};
use crate::health::{CauseKind, Outcome};
use crate::model::TcpCheck;
use regex::bytes::Regex;

/// How much of a reply is read.
const REPLY_MAX: usize = 64 * 1024;

/// Reads after which a reply is looked at only when it has grown by a sixteenth, so that one that
/// trickles in costs little.
const LOOKS_MAX: usize = 32;

/// Connects, and then sends and waits for what the check says.
pub(super) async fn check(check: &TcpCheck, route: &Route) -> Outcome {
    match exchange(check, route).await {
        Ok(()) => Outcome::Success,
        Err(failure) => failure,
    }
}

async fn exchange(check: &TcpCheck, route: &Route) -> Result<(), Outcome> {
    let mut stream = route.connect().await?;
    if !check.send.is_empty() {
        let sent = route.limit.cut(stream.write_all(&check.send)).await?;
        sent.map_err(|error| failure::of_io(&error))?;
    }
    match &check.expect {
        Some(pattern) => expect(pattern, &mut stream, route).await,
        None => Ok(()),
    }
}

/// Reads until the reply matches, ends, is too long or too late.
async fn expect(pattern: &Regex, stream: &mut TcpStream, route: &Route) -> Result<(), Outcome> {
    let mut reply = Vec::new();
    let (mut looks, mut next_look) = (0, 1);
    let mut chunk = vec![0; 4096];
    let end = loop {
        match route.limit.cut(stream.read(&mut chunk)).await {
            Err(late) => break late,
            Ok(Err(error)) => break failure::of_io(&error),
            Ok(Ok(0)) => break Outcome::failure(CauseKind::Body, "connection closed"),
            Ok(Ok(read)) => reply.extend_from_slice(chunk.get(..read).unwrap_or_default()),
        }
        let full = reply.len() >= REPLY_MAX;
        reply.truncate(REPLY_MAX);
        if reply.len() >= next_look || full {
            if pattern.is_match(&reply) {
                return Ok(());
            }
            looks += 1;
            next_look = reply.len() + if looks < LOOKS_MAX { 1 } else { reply.len() / 16 };
        }
        if full {
            break Outcome::failure(CauseKind::Body, "64 KiB received");
        }
    };
    if pattern.is_match(&reply) {
        return Ok(());
    }
    let Outcome::Failure { kind, cause } = end else { return Err(end) };
    let found = if reply.is_empty() {
        "nothing".to_owned()
    } else {
        format!("`{}`", failure::shown(&reply))
    };
    Err(Outcome::failure(kind, format!("{cause}, expected `{pattern}`, received {found}")))
}
