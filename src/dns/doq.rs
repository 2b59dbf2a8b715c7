//! One connection of DNS over QUIC (RFC 9250): a query on each stream, time and memory limits.

use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use super::engine::{MESSAGE_MAX, asks_keepalive};
use super::hub::Client;

/// Error codes of RFC 9250 section 8.4.
pub(super) const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 1;
const PROTOCOL_ERROR: u32 = 2;
const EXCESSIVE_LOAD: u32 = 4;
const UNSPECIFIED_ERROR: u32 = 5;

/// Longest query taken whole, as over TCP; of a longer one the start is answered.
const QUERY_MAX: usize = 4096;
/// Octets of the length in front of a message (RFC 9250 section 4.2).
const LENGTH: usize = 2;

/// What a stream came to, when not to a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The client gave up, or the connection is gone.
    Gone,
    /// The client was too slow.
    Late,
    /// The stream is answered with this error code.
    Reset(u32),
    /// The client broke the protocol, which ends the connection (RFC 9250 section 4.3.3).
    Broken,
}

/// Serves a connection to its end, or until the server stops and what has been asked by then.
pub(super) async fn serve(connection: Connection, client: Client) {
    let code = queries(&connection, &client).await;
    connection.close(VarInt::from_u32(code), b"");
}

/// Answers queries; returns the code that the connection ends with.
async fn queries(connection: &Connection, client: &Client) -> u32 {
    let (hub, seat) = (&client.hub, &client.seat);
    let mut streams = JoinSet::new();
    let old = tokio::time::Instant::now() + hub.life;
    let mut deadline = tokio::time::Instant::now() + hub.patience();
    let mut ending = false;
    while !(ending && streams.is_empty()) {
        tokio::select! {
            biased;
            () = seat.closed() => return EXCESSIVE_LOAD,
            () = hub.stop.cancelled(), if !ending => ending = true,
            stream = connection.accept_bi(), if !ending => match stream {
                Ok((reply, query)) => {
                    streams.spawn(answer(connection.clone(), client.clone(), query, reply));
                    ending = tokio::time::Instant::now() > old;
                }
                Err(error) => {
                    if error == ConnectionError::TimedOut {
                        client.late();
                    }
                    return NO_ERROR;
                }
            },
            Some(done) = streams.join_next() => {
                if matches!(done, Ok(Err(Fault::Broken))) {
                    return PROTOCOL_ERROR;
                }
                deadline = tokio::time::Instant::now() + hub.idle();
            }
            () = sleep_until(deadline.min(old)), if streams.is_empty() => {
                if deadline < old {
                    client.late();
                }
                return NO_ERROR;
            }
        }
    }
    NO_ERROR
}

/// Answers the query of a stream, and waits until the client has the reply.
async fn answer(
    connection: Connection,
    client: Client,
    mut query: RecvStream,
    mut reply: SendStream,
) -> Result<(), Fault> {
    let done = match timeout(client.hub.patience(), read_query(&mut query)).await {
        Ok(Ok(octets)) => {
            let sent = send(&connection, &client, &octets, &mut reply);
            timeout(client.hub.patience(), sent).await.unwrap_or(Err(Fault::Late))
        }
        Ok(Err(fault)) => Err(fault),
        Err(_) => Err(Fault::Late),
    };
    let code = match done {
        Err(Fault::Late) => {
            client.late();
            UNSPECIFIED_ERROR
        }
        Err(Fault::Reset(code)) => code,
        _ => return done,
    };
    // Each fails when the stream has ended by itself.
    let _ = reply.reset(VarInt::from_u32(code));
    let _ = query.stop(VarInt::from_u32(code));
    done
}

/// Reads a query: all that comes until the client has nothing more to send.
async fn read_query(stream: &mut RecvStream) -> Result<Vec<u8>, Fault> {
    let (mut octets, mut length) = (Vec::new(), 0);
    while let Some(piece) = stream.read_chunk(usize::MAX, true).await.map_err(|_| Fault::Gone)? {
        length += piece.bytes.len();
        if length > LENGTH + MESSAGE_MAX {
            return Err(Fault::Broken);
        }
        let room = (LENGTH + QUERY_MAX).saturating_sub(octets.len());
        octets.extend_from_slice(piece.bytes.get(..room).unwrap_or(&piece.bytes));
    }
    // RFC 9250 section 4.3.3: one whole message, and nothing behind it.
    let told = octets.first_chunk().map(|told| usize::from(u16::from_be_bytes(*told)));
    if told != length.checked_sub(LENGTH) || told.is_none() {
        return Err(Fault::Broken);
    }
    octets.drain(..LENGTH);
    // Sections 4.2.1 and 5.5.2: the ID is 0, and QUIC has its own way to keep a connection.
    if octets.first_chunk().is_some_and(|id: &[u8; 2]| *id != [0; 2]) || asks_keepalive(&octets) {
        return Err(Fault::Broken);
    }
    Ok(octets)
}

/// Sends the reply to a query, and waits until the client has it.
async fn send(
    connection: &Connection,
    client: &Client,
    query: &[u8],
    stream: &mut SendStream,
) -> Result<(), Fault> {
    // Looked at here, as all streams of a connection may have been read at once.
    if client.is_greedy() {
        return Err(Fault::Reset(EXCESSIVE_LOAD));
    }
    // The client may have moved since it connected (RFC 9000 section 9).
    let address = connection.remote_address();
    let answered = client.hub.answer(query, address, |reply, _| {
        let framed = [&(reply.len() as u16).to_be_bytes()[..], reply].concat();
        let waiting = client.seat.wait(framed.len());
        (framed, waiting)
    });
    let reply = answered.map_err(|_| Fault::Reset(INTERNAL_ERROR))?;
    // What has no reply is no query.
    let (reply, _waiting) = reply.reply().ok_or(Fault::Reset(UNSPECIFIED_ERROR))?;
    // By copying what the window takes: the library keeps its part for a while after a close, when
    // the rest is long gone.
    stream.write_all(&reply).await.map_err(|_| Fault::Gone)?;
    stream.finish().map_err(|_| Fault::Gone)?;
    stream.stopped().await.map_err(|_| Fault::Gone)?;
    Ok(())
}
