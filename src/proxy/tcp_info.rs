//! What the kernel knows of a TCP connection: the one system call that no library wraps.
#![allow(unsafe_code)] // The standard library knows this option as little.

use std::os::fd::RawFd;
use std::time::Duration;

use crate::latency::Trip;

/// The round trips of a connection; `None`: the kernel has measured none, or this is no TCP
/// connection. The shortest is that of the last five minutes; kernels before Linux 4.6 do not know
/// it.
pub(super) fn round_trip(fd: RawFd) -> Option<Trip> {
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
    let [smoothed, least] =
        [info.tcpi_rtt, info.tcpi_min_rtt].map(|us| Duration::from_micros(u64::from(us)));
    known.then(|| Trip::new(smoothed, least))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_connection_has_round_trips_and_other_files_have_none() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        for _ in 0..20 {
            client.write_all(b"a question").unwrap();
            let mut question = [0; 10];
            server.read_exact(&mut question).unwrap();
            server.write_all(b"an answer").unwrap();
            client.read_exact(&mut [0; 9]).unwrap();
        }
        for stream in [&client, &server] {
            let Trip { least, smoothed } = round_trip(stream.as_raw_fd()).unwrap();
            assert!(smoothed < Duration::from_secs(1), "{smoothed:?}");
            assert!(Duration::ZERO < least && least <= smoothed, "{least:?} {smoothed:?}");
        }
        assert_eq!(round_trip(-1), None);
    }
}
