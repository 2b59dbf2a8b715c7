//! A small DNS client, and wrappers around the usual ones.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use super::process::output;
use super::wire::{Ask, Reply};

/// A reply must be there by then.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks one server over UDP from one socket.
pub(crate) struct Client {
    socket: UdpSocket,
    server: SocketAddr,
    id: u16,
}

impl Client {
    /// A client of this server.
    pub(crate) fn new(server: SocketAddr) -> Self {
        let any = if server.is_ipv4() { "0.0.0.0" } else { "::" };
        Self::from_address(any.parse().expect("an address"), server)
    }

    /// A client that asks from an address of its own.
    pub(crate) fn from_address(own: IpAddr, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((own, 0)).expect("a socket");
        socket.connect(server).expect("a connected socket");
        socket.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        Self { socket, server, id: fastrand::u16(..) }
    }

    /// How long to wait for a reply.
    pub(crate) fn set_timeout(&self, timeout: Duration) {
        self.socket.set_read_timeout(Some(timeout)).expect("a timeout");
    }

    /// Asks; the reply must come in time, echo the question byte for byte, and decode.
    pub(crate) fn try_ask(&mut self, ask: &Ask) -> Result<Reply, String> {
        self.id = self.id.wrapping_add(1);
        let query = ask.encode(self.id);
        self.socket.send(&query).map_err(|error| format!("{ask:?}: {error}"))?;
        let mut buffer = [0; 4096];
        loop {
            let length =
                self.socket.recv(&mut buffer).map_err(|error| format!("{ask:?}: {error}"))?;
            let reply =
                Reply::decode(&buffer[..length]).map_err(|error| format!("{ask:?}: {error}"))?;
            // A late reply to an earlier question that timed out.
            if reply.id != self.id {
                continue;
            }
            return echoed(&query, reply, ask);
        }
    }

    /// [`Client::try_ask`] that fails the test.
    #[track_caller]
    pub(crate) fn ask(&mut self, ask: &Ask) -> Reply {
        self.try_ask(ask).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Asks the same server over TCP.
    pub(crate) fn ask_tcp(&self, ask: &Ask) -> Result<Reply, String> {
        let fail = |error: std::io::Error| format!("{ask:?} over TCP: {error}");
        let mut stream = TcpStream::connect_timeout(&self.server, TIMEOUT).map_err(fail)?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(fail)?;
        let query = ask.encode(self.id);
        let mut framed = (query.len() as u16).to_be_bytes().to_vec();
        framed.extend(&query);
        stream.write_all(&framed).map_err(fail)?;
        let mut length = [0; 2];
        stream.read_exact(&mut length).map_err(fail)?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut message).map_err(fail)?;
        echoed(&query, Reply::decode(&message)?, ask)
    }

    /// Over UDP, and again over TCP when the answer is truncated.
    pub(crate) fn ask_whole(&mut self, ask: &Ask) -> Result<Reply, String> {
        let reply = self.try_ask(ask)?;
        if reply.tc { self.ask_tcp(ask) } else { Ok(reply) }
    }
}

fn echoed(query: &[u8], reply: Reply, ask: &Ask) -> Result<Reply, String> {
    let sent = query.get(12..12 + reply.question.len());
    if sent == Some(&reply.question[..]) {
        Ok(reply)
    } else {
        Err(format!("{ask:?}: the question came back as {:02x?}", reply.question))
    }
}

/// The lines `kdig +short` prints.
pub(crate) fn kdig(server: SocketAddr, arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new("kdig");
    command.arg(format!("@{}", server.ip())).args(["-p", &server.port().to_string()]);
    lines(command.args(["+short", "+retry=0"]).args(arguments))
}

/// The lines `dig +short` prints.
pub(crate) fn dig(server: SocketAddr, arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new("dig");
    command.arg(format!("@{}", server.ip())).args(["-p", &server.port().to_string()]);
    lines(command.args(["+short", "+tries=1"]).args(arguments))
}

fn lines(command: &mut Command) -> Vec<String> {
    output(command).lines().filter(|line| !line.starts_with(';')).map(str::to_owned).collect()
}
