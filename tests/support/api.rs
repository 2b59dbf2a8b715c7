//! Requests to the admin listener, byte for byte as a test writes them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Status, head and body of a request with these header lines.
pub(crate) fn request(
    at: SocketAddr,
    line: &str,
    headers: &[&str],
    body: &str,
) -> (u16, String, String) {
    let mut stream = TcpStream::connect(at).unwrap();
    let length = body.len();
    let headers = headers.join("\r\n");
    let text = format!("{line} HTTP/1.1\r\n{headers}\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).unwrap();
    let mut reply = String::new();
    let _ = stream.read_to_string(&mut reply);
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("{reply}")), head.to_owned(), body.to_owned())
}
