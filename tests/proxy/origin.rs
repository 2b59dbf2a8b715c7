//! An origin that keeps what it is asked, octet for octet, and a client that sends what it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::spawn;

use crate::support::PATIENCE;

/// A request as it arrived.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// Request line and fields, each with its line end.
    pub(crate) head: String,
    /// What followed, chunks and trailers as they were.
    pub(crate) body: Vec<u8>,
}

impl Asked {
    /// The values of a field.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        values(&self.head, name)
    }
}

/// The values of a field of a head.
pub(crate) fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    fields.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

/// What an origin does with a request: writes a reply; `false` ends the connection.
type Script = dyn Fn(&Asked, &mut TcpStream) -> bool + Send + Sync;

/// A server of threads.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Origin {
    /// Starts one that does `script`.
    pub(crate) fn start(
        ip: impl Into<IpAddr>,
        script: impl Fn(&Asked, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::at((ip.into(), 0).into(), script)
    }

    /// [`Origin::start`] at a port of choice.
    pub(crate) fn at(
        address: SocketAddr,
        script: impl Fn(&Asked, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (script, noted): (Arc<Script>, _) = (Arc::new(script), asked.clone());
        spawn(move || {
            for stream in listener.incoming() {
                let (script, noted, stream) = (script.clone(), noted.clone(), stream.unwrap());
                spawn(move || converse(stream, &*script, &noted));
            }
        });
        Self { address, asked }
    }

    /// One that answers everything with this.
    pub(crate) fn saying(ip: impl Into<IpAddr>, reply: &'static str) -> Self {
        Self::start(ip, move |_, stream| stream.write_all(reply.as_bytes()).is_ok())
    }

    /// What has been asked since the last time.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn converse(mut stream: TcpStream, script: &Script, noted: &Mutex<Vec<Asked>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(asked) = request(&mut reader) {
        noted.lock().unwrap().push(asked.clone());
        if !script(&asked, &mut stream) {
            return;
        }
    }
}

fn request(reader: &mut impl BufRead) -> Option<Asked> {
    let head = head(reader)?;
    let mut asked = Asked { head, body: Vec::new() };
    if let [length] = asked.values("content-length")[..] {
        asked.body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut asked.body).ok()?;
    } else if asked.values("transfer-encoding") == ["chunked"] {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let length = usize::from_str_radix(line.trim(), 16).ok()?;
            asked.body.extend(line.as_bytes());
            if length == 0 {
                asked.body.extend(self::head(reader)?.as_bytes());
                break;
            }
            let mut chunk = vec![0; length + 2];
            reader.read_exact(&mut chunk).ok()?;
            asked.body.extend(chunk);
        }
    }
    Some(asked)
}

/// Lines up to and with an empty one.
fn head(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && head != "\r\n" {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

/// A reply as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The values of a field.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        values(&self.head, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A client's connection.
pub(crate) struct Talk {
    pub(crate) stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Talk {
    pub(crate) fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { stream, reader }
    }

    /// Sends octets as they are.
    pub(crate) fn say(&mut self, octets: impl AsRef<[u8]>) {
        self.stream.write_all(octets.as_ref()).unwrap();
    }

    /// The next reply; `None`: the connection ended, or broke, before it came to its end.
    pub(crate) fn hear(&mut self) -> Option<Reply> {
        let asked = request(&mut self.reader)?;
        let Asked { head, mut body } = asked;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let framed = ["content-length", "transfer-encoding"].map(|name| values(&head, name).len());
        if framed == [0, 0] && status != 304 && status != 204 {
            self.reader.read_to_end(&mut body).ok()?;
        }
        Some(Reply { status, head, body })
    }

    /// Whether the server ends the connection, however it does.
    pub(crate) fn ends(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty(),
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// A GET request and its reply, on a connection of its own.
pub(crate) fn get(address: SocketAddr, host: &str, path: &str) -> Reply {
    let mut talk = Talk::to(address);
    talk.say(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    talk.hear().expect("a reply")
}

/// What curl prints.
pub(crate) fn curl(arguments: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "20"]).args(arguments);
    crate::support::process::output(&mut command)
}
