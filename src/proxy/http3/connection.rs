//! One connection of HTTP/3: its requests, and how it ends.

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h3::error::Code;
use h3::server::Connection;
use quinn::VarInt;
use quinn::crypto::rustls::HandshakeData;
use rustls::pki_types::CertificateDer;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::super::activity::{Activity, Order};
use super::super::connection::Entry;
use super::super::exchange::Client;
use super::super::identity::Session;
use super::super::round_trips::Meter;
use super::super::seats::Seat;
use super::super::worker::Worker;
use super::fruitless::Fruitless;
use super::request::{self, End, Resolver};
use crate::clock;
use crate::http3::{Bounds, Bridge, Gate, Request};
use crate::proxy_header::Ends;

/// Octets of a request beside its content and two heads: frames without a meaning.
const BESIDE: usize = 4 << 10;
/// Who has connected is about to ask: the first request is waited for before an end is told.
const FIRST: Duration = Duration::from_millis(250);
/// After the last reply, time for the client to hear that there will be none.
const FAREWELL: Duration = Duration::from_millis(250);

/// Serves a connection until its end.
pub(super) async fn serve(
    worker: Rc<Worker>,
    connection: quinn::Connection,
    destination: SocketAddr,
    seat: Seat,
) {
    let activity = Arc::new(Activity::new(clock::now()));
    activity.multiplexed();
    let _entry = Entry::new(worker.clone(), activity.clone(), seat);
    let view = worker.view();
    let ends = Ends { source: connection.remote_address(), destination };
    let mut client = Client::new(ends, true, activity.clone());
    if view.proxy.client_ca.is_some() {
        client.session = Some(session(&connection));
    }
    // Before the connection's own end, which it looks at when it is dropped.
    let _meter = Meter::of_quic(&connection, client.address, &worker);
    let limits = &view.proxy.limits;
    let most = limits.header_size.saturating_mul(2).saturating_add(BESIDE);
    let bounds = Bounds { request: Request::Framed(most), watched: true };
    let bridge = Bridge::new(&connection, bounds);
    let gate = bridge.gate();
    let mut builder = h3::server::builder();
    builder.max_field_section_size(limits.header_size as u64).send_grease(false);
    let built = tokio::select! {
        built = timeout(limits.header_timeout, builder.build(bridge)) => built,
        () = worker.ending.cancelled() => return,
    };
    drop(view);
    let Ok(Ok(library)) = built else { return };
    worker.shared.metrics.proxy.opened.with_label_values(&["http3"]).inc();
    let requests = Requests { worker, client: Rc::new(client), activity, gate };
    let code = requests.take(library, &connection).await;
    connection.close(code, b"");
}

/// What a client showed in its handshake.
fn session(connection: &quinn::Connection) -> Session {
    let data = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    let chain = connection.peer_identity();
    let chain = chain.and_then(|chain| chain.downcast::<Vec<CertificateDer<'_>>>().ok());
    let name = data.as_ref().and_then(|data| data.server_name.as_deref());
    Session::new(name, chain.as_ref().map_or(&[], |chain| chain.as_slice()))
}

/// The requests of a connection.
struct Requests {
    worker: Rc<Worker>,
    client: Rc<Client>,
    activity: Arc<Activity>,
    gate: Gate,
}

impl Requests {
    /// Answers requests until the connection has to end; the code that it ends with.
    async fn take(
        &self,
        mut library: Connection<Bridge, Bytes>,
        connection: &quinn::Connection,
    ) -> VarInt {
        let mut requests = JoinSet::new();
        let mut fruitless = Fruitless::default();
        let (mut finishing, mut deserted, mut fresh) = (false, false, true);
        let mut first = pin!(sleep(FIRST));
        std::future::poll_fn(|context| {
            self.activity.wake_with(context);
            std::task::Poll::Ready(())
        })
        .await;
        while !((finishing || deserted) && requests.is_empty()) {
            tokio::select! {
                biased;
                order = self.order(finishing || fresh) => {
                    // RFC 9114 section 5.2: what comes from now on may be asked elsewhere.
                    self.gate.shut();
                    if order == Order::Close || library.shutdown(1).await.is_err() {
                        return number(Code::H3_NO_ERROR);
                    }
                    finishing = true;
                }
                Some(ended) = requests.join_next() => {
                    // One that panicked was reported where it did.
                    let in_vain = ended.is_ok_and(|end| end == End::Fruitless);
                    if in_vain && !fruitless.count(clock::now()) {
                        let closed = &self.worker.shared.metrics.proxy.closed;
                        closed.with_label_values(&["flood"]).inc();
                        // The library would close it without a reason.
                        connection.close(number(Code::H3_EXCESSIVE_LOAD), b"");
                        return number(Code::H3_EXCESSIVE_LOAD);
                    }
                }
                request = library.accept(), if !deserted => match request {
                    Ok(Some(request)) => {
                        fresh = false;
                        requests.spawn_local(self.answer(request));
                    }
                    // The client asks for nothing more, and may wait for what it has asked.
                    Ok(None) => deserted = true,
                    // It has closed, or broken the rules, which it has been told.
                    Err(_) => return number(Code::H3_NO_ERROR),
                },
                () = &mut first, if fresh => fresh = false,
            }
        }
        let rest = async { while let Ok(Some(_)) = library.accept().await {} };
        if finishing && !deserted {
            let _ = timeout(FAREWELL, rest).await;
        }
        number(Code::H3_NO_ERROR)
    }

    fn answer(&self, request: Resolver) -> impl Future<Output = End> + 'static {
        let stopped = self.gate.stopped();
        request::answer(self.worker.clone(), self.client.clone(), request, stopped)
    }

    /// The next order that is news; wakes with the connection's own task.
    async fn order(&self, unfinishable: bool) -> Order {
        std::future::poll_fn(|_| match self.activity.order() {
            Order::Close => std::task::Poll::Ready(Order::Close),
            Order::Finish if !unfinishable => std::task::Poll::Ready(Order::Finish),
            Order::Serve | Order::Rest | Order::Finish => std::task::Poll::Pending,
        })
        .await
    }
}

/// A code as QUIC has it.
fn number(code: Code) -> VarInt {
    VarInt::from_u64(code.value()).unwrap_or(VarInt::MAX)
}
