//! Requests of HTTP that the node makes in its own name: to webhooks, collectors and authorities.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Response};
use rustls::ClientConfig;

use crate::tls;

/// A client whose requests take `patience` at most. It follows no redirects: what it says is meant
/// for whom the configuration names.
pub(crate) fn builder(config: ClientConfig, patience: Duration) -> ClientBuilder {
    let builder = Client::builder().timeout(patience).redirect(Policy::none());
    builder.tls_backend_preconfigured(config)
}

/// The same, which trusts the authorities that the system trusts.
///
/// # Errors
/// When TLS cannot be set up at all: why.
pub(crate) fn client(patience: Duration) -> Result<Client, String> {
    let config = tls::client_config(&tls::system_authorities(), None);
    let config = config.map_err(|error| error.to_string())?;
    builder(config, patience).build().map_err(|error| error.to_string())
}

/// The body of a reply; `None`: it is longer than `most` octets.
///
/// # Errors
/// When it does not come to its end.
pub(crate) async fn read(
    mut reply: Response,
    most: usize,
) -> Result<Option<Bytes>, reqwest::Error> {
    let mut body = BytesMut::new();
    while let Some(part) = reply.chunk().await? {
        if body.len() + part.len() > most {
            return Ok(None);
        }
        body.extend_from_slice(&part);
    }
    Ok(Some(body.freeze()))
}
