//! HTTP to authorities: over TLS alone, bounded in time and length.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body::Body as _;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::CertificateDer;

use crate::{outbound, tls};

/// What an authority gets to reply.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest reply in octets; a chain has a few thousand.
const LENGTH_MAX: usize = 1 << 20;

/// A client of the ACME library.
pub(super) struct Http(reqwest::Client);

impl Http {
    /// One that trusts these authorities; `None`: those that the system trusts.
    ///
    /// # Errors
    /// When TLS cannot be set up at all.
    pub(super) fn new(authorities: Option<&[CertificateDer<'static>]>) -> Result<Self, String> {
        let config = match authorities {
            Some(authorities) => tls::client_config(authorities, None),
            None => tls::client_config(&tls::system_authorities(), None),
        };
        let config = config.map_err(|error| error.to_string())?;
        let client = outbound::builder(config, PATIENCE).https_only(true);
        client.build().map(Self).map_err(|error| error.to_string())
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let (parts, mut body) = request.into_parts();
            let mut octets = BytesMut::new();
            while let Some(Ok(part)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                if let Some(data) = part.data_ref() {
                    octets.extend_from_slice(data);
                }
            }
            let octets = octets.freeze();
            let request = client.request(parts.method, parts.uri.to_string());
            let sent = request.headers(parts.headers).body(octets).send().await;
            let reply = sent.map_err(other)?;
            let mut head = Response::new(());
            *head.status_mut() = reply.status();
            *head.headers_mut() = reply.headers().clone();
            let body = outbound::read(reply, LENGTH_MAX).await.map_err(other)?;
            let body = Box::new(body.ok_or(Error::Str("a reply that ends"))?);
            Ok(BytesResponse { parts: head.into_parts().0, body })
        })
    }
}

fn other(error: reqwest::Error) -> Error {
    Error::Other(Box::new(error))
}
