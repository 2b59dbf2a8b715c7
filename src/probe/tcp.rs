//! The `tcp` check: a connection is accepted.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::failure;
use crate::health::Outcome;

/// Connects to one of `addresses`, at least one, trying each in turn for its share of `within`, as
/// a client would. The failure is that of the last one tried.
pub(super) async fn check(addresses: &[SocketAddr], within: Duration) -> Outcome {
    let share = within / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut last = failure::timed_out(within);
    for address in addresses {
        last = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Outcome::Success,
            Ok(Err(error)) => failure::of_io(&error),
            Err(_) => failure::timed_out(within),
        };
    }
    last
}
