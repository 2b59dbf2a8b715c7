//! Failures of connections in exact words.

use std::error::Error;
use std::io;
use std::ops::RangeInclusive;
use std::time::Duration;

use rustls::CertificateError;

use crate::health::{CauseKind, Outcome};

/// The failure of a probe that had no result in time.
pub(super) fn timed_out(after: Duration) -> Outcome {
    Outcome::failure(CauseKind::Timeout, format!("timed out after {after:?}"))
}

/// What this node could not do itself.
pub(super) fn missed(what: &str, error: &io::Error) -> Outcome {
    Outcome::Missed(format!("{what}: {}", error.kind()).into())
}

/// The failure of a connection attempt or of a connection.
pub(super) fn of_io(error: &io::Error) -> Outcome {
    use io::ErrorKind as Kind;
    // A source address that this node lacks, or no free port: the endpoint had no part in it.
    if error.kind() == Kind::AddrNotAvailable {
        return missed("cannot connect", error);
    }
    let kind = match error.kind() {
        Kind::ConnectionRefused => CauseKind::Refused,
        Kind::TimedOut => CauseKind::Timeout,
        Kind::ConnectionReset
        | Kind::ConnectionAborted
        | Kind::BrokenPipe
        | Kind::UnexpectedEof
        | Kind::InvalidData => CauseKind::Protocol,
        _ => CauseKind::Connect,
    };
    // The kind's own words leave out the number of the operating system's error.
    Outcome::failure(kind, error.kind().to_string())
}

/// The failure of a TLS handshake, of which the connection's error may be the wrapping.
pub(super) fn of_handshake(error: &io::Error) -> Outcome {
    match error.get_ref().and_then(|held| held.downcast_ref::<rustls::Error>()) {
        Some(tls) => of_tls(tls),
        None => of_io(error),
    }
}

/// The failure behind an error of the HTTP client, from the most exact of its causes.
pub(super) fn of_http(error: &reqwest::Error, timeout: Duration) -> Outcome {
    if error.is_timeout() {
        return timed_out(timeout);
    }
    let mut innermost: &(dyn Error + 'static) = error;
    let mut io_failure = None;
    while let Some(cause) = cause_of(innermost) {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return of_tls(tls);
        }
        // Errors of kind `Other` only wrap the next one.
        let io = cause.downcast_ref::<io::Error>();
        if let Some(io) = io.filter(|io| io.kind() != io::ErrorKind::Other) {
            io_failure = Some(of_io(io));
        }
        innermost = cause;
    }
    let kind = if error.is_connect() { CauseKind::Connect } else { CauseKind::Protocol };
    io_failure.unwrap_or_else(|| Outcome::failure(kind, innermost.to_string()))
}

/// The next error inside; that of an I/O error is not its source but what it holds.
fn cause_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(held) => Some(held),
        None => error.source(),
    }
}

/// The failure of a TLS handshake.
fn of_tls(error: &rustls::Error) -> Outcome {
    match error {
        rustls::Error::InvalidCertificate(reason) => {
            Outcome::failure(CauseKind::Certificate, of_certificate(reason))
        }
        rustls::Error::AlertReceived(alert) => {
            Outcome::failure(CauseKind::Tls, format!("tls alert received: {alert:?}"))
        }
        other => Outcome::failure(CauseKind::Tls, format!("tls handshake failed: {other}")),
    }
}

/// What is wrong with a certificate.
fn of_certificate(reason: &CertificateError) -> String {
    match reason {
        CertificateError::Expired => "certificate has expired".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => {
            let ago = Duration::from_secs(time.as_secs().saturating_sub(not_after.as_secs()));
            format!("certificate expired {} ago", in_words(ago))
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "certificate is not valid yet".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, .. } => {
            format!("certificate is not valid for name `{}`", expected.to_str())
        }
        CertificateError::NotValidForName => "certificate is not valid for the name".to_owned(),
        CertificateError::UnknownIssuer => "certificate is not from a known authority".to_owned(),
        CertificateError::Revoked => "certificate is revoked".to_owned(),
        other => format!("certificate does not hold: {other}"),
    }
}

/// A time in whole days, or hours below two days, so that the words change seldom.
pub(super) fn in_words(time: Duration) -> String {
    match time.as_secs() / 3600 {
        0 => "less than an hour".to_owned(),
        1 => "1 hour".to_owned(),
        hours @ 2..48 => format!("{hours} hours"),
        hours => format!("{} days", hours / 24),
    }
}

/// Statuses as they are written: `200, 301-302`.
pub(super) fn ranges(statuses: &[RangeInclusive<u16>]) -> String {
    let words = statuses.iter().map(|range| match (range.start(), range.end()) {
        (start, end) if start == end => start.to_string(),
        (start, end) => format!("{start}-{end}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Octets of a peer in one line, cut after a few.
pub(super) fn shown(octets: &[u8]) -> String {
    /// As much as a reader takes in.
    const SHOWN_MAX: usize = 60;
    let text = String::from_utf8_lossy(octets);
    let cut: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    let more = if text.chars().nth(SHOWN_MAX).is_some() { "…" } else { "" };
    cut + more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_errors_have_short_words() {
        use io::ErrorKind as Kind;
        for (kind, expected, words) in [
            (Kind::ConnectionRefused, CauseKind::Refused, "connection refused"),
            (Kind::ConnectionReset, CauseKind::Protocol, "connection reset"),
            (Kind::UnexpectedEof, CauseKind::Protocol, "unexpected end of file"),
            (Kind::HostUnreachable, CauseKind::Connect, "host unreachable"),
            (Kind::TimedOut, CauseKind::Timeout, "timed out"),
        ] {
            assert_eq!(of_io(&kind.into()), Outcome::failure(expected, words));
        }
        let refused = io::Error::from_raw_os_error(111);
        assert_eq!(of_io(&refused), Outcome::failure(CauseKind::Refused, "connection refused"));
    }

    #[test]
    fn times_are_told_in_hours_and_days() {
        for (seconds, words) in [
            (0, "less than an hour"),
            (3599, "less than an hour"),
            (3600, "1 hour"),
            (86_400, "24 hours"),
            (172_799, "47 hours"),
            (172_800, "2 days"),
            (864_000, "10 days"),
        ] {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }
}
