//! The `tls` check: a handshake, the certificate it shows and the protocol it settles on.

use super::{Route, Tls, certificate};
use crate::health::{CauseKind, Outcome};
use crate::model::TlsCheck;

/// Shakes hands; `name` is what is probed, `unix_now` the wall-clock time in seconds.
pub(super) async fn check(
    check: &TlsCheck,
    name: &str,
    route: &Route,
    (tls, unix_now): (&Tls, u64),
) -> Outcome {
    let offered: Vec<&str> = check.alpn.iter().map(String::as_str).collect();
    let name = check.server_name.as_deref().unwrap_or(name);
    let verify = check.verify_certificate;
    let stream = match route.connect_tls(tls, verify, (name, &offered)).await {
        Ok(stream) => stream,
        Err(failure) => return failure,
    };
    let (_, connection) = stream.get_ref();
    // A server that knows none of the protocols may also go on without one.
    if !offered.is_empty() && connection.alpn_protocol().is_none() {
        let cause = format!("no protocol agreed on, expected {}", offered.join(" or "));
        return Outcome::failure(CauseKind::Tls, cause);
    }
    let shown = connection.peer_certificates().and_then(<[_]>::first);
    let expiry = check.expires_within.zip(shown);
    match expiry.and_then(|(within, shown)| certificate::expiry(shown, unix_now, within)) {
        None => Outcome::Success,
        Some(cause) => Outcome::failure(CauseKind::Expiry, cause),
    }
}
