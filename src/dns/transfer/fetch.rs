//! One visit at a primary: is there anything new, and if so, what.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::incoming::{Broken, Incoming, Outcome};
use super::reader::{answers, head};
use crate::clock;
use crate::dns::tsig::{Chain, Fault};
use crate::dns::wire::CLASS_IN;
use crate::model::Primary;
use crate::name::Name;
use crate::zone::serial::is_newer;
use crate::zone::{Records, rtype};

/// Longest wait for a connection.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Longest wait for the next message.
const MESSAGE_TIME: Duration = Duration::from_secs(30);
/// Longest time for a transfer in all.
const TRANSFER_TIME: Duration = Duration::from_secs(900);

/// Why a visit came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// The primary cannot be reached, or the connection broke.
    Connection(io::Error),
    /// It was silent for too long, or took too long in all.
    Late,
    /// It refused, with this response code (RFC 1035 section 4.1.1).
    Refused(u8),
    /// A signature does not hold.
    Unsigned(Fault),
    /// What it sent is no reply to what was asked.
    Strange,
    /// What it sent is no zone.
    Broken(Broken),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => write!(f, "no connection: {error}"),
            Self::Late => f.write_str("the primary takes too long"),
            Self::Refused(9) => f.write_str("NOTAUTH: the primary has no such zone or key"),
            Self::Refused(5) => f.write_str("REFUSED: the primary does not let this node have it"),
            Self::Refused(rcode) => write!(f, "the primary answers with response code {rcode}"),
            Self::Unsigned(fault) => write!(f, "the signature does not hold: {fault:?}"),
            Self::Strange => f.write_str("the reply does not belong to the question"),
            Self::Broken(broken) => write!(f, "the transfer is no zone: {broken}"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

/// Where to ask, and for what.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub zone: Name,
    pub primary: Primary,
    /// The address to ask from, with port 0.
    pub source: SocketAddr,
}

impl Visit {
    /// Asks for what is newer than the copy, if there is one: its serial and its records.
    ///
    /// # Errors
    /// Why there is no answer that can be used.
    pub(super) async fn fetch(
        &self,
        copy: Option<(u32, Arc<Records>)>,
    ) -> Result<Outcome, Failure> {
        let whole = timeout(TRANSFER_TIME, self.fetch_any(copy)).await;
        whole.map_err(|_| Failure::Late)?
    }

    async fn fetch_any(&self, copy: Option<(u32, Arc<Records>)>) -> Result<Outcome, Failure> {
        let Some((serial, records)) = copy else { return self.transfer(None).await };
        if !is_newer(self.serial().await?, serial) {
            return Ok(Outcome::Unchanged);
        }
        match self.transfer(Some((serial, records))).await {
            // RFC 1995 section 4: where changes cannot be had, all can.
            Err(Failure::Broken(_) | Failure::Refused(_) | Failure::Connection(_)) => {
                self.transfer(None).await
            }
            other => other,
        }
    }

    /// The serial that the primary has.
    async fn serial(&self) -> Result<u32, Failure> {
        let mut exchange = self.ask(rtype::SOA, None).await?;
        let message = exchange.next().await?;
        let mut serial = None;
        let read = answers(&message, |record| {
            let soa = record.rtype == rtype::SOA && record.owner == self.zone.as_wire();
            let from = record.rdata.len().checked_sub(20).filter(|_| soa);
            let number = from.and_then(|from| record.rdata.get(from..)?.first_chunk().copied());
            serial = serial.or(number.map(u32::from_be_bytes));
            true
        });
        read.and(serial).ok_or(Failure::Strange)
    }

    /// All of the zone, or what changed since the copy.
    async fn transfer(&self, copy: Option<(u32, Arc<Records>)>) -> Result<Outcome, Failure> {
        let (rtype, since) = match &copy {
            Some((serial, _)) => (rtype::IXFR, Some(*serial)),
            None => (rtype::AXFR, None),
        };
        let mut exchange = self.ask(rtype, since).await?;
        let mut incoming = Incoming::new(self.zone.clone(), copy);
        loop {
            let message = exchange.next().await?;
            if incoming.take(&message).map_err(Failure::Broken)? {
                break;
            }
        }
        // RFC 8945 section 5.3.1: a zone whose last message is not signed is not complete.
        if !exchange.chain.is_none_or(|chain| chain.is_complete()) {
            return Err(Failure::Unsigned(Fault::Malformed));
        }
        // Sorting a large zone must not hold up others.
        let finished = tokio::task::spawn_blocking(move || incoming.finish()).await;
        finished
            .map_err(|error| Failure::Connection(io::Error::other(error)))?
            .map_err(Failure::Broken)
    }

    /// Connects and sends a query.
    async fn ask(&self, rtype: u16, since: Option<u32>) -> Result<Exchange, Failure> {
        let socket = match self.source {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.bind(self.source)?;
        let connect = socket.connect(self.primary.address);
        let mut stream = timeout(CONNECT_TIME, connect).await.map_err(|_| Failure::Late)??;
        let id = fastrand::u16(..);
        let mut query = query(&self.zone, rtype, since, id);
        let mut chain = self.primary.key.clone().map(Chain::ask);
        if let Some(chain) = &mut chain {
            chain.sign(&mut query, clock::unix_seconds());
        }
        let mut framed = (query.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(&query);
        timeout(CONNECT_TIME, stream.write_all(&framed)).await.map_err(|_| Failure::Late)??;
        Ok(Exchange { stream, id, chain })
    }
}

/// A query under way.
struct Exchange {
    stream: TcpStream,
    id: u16,
    chain: Option<Chain>,
}

impl Exchange {
    /// The next message of the reply, verified.
    async fn next(&mut self) -> Result<Vec<u8>, Failure> {
        let read = async {
            let length = self.stream.read_u16().await?;
            let mut message = vec![0; usize::from(length)];
            self.stream.read_exact(&mut message).await?;
            Ok::<_, io::Error>(message)
        };
        let mut message = timeout(MESSAGE_TIME, read).await.map_err(|_| Failure::Late)??;
        let head = head(&message).ok_or(Failure::Strange)?;
        if head.id != self.id || !head.is_reply || head.opcode != 0 || head.is_truncated {
            return Err(Failure::Strange);
        }
        if head.rcode != 0 {
            // Told whether or not it is signed: nothing is taken from it.
            return Err(Failure::Refused(head.rcode));
        }
        if let Some(chain) = &mut self.chain {
            let verified = chain.verify(&message, clock::unix_seconds());
            message.truncate(verified.map_err(Failure::Unsigned)?);
        }
        Ok(message)
    }
}

/// The query (RFC 5936 section 2.1, RFC 1995 section 3).
fn query(zone: &Name, rtype: u16, since: Option<u32>, id: u16) -> Vec<u8> {
    let [i0, i1] = id.to_be_bytes();
    let authorities = u8::from(since.is_some());
    let mut query = vec![i0, i1, 0, 0, 0, 1, 0, 0, 0, authorities, 0, 0];
    query.extend_from_slice(zone.as_wire());
    query.extend_from_slice(&rtype.to_be_bytes());
    query.extend_from_slice(&CLASS_IN.to_be_bytes());
    if let Some(serial) = since {
        // Only the serial counts: the names are the root, the other numbers 0.
        query.extend_from_slice(&[0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0]);
        query.extend_from_slice(&serial.to_be_bytes());
        query.extend_from_slice(&[0; 16]);
    }
    query
}
