//! A client of HTTP/3.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderMap, Request, Response};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::certificates::{Authority, Pair};

/// A connection; it lasts as long as this.
pub(crate) struct Http3 {
    pub(crate) connection: quinn::Connection,
    pub(crate) requests: h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
    driver: tokio::task::JoinHandle<h3::error::ConnectionError>,
    _endpoint: quinn::Endpoint,
}

/// A reply to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) head: Response<()>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

/// What runs a client, for as long as a test takes at most.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bounded = async { tokio::time::timeout(Duration::from_secs(60), work).await };
    runtime.block_on(bounded).expect("an end in time")
}

/// A connection of QUIC for HTTP/3, under a name that this authority vouches for.
pub(crate) async fn connect(
    server: SocketAddr,
    name: &str,
    (authority, shown): (&Authority, Option<&Pair>),
    transport: quinn::TransportConfig,
) -> Result<(quinn::Endpoint, quinn::Connection), quinn::ConnectionError> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut tls = match shown {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let chain = CertificateDer::pem_slice_iter(pair.chain.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain.map(Result::unwrap).collect(), key).unwrap()
        }
    };
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    config.transport_config(Arc::new(transport));
    let mut endpoint = quinn::Endpoint::client((server.ip(), 0).into()).unwrap();
    endpoint.set_default_client_config(config);
    let connection = endpoint.connect(server, name).unwrap().await?;
    Ok((endpoint, connection))
}

impl Http3 {
    pub(crate) async fn open(
        server: SocketAddr,
        name: &str,
        authority: &Authority,
    ) -> io::Result<Self> {
        let transport = quinn::TransportConfig::default();
        let made = connect(server, name, (authority, None), transport).await;
        Self::over(made.map_err(io::Error::other)?).await
    }

    /// HTTP/3 over a connection.
    pub(crate) async fn over(
        (endpoint, connection): (quinn::Endpoint, quinn::Connection),
    ) -> io::Result<Self> {
        let bridge = h3_quinn::Connection::new(connection.clone());
        let (mut driver, requests) = h3::client::new(bridge).await.map_err(io::Error::other)?;
        let driver = tokio::spawn(async move {
            std::future::poll_fn(|context| driver.poll_close(context)).await
        });
        Ok(Self { connection, requests, driver, _endpoint: endpoint })
    }

    /// Sends a request and reads the reply.
    pub(crate) async fn ask(&mut self, request: Request<()>, body: &[u8]) -> io::Result<Reply> {
        self.ask_with(request, body, None).await
    }

    /// [`Http3::ask`] with trailers.
    pub(crate) async fn ask_with(
        &mut self,
        request: Request<()>,
        body: &[u8],
        trailers: Option<HeaderMap>,
    ) -> io::Result<Reply> {
        let mut stream = self.requests.send_request(request).await.map_err(io::Error::other)?;
        for piece in body.chunks(50_000) {
            let sent = stream.send_data(Bytes::copy_from_slice(piece)).await;
            if sent.is_err() {
                break;
            }
        }
        if let Some(trailers) = trailers {
            stream.send_trailers(trailers).await.map_err(io::Error::other)?;
        }
        // The error is that the server has heard enough.
        let _ = stream.finish().await;
        let mut head = stream.recv_response().await.map_err(io::Error::other)?;
        while head.status().is_informational() {
            head = stream.recv_response().await.map_err(io::Error::other)?;
        }
        let mut octets = Vec::new();
        while let Some(mut piece) = stream.recv_data().await.map_err(io::Error::other)? {
            octets.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
        }
        let trailers = stream.recv_trailers().await.map_err(io::Error::other)?;
        Ok(Reply { head, body: octets, trailers })
    }

    /// The code that the server ends the connection with.
    pub(crate) async fn end(self) -> quinn::ConnectionError {
        drop(self.requests);
        let closed = self.connection.closed().await;
        self.driver.abort();
        closed
    }
}
