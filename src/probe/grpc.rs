//! The `grpc` check: the health service that servers of gRPC offer (`grpc.health.v1`).

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::client::{Builder, SendRequest};
use http::{HeaderMap, Request, Response};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Route, Tls, certificate, failure};
use crate::health::{CauseKind, Outcome};
use crate::model::{GrpcCheck, Scheme};

/// How much of a reply is read; a good one is seven octets long.
const REPLY_MAX: usize = 64 * 1024;

/// Octets before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// The question: `HealthCheckRequest`.
#[derive(Clone, PartialEq, Eq, Message)]
struct Question {
    /// Empty: the server as a whole.
    #[prost(string, tag = "1")]
    service: String,
}

/// The answer: `HealthCheckResponse`.
#[derive(Clone, PartialEq, Eq, Message)]
struct Answer {
    /// One of [`STATES`].
    #[prost(int32, tag = "1")]
    status: i32,
}

/// The states of a service by number.
const STATES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

/// The one that is a success.
const SERVING: i32 = 1;

/// What one probe is to do.
pub(super) struct GrpcProbe<'a> {
    /// The service, and how to reach it.
    pub(super) check: &'a GrpcCheck,
    /// The address or hostname that is probed, without port.
    pub(super) name: &'a str,
    /// Where to connect.
    pub(super) route: &'a Route,
    /// How to speak TLS.
    pub(super) tls: &'a Tls,
    /// Wall-clock time in seconds, for the end of the certificate.
    pub(super) unix_now: u64,
}

impl GrpcProbe<'_> {
    /// Asks and judges.
    pub(super) async fn run(&self) -> Outcome {
        match self.ask().await {
            Ok(()) => Outcome::Success,
            Err(failure) => failure,
        }
    }

    async fn ask(&self) -> Result<(), Outcome> {
        if self.check.scheme == Scheme::Http {
            let stream = self.route.connect().await?;
            return self.exchange(stream).await;
        }
        let name = self.check.host.as_deref().unwrap_or(self.name);
        let verify = self.check.verify_certificate;
        let stream = self.route.connect_tls(self.tls, verify, (name, &["h2"])).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).cloned();
        self.exchange(stream).await?;
        let expiry = self.check.expires_within.zip(shown);
        match expiry.and_then(|(within, of)| certificate::expiry(&of, self.unix_now, within)) {
            None => Ok(()),
            Some(cause) => Err(Outcome::failure(CauseKind::Expiry, cause)),
        }
    }

    /// One request on a connection of its own.
    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    ) -> Result<(), Outcome> {
        let work = async {
            let mut builder = Builder::new();
            builder.initial_window_size(REPLY_MAX as u32).max_header_list_size(REPLY_MAX as u32);
            builder.enable_push(false);
            let (sender, connection) = builder.handshake(stream).await.map_err(|e| broken(&e))?;
            let mut request = std::pin::pin!(self.request(sender));
            tokio::select! {
                biased;
                found = &mut request => return found,
                // It has ended; what the request got by then decides.
                _ = connection => {}
            }
            request.await
        };
        self.route.limit.cut(work).await?
    }

    async fn request(&self, sender: SendRequest<Bytes>) -> Result<(), Outcome> {
        let mut sender = sender.ready().await.map_err(|error| broken(&error))?;
        let request = self.head()?;
        let (response, mut body) =
            sender.send_request(request, false).map_err(|error| broken(&error))?;
        body.send_data(self.question(), true).map_err(|error| broken(&error))?;
        let response = response.await.map_err(|error| broken(&error))?;
        check_head(&response)?;
        // A server that refuses at once sends the status where the head is.
        check_status(response.headers())?;
        let mut body = response.into_body();
        let reply = read(&mut body).await?;
        let trailers = body.trailers().await.map_err(|error| broken(&error))?;
        check_status(&trailers.unwrap_or_default())?;
        judge(&reply)
    }

    fn head(&self) -> Result<Request<()>, Outcome> {
        let authority = match (&self.check.host, self.route.addresses.first()) {
            (Some(host), _) => host.clone(),
            (None, Some(address)) => address.to_string(),
            (None, None) => self.name.to_owned(),
        };
        let scheme = match self.check.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let milliseconds = self.route.limit.within.as_millis();
        Request::post(format!("{scheme}://{authority}/grpc.health.v1.Health/Check"))
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .header("user-agent", "meridian-probe")
            .header("grpc-timeout", format!("{milliseconds}m"))
            .body(())
            .map_err(|error| Outcome::failure(CauseKind::Protocol, error.to_string()))
    }

    /// The question behind its prefix.
    fn question(&self) -> Bytes {
        let question = Question { service: self.check.service.clone() }.encode_to_vec();
        let mut framed = BytesMut::with_capacity(PREFIX + question.len());
        framed.extend_from_slice(&[0]);
        framed.extend_from_slice(&(question.len() as u32).to_be_bytes());
        framed.extend_from_slice(&question);
        framed.freeze()
    }
}

/// The failure behind an error of HTTP/2.
fn broken(error: &h2::Error) -> Outcome {
    match error.get_io() {
        Some(io) => failure::of_io(io),
        None => Outcome::failure(CauseKind::Protocol, format!("http/2: {error}")),
    }
}

/// Whether this is gRPC at all.
fn check_head(response: &Response<RecvStream>) -> Result<(), Outcome> {
    let status = response.status().as_u16();
    if status != 200 {
        let cause = format!("status {status}, expected 200");
        return Err(Outcome::failure(CauseKind::Status, cause));
    }
    let kind = response.headers().get("content-type").map(http::HeaderValue::as_bytes);
    if kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
        return Ok(());
    }
    let found = kind.map_or("none".to_owned(), |kind| format!("`{}`", failure::shown(kind)));
    let cause = format!("content type {found}, expected `application/grpc`");
    Err(Outcome::failure(CauseKind::Protocol, cause))
}

/// The status of the call, where these fields hold one.
fn check_status(fields: &HeaderMap) -> Result<(), Outcome> {
    let Some(status) = fields.get("grpc-status") else { return Ok(()) };
    if status.as_bytes() == b"0" {
        return Ok(());
    }
    let status = failure::shown(status.as_bytes());
    let words = fields.get("grpc-message").map(|words| words.as_bytes().trim_ascii());
    let words = words.filter(|words| !words.is_empty());
    let words = words.map_or_else(String::new, |words| format!(" ({})", failure::shown(words)));
    let cause = format!("grpc status {status}{words}, expected 0");
    Err(Outcome::failure(CauseKind::Status, cause))
}

/// The body, up to its bound.
async fn read(body: &mut RecvStream) -> Result<Vec<u8>, Outcome> {
    let mut reply = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(|error| broken(&error))?;
        reply.extend_from_slice(&chunk);
        if reply.len() > REPLY_MAX {
            return Err(Outcome::failure(CauseKind::Protocol, "reply is longer than 64 KiB"));
        }
        // What is over would only be an error of a connection that has ended.
        let _ = body.flow_control().release_capacity(chunk.len());
    }
    Ok(reply)
}

/// The state in a reply.
fn judge(reply: &[u8]) -> Result<(), Outcome> {
    let malformed = || Outcome::failure(CauseKind::Protocol, "reply is not a health answer");
    let (prefix, message) = reply.split_at_checked(PREFIX).ok_or_else(malformed)?;
    let (compressed, length) = prefix.split_first().ok_or_else(malformed)?;
    let length = length.try_into().map(u32::from_be_bytes).map_err(|_| malformed())?;
    if *compressed != 0 || length as usize != message.len() {
        return Err(malformed());
    }
    let Answer { status } = Answer::decode(message).map_err(|_| malformed())?;
    if status == SERVING {
        return Ok(());
    }
    let known = usize::try_from(status).ok().and_then(|status| STATES.get(status));
    let found = known.map_or_else(|| status.to_string(), |name| (*name).to_owned());
    Err(Outcome::failure(CauseKind::Status, format!("service is {found}, expected SERVING")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_answer_that_says_serving_will_do() {
        let malformed = "reply is not a health answer";
        for (reply, cause) in [
            (&b"\0\0\0\0\x02\x08\x01"[..], None),
            (b"\0\0\0\0\x02\x08\x02", Some("service is NOT_SERVING, expected SERVING")),
            (b"\0\0\0\0\x02\x08\x03", Some("service is SERVICE_UNKNOWN, expected SERVING")),
            (b"\0\0\0\0\x02\x08\x09", Some("service is 9, expected SERVING")),
            (b"\0\0\0\0\0", Some("service is UNKNOWN, expected SERVING")),
            (b"", Some(malformed)),
            (b"\0\0\0\0", Some(malformed)),
            (b"\x01\0\0\0\x02\x08\x01", Some(malformed)),
            (b"\0\0\0\0\x03\x08\x01", Some(malformed)),
            (b"\0\xff\xff\xff\xff\x08\x01", Some(malformed)),
            (b"\0\0\0\0\x02\x08\xff", Some(malformed)),
        ] {
            let found = judge(reply).err().map(|failure| match failure {
                Outcome::Failure { cause, .. } => cause.to_string(),
                other => format!("{other:?}"),
            });
            assert_eq!(found.as_deref(), cause, "{reply:?}");
        }
    }
}
