//! One connection of a client, from its first octet to its last.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::TcpStream;
use tracing::debug;

use super::activity::{Activity, Order};
use super::channel::Channel;
use super::exchange::Client;
use super::forward;
use super::seats::Seat;
use super::worker::Worker;
use crate::clock;

/// Header fields that the parser keeps on the stack; any other bound costs it an allocation.
const HEADERS_USUAL: usize = 100;

/// A connection's place among those that are swept.
struct Entry {
    worker: Rc<Worker>,
    number: u64,
    _seat: Seat,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.worker.leave(self.number);
    }
}

/// Serves a connection until its end.
pub(super) async fn serve(worker: Rc<Worker>, stream: TcpStream, address: IpAddr, seat: Seat) {
    // Heads and the ends of bodies must not wait for more to come. The error is that it is gone.
    let _ = stream.set_nodelay(true);
    let activity = Arc::new(Activity::new(clock::now()));
    let number = worker.enter(activity.clone());
    let entry = Entry { worker: worker.clone(), number, _seat: seat };
    let client = Rc::new(Client { address, activity: activity.clone() });
    let limits = worker.view().proxy.limits.clone();
    let mut builder = http1::Builder::new();
    // The sweeper sees to it, without a timer for each request.
    builder.header_read_timeout(None);
    builder.max_header_size(limits.header_size);
    if limits.headers != HEADERS_USUAL {
        builder.max_headers(limits.headers);
    }
    let service = service_fn(|request| forward::answer(worker.clone(), client.clone(), request));
    let mut connection =
        pin!(builder.serve_connection(Channel::new(stream, activity.clone()), service));
    let mut known = false;
    let mut finishing = false;
    let ended = poll_fn(|context| {
        if !std::mem::replace(&mut known, true) {
            activity.wake_with(context);
        }
        match activity.order() {
            Order::Serve => {}
            Order::Close => return Poll::Ready(Ok(())),
            Order::Finish => {
                if !std::mem::replace(&mut finishing, true) {
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
        connection.as_mut().poll(context)
    });
    if let Err(error) = ended.await {
        debug!(client = %address, %error, "a connection of a client broke");
    }
    drop(entry);
}
