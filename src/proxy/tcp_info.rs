//! What the kernel knows of a TCP connection: the one system call that no library wraps.
#![allow(unsafe_code)] // The standard library knows this option as little.

use std::os::fd::RawFd;
use std::time::Duration;

/// The smoothed round trip of a connection; `None`: the kernel has measured none, or this is no
/// TCP connection.
pub(super) fn round_trip(fd: RawFd) -> Option<Duration> {
    // SAFETY: all fields are plain numbers, for which zero is a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: both places live through the call, and the length is that of `info`; older kernels
    // write less and say so.
    let status = unsafe {
        let value = std::ptr::from_mut(&mut info).cast();
        libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, value, &raw mut length)
    };
    let known = status == 0 && info.tcpi_rtt > 0;
    known.then(|| Duration::from_micros(u64::from(info.tcpi_rtt)))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_connection_has_a_round_trip_and_other_files_have_none() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        for stream in [&client, &server] {
            let found = round_trip(stream.as_raw_fd()).unwrap();
            assert!(found < Duration::from_secs(1), "{found:?}");
        }
        assert_eq!(round_trip(-1), None);
    }
}
