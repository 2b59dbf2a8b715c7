//! The way to an endpoint: which addresses, from where, until when.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Tls, failure};
use crate::health::{CauseKind, Outcome};

/// The end of a probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// When it ends.
    end: Instant,
    /// The time it had, for the words of a failure.
    pub(super) within: Duration,
}

impl Limit {
    /// The end of a probe that begins now.
    pub(super) fn starting(within: Duration) -> Self {
        Self { end: tokio::time::Instant::now() + within, within }
    }

    /// What `work` gives, if it does so in time.
    pub(super) async fn cut<T>(self, work: impl Future<Output = T>) -> Result<T, Outcome> {
        timeout_at(self.end, work).await.map_err(|_| failure::timed_out(self.within))
    }
}

/// Where a probe may connect to.
#[derive(Clone, Debug)]
pub(super) struct Route {
    /// At least one; each has passed the guard.
    pub(super) addresses: Vec<SocketAddr>,
    /// The address to leave from, of the same family; `None`: what the routes say.
    pub(super) source: Option<IpAddr>,
    /// When all of it ends.
    pub(super) limit: Limit,
}

impl Route {
    /// Tries the addresses in turn, each for its share of the time, as a client would. The failure
    /// is that of the last one tried.
    pub(super) async fn try_each<T, F>(
        &self,
        attempt: impl Fn(SocketAddr) -> F,
    ) -> Result<T, Outcome>
    where
        F: Future<Output = Result<T, Outcome>>,
    {
        let within = self.limit.within;
        let share = within / u32::try_from(self.addresses.len()).unwrap_or(u32::MAX).max(1);
        let work = async {
            let mut last = failure::timed_out(within);
            for address in &self.addresses {
                last = match timeout(share, attempt(*address)).await {
                    Ok(Ok(found)) => return Ok(found),
                    Ok(Err(failure)) => failure,
                    Err(_) => failure::timed_out(within),
                };
            }
            Err(last)
        };
        self.limit.cut(work).await?
    }

    /// A TCP connection.
    pub(super) async fn connect(&self) -> Result<TcpStream, Outcome> {
        self.try_each(|address| async move {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4(),
                SocketAddr::V6(_) => TcpSocket::new_v6(),
            };
            let socket = socket.map_err(|error| failure::missed("cannot open a socket", &error))?;
            if let Some(source) = self.source {
                let bound = socket.bind(SocketAddr::new(source, 0));
                bound.map_err(|error| failure::missed(&format!("no source `{source}`"), &error))?;
            }
            socket.connect(address).await.map_err(|error| failure::of_io(&error))
        })
        .await
    }

    /// A TLS connection, whose certificate is verified for `name` if at all.
    pub(super) async fn connect_tls(
        &self,
        tls: &Tls,
        verify: bool,
        (name, alpn): (&str, &[&str]),
    ) -> Result<TlsStream<TcpStream>, Outcome> {
        let stream = self.connect().await?;
        let server = ServerName::try_from(name.trim_end_matches('.').to_owned()).map_err(|_| {
            Outcome::failure(CauseKind::Tls, format!("`{name}` is not the name of a server"))
        })?;
        let connector = TlsConnector::from(std::sync::Arc::new(tls.config(verify, alpn)));
        let shaken = self.limit.cut(connector.connect(server, stream)).await?;
        shaken.map_err(|error| failure::of_handshake(&error))
    }

    /// A UDP socket that hears `to` alone.
    pub(super) async fn udp(&self, to: SocketAddr) -> Result<UdpSocket, Outcome> {
        let any: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let from = self.source.unwrap_or(any);
        let bound = UdpSocket::bind(SocketAddr::new(from, 0)).await;
        let socket =
            bound.map_err(|error| failure::missed(&format!("no source `{from}`"), &error))?;
        socket.connect(to).await.map_err(|error| failure::of_io(&error))?;
        Ok(socket)
    }
}
