//! What the admin listener tells as it happens.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::PATIENCE;

/// A reader of the stream of events.
pub(crate) struct Reader(BufReader<TcpStream>);

impl Reader {
    /// One that was told `last` before; `None`: it comes for the first time.
    pub(crate) fn new(at: SocketAddr, last: Option<&str>) -> Self {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let last = last.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
        let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: {at}\r\n{last}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut reader = Self(BufReader::new(stream));
        let head: Vec<String> =
            std::iter::from_fn(|| Some(reader.line()).filter(|line| !line.is_empty())).collect();
        assert!(head[0].contains("200 OK"), "{head:?}");
        assert!(head.iter().any(|line| line == "content-type: text/event-stream"), "{head:?}");
        reader
    }

    /// One that is told all that has happened since the start.
    pub(crate) fn of_all(at: SocketAddr) -> Self {
        let (id, _, _) = Self::new(at, None).event();
        let (epoch, _) = id.split_once('-').unwrap();
        Self::new(at, Some(&format!("{epoch}-0")))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next event: identity, kind and data. Chunks are marked by lines of their own.
    pub(crate) fn event(&mut self) -> (String, String, Value) {
        let (mut id, mut kind) = (String::new(), String::new());
        loop {
            let line = self.line();
            match line.split_once(": ") {
                Some(("id", text)) => text.clone_into(&mut id),
                Some(("event", text)) => text.clone_into(&mut kind),
                Some(("data", text)) => return (id, kind, serde_json::from_str(text).unwrap()),
                _ => {}
            }
        }
    }
}
