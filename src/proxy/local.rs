//! Runs what HTTP/2 does beside a connection on the connection's own thread.

use hyper::rt::Executor;
use tokio::task::spawn_local;

/// The thread that asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local;

impl<F: Future<Output: 'static> + 'static> Executor<F> for Local {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}
