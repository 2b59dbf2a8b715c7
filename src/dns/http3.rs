//! One HTTP/3 connection (RFC 9114) of DNS over HTTPS: requests, time limits, memory limits.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::server::{Connection, RequestResolver, RequestStream};
use http::{Request, StatusCode};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

use super::http::{self as doh, Asked, QUERY_MAX};
use super::hub::Client;
use crate::http3::{self, Bounds, Bridge, Stream};

/// Octets of a request's head: a query of the longest sort in base64, and usual headers.
const HEAD_MAX: u64 = 16 << 10;
/// What a request may bring: head and body of the longest sort, and frames without a meaning.
const BOUNDS: Bounds = Bounds { request: http3::Request::Whole(32 << 10), watched: false };
/// After the last reply, time for the client to get it: the library closes without waiting.
const FAREWELL: Duration = Duration::from_millis(300);

/// A request as the library hands it over.
type Resolver = RequestResolver<Bridge, Bytes>;
/// A request's stream.
type Exchange = RequestStream<Stream<Bytes>, Bytes>;

/// Serves a connection to its end, or until the server stops and what has been asked by then.
pub(super) async fn serve(connection: quinn::Connection, client: Client) {
    let mut builder = h3::server::builder();
    let bridge = Bridge::new(&connection, BOUNDS);
    let build = builder.max_field_section_size(HEAD_MAX).send_grease(false).build(bridge);
    let hub = client.hub.clone();
    let built = tokio::select! {
        biased;
        () = client.seat.closed() => return,
        () = hub.stop.cancelled() => return,
        built = timeout(hub.patience(), build) => built,
    };
    match built {
        Ok(Ok(mut requests)) => {
            if take_requests(&mut requests, &client).await {
                tokio::select! {
                    () = client.seat.closed() => {}
                    _ = connection.closed() => {}
                    () = sleep(FAREWELL) => {}
                }
            }
        }
        Ok(Err(_)) => {}
        Err(_) => client.late(),
    }
}

/// Answers requests until the connection has to end; whether there is time for a farewell.
async fn take_requests(connection: &mut Connection<Bridge, Bytes>, client: &Client) -> bool {
    let (hub, seat) = (&client.hub, &client.seat);
    let mut requests = JoinSet::new();
    let old = tokio::time::Instant::now() + hub.life;
    let mut deadline = tokio::time::Instant::now() + hub.patience();
    let mut ending = false;
    while !(ending && requests.is_empty()) {
        tokio::select! {
            biased;
            () = seat.closed() => return false,
            () = hub.stop.cancelled(), if !ending => ending = true,
            request = connection.accept(), if !ending => match request {
                Ok(Some(request)) => {
                    requests.spawn(answer(client.clone(), request));
                    ending = tokio::time::Instant::now() > old;
                }
                // The client has closed, or broken the rules, which it has been told.
                Ok(None) | Err(_) => return false,
            },
            // A request that panicked was counted where it did.
            Some(_) = requests.join_next() => deadline = tokio::time::Instant::now() + hub.idle(),
            () = sleep_until(deadline.min(old)), if requests.is_empty() => {
                if deadline < old {
                    client.late();
                }
                break;
            }
        }
    }
    // RFC 9114 section 5.2: what comes after the last request may be asked elsewhere. It fails with
    // the connection.
    connection.shutdown(1).await.is_ok()
}

/// Answers a request.
async fn answer(client: Client, request: Resolver) {
    let patience = client.hub.patience();
    let (request, mut exchange) = match timeout(patience, request.resolve_request()).await {
        Ok(Ok(request)) => request,
        // The library has told the client.
        Ok(Err(_)) => return,
        Err(_) => return client.late(),
    };
    let query = read_query(&client, &request, &mut exchange).await;
    if client.is_greedy() {
        // RFC 9114 section 4.1.1: what was not looked at may be asked again.
        return exchange.stop_stream(Code::H3_REQUEST_REJECTED);
    }
    let sent = timeout(patience, send(&client, query, &mut exchange)).await;
    if sent.is_err() {
        client.late();
        return exchange.stop_stream(Code::H3_REQUEST_CANCELLED);
    }
    // A client that is stopped while it sends may take that for the end of the whole exchange, so
    // the rest of its request is taken, too, and not looked at.
    let rest = async { while let Ok(Some(_)) = exchange.recv_data().await {} };
    if timeout(patience, rest).await.is_err() {
        // RFC 9114 section 4.1: the response is whole without it.
        exchange.stop_sending(Code::H3_NO_ERROR);
    }
}

/// The query of a request; `Err`: it is answered with this status.
async fn read_query(
    client: &Client,
    request: &Request<()>,
    exchange: &mut Exchange,
) -> Result<Vec<u8>, StatusCode> {
    if let Asked::Query(query) = doh::read_head(request)? {
        return Ok(query);
    }
    let body = async {
        let mut query = Vec::new();
        loop {
            let piece = exchange.recv_data().await.map_err(|_| StatusCode::BAD_REQUEST)?;
            let Some(mut piece) = piece else { return Ok(query) };
            if query.len() + piece.remaining() > QUERY_MAX {
                return Err(StatusCode::PAYLOAD_TOO_LARGE);
            }
            query.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
        }
    };
    timeout(client.hub.patience(), body).await.unwrap_or(Err(StatusCode::REQUEST_TIMEOUT))
}

/// Sends the response to a query, or to what is none.
async fn send(client: &Client, query: Result<Vec<u8>, StatusCode>, exchange: &mut Exchange) {
    let answered = query.and_then(|query| {
        let answered = client.hub.answer(&query, client.address, |reply, facts| {
            (doh::head(reply, facts), doh::body(reply, client.seat.wait(reply.len())))
        });
        // What has no reply is no query.
        let answered = answered.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        answered.reply().ok_or(StatusCode::BAD_REQUEST)
    });
    let (head, body) = match answered {
        Ok((head, body)) => (head, Some(body)),
        Err(status) => {
            client.hub.connections.refused_requests.fetch_add(1, Ordering::Relaxed);
            (doh::refusal(status), None)
        }
    };
    // Each fails when the client has gone or does not want the response any more.
    if exchange.send_response(head).await.is_err() {
        return;
    }
    if let Some(body) = body
        && exchange.send_data(body).await.is_err()
    {
        return;
    }
    let _ = exchange.finish().await;
}
