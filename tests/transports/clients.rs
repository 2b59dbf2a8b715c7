//! Clients of every transport, made from the libraries alone.

#![allow(dead_code)] // Each test binary uses its own part.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use h2::client::SendRequest;
use http::{Request, Response, StatusCode};
use quinn::crypto::rustls::QuicClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certificates::{self, NAME};

/// No client waits longer than this for the server.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The address most clients come from.
pub(crate) const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// What becomes of a future within the deadline.
#[track_caller]
pub(crate) fn in_time<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        let done = timeout(DEADLINE, future).await;
        done.unwrap_or_else(|_| panic!("{caller}: not done within {DEADLINE:?}"))
    }
}

/// A TCP connection from a loopback address.
pub(crate) async fn tcp(server: SocketAddr, from: Ipv4Addr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
    let stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// TLS over any stream, with these application protocols.
pub(crate) async fn tls_over<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    protocols: &[&str],
) -> io::Result<TlsStream<S>> {
    let connector = TlsConnector::from(certificates::client(protocols));
    connector.connect(NAME.try_into().unwrap(), stream).await
}

/// A TLS connection from a loopback address.
pub(crate) async fn tls(
    server: SocketAddr,
    from: Ipv4Addr,
    protocols: &[&str],
) -> io::Result<TlsStream<TcpStream>> {
    tls_over(tcp(server, from).await?, protocols).await
}

/// A message with its length in front.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

/// Reads a message with its length in front.
pub(crate) async fn read_framed(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Asks over TCP or TLS.
pub(crate) async fn ask_stream(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    query: &[u8],
) -> io::Result<Vec<u8>> {
    stream.write_all(&framed(query)).await?;
    stream.flush().await?;
    read_framed(stream).await
}

/// An HTTP/2 connection over any stream.
pub(crate) async fn http2_over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
) -> io::Result<SendRequest<Bytes>> {
    let stream = tls_over(stream, &["h2"]).await?;
    let (client, connection) = h2::client::handshake(stream).await.map_err(io::Error::other)?;
    tokio::spawn(async move {
        // Its end is seen by whoever waits for a response.
        let _ = connection.await;
    });
    client.ready().await.map_err(io::Error::other)
}

/// An HTTP/2 connection from a loopback address.
pub(crate) async fn http2(server: SocketAddr, from: Ipv4Addr) -> io::Result<SendRequest<Bytes>> {
    http2_over(tcp(server, from).await?).await
}

/// A request for DNS over HTTPS with the query in its body.
pub(crate) fn post() -> Request<()> {
    let request = Request::post(format!("https://{NAME}/dns-query"));
    request.header("content-type", "application/dns-message").body(()).unwrap()
}

/// A request for DNS over HTTPS with the query in its URI.
pub(crate) fn get(query: &[u8]) -> Request<()> {
    let text = data_encoding::BASE64URL_NOPAD.encode(query);
    Request::get(format!("https://{NAME}/dns-query?dns={text}")).body(()).unwrap()
}

/// Sends a request with a body and reads the response with its body.
pub(crate) async fn request(
    client: &SendRequest<Bytes>,
    request: Request<()>,
    body: &[u8],
) -> io::Result<(Response<()>, Vec<u8>)> {
    let mut client = client.clone().ready().await.map_err(io::Error::other)?;
    let (response, mut stream) =
        client.send_request(request, body.is_empty()).map_err(io::Error::other)?;
    if !body.is_empty() {
        let body = Bytes::copy_from_slice(body);
        stream.send_data(body, true).map_err(io::Error::other)?;
    }
    let (head, mut body) = response.await.map_err(io::Error::other)?.into_parts();
    let mut octets = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(io::Error::other)?;
        octets.extend_from_slice(&piece);
        body.flow_control().release_capacity(piece.len()).map_err(io::Error::other)?;
    }
    Ok((Response::from_parts(head, ()), octets))
}

/// Asks over HTTP/2 by POST.
pub(crate) async fn ask_http2(client: &SendRequest<Bytes>, query: &[u8]) -> io::Result<Vec<u8>> {
    let (head, body) = request(client, post(), query).await?;
    match head.status() {
        StatusCode::OK => Ok(body),
        status => Err(io::Error::other(status.to_string())),
    }
}

/// A QUIC endpoint of a client at a loopback address, for this application protocol.
pub(crate) fn quic_endpoint(
    from: Ipv4Addr,
    protocol: &str,
    transport: quinn::TransportConfig,
) -> quinn::Endpoint {
    let tls = (*certificates::client(&[protocol])).clone();
    let crypto = QuicClientConfig::try_from(tls).unwrap();
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    let mut endpoint = quinn::Endpoint::client(SocketAddr::new(from.into(), 0)).unwrap();
    endpoint.set_default_client_config(config);
    endpoint
}

/// An HTTP/3 connection; it lasts as long as what is returned.
pub(crate) async fn http3(server: SocketAddr, from: Ipv4Addr) -> io::Result<Http3> {
    http3_with(server, from, quinn::TransportConfig::default()).await
}

/// [`http3`] with these limits of the client.
pub(crate) async fn http3_with(
    server: SocketAddr,
    from: Ipv4Addr,
    transport: quinn::TransportConfig,
) -> io::Result<Http3> {
    let endpoint = quic_endpoint(from, "h3", transport);
    let connecting = endpoint.connect(server, NAME).map_err(io::Error::other)?;
    let connection = connecting.await.map_err(io::Error::other)?;
    let bridge = h3_quinn::Connection::new(connection.clone());
    let (mut driver, requests) = h3::client::new(bridge).await.map_err(io::Error::other)?;
    let driver = tokio::spawn(async move {
        // Its end is seen by whoever waits for a response.
        let _ = std::future::poll_fn(|context| driver.poll_close(context)).await;
    });
    Ok(Http3 { connection, requests, _driver: driver })
}

/// A client's side of an HTTP/3 connection.
pub(crate) struct Http3 {
    pub(crate) connection: quinn::Connection,
    pub(crate) requests: h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
    _driver: tokio::task::JoinHandle<()>,
}

impl Http3 {
    /// Sends a request with a body and reads the response with its body.
    pub(crate) async fn request(
        &mut self,
        request: Request<()>,
        body: &[u8],
    ) -> io::Result<(Response<()>, Vec<u8>)> {
        let mut stream = self.requests.send_request(request).await.map_err(io::Error::other)?;
        if !body.is_empty() {
            let body = Bytes::copy_from_slice(body);
            stream.send_data(body).await.map_err(io::Error::other)?;
        }
        stream.finish().await.map_err(io::Error::other)?;
        let head = stream.recv_response().await.map_err(io::Error::other)?;
        let mut octets = Vec::new();
        while let Some(mut piece) = stream.recv_data().await.map_err(io::Error::other)? {
            octets.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
        }
        Ok((head, octets))
    }
}

/// Asks over HTTP/3 by POST.
pub(crate) async fn ask_http3(client: &mut Http3, query: &[u8]) -> io::Result<Vec<u8>> {
    let (head, body) = client.request(post(), query).await?;
    match head.status() {
        StatusCode::OK => Ok(body),
        status => Err(io::Error::other(status.to_string())),
    }
}

/// A connection of DNS over QUIC.
pub(crate) async fn quic(server: SocketAddr, from: Ipv4Addr) -> io::Result<quinn::Connection> {
    let endpoint = quic_endpoint(from, "doq", quinn::TransportConfig::default());
    let connecting = endpoint.connect(server, NAME).map_err(io::Error::other)?;
    connecting.await.map_err(io::Error::other)
}

/// Asks over QUIC; the query has ID 0.
pub(crate) async fn ask_quic(connection: &quinn::Connection, query: &[u8]) -> io::Result<Vec<u8>> {
    let (mut send, mut receive) = connection.open_bi().await.map_err(io::Error::other)?;
    send.write_all(&framed(query)).await.map_err(io::Error::other)?;
    send.finish().map_err(io::Error::other)?;
    let reply = receive.read_to_end(1 << 17).await.map_err(io::Error::other)?;
    let length = u16::from_be_bytes(*reply.first_chunk().unwrap_or(&[0; 2]));
    assert_eq!(usize::from(length) + 2, reply.len(), "one whole message");
    Ok(reply[2..].to_vec())
}
