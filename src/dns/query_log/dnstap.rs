//! One dnstap message (protocol buffers) for an entry.
//!
//! The fields are those of `dnstap.proto` that apply here, by their numbers there.

use std::net::IpAddr;

use prost::{Enumeration, Message};

use super::json::Decision;
use super::{Entry, LogNames};
use crate::dns::engine::Transport;

/// What the frames of a dnstap stream hold.
pub(super) const CONTENT_TYPE: &[u8] = b"protobuf:dnstap.Dnstap";

/// The outermost message.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Dnstap {
    /// Who logs.
    #[prost(bytes = "vec", optional, tag = "1")]
    pub identity: Option<Vec<u8>>,
    /// The software.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub version: Option<Vec<u8>>,
    /// What else there is to say: the decision, as JSON.
    #[prost(bytes = "vec", optional, tag = "3")]
    pub extra: Option<Vec<u8>>,
    /// The exchange.
    #[prost(message, optional, tag = "14")]
    pub message: Option<Exchange>,
    /// What is in here: 1, an exchange.
    #[prost(int32, tag = "15")]
    pub kind: i32,
}

/// A query, its reply, and between whom they went.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Exchange {
    /// Which side saw what.
    #[prost(enumeration = "Kind", tag = "1")]
    pub kind: i32,
    /// 1: IPv4, 2: IPv6.
    #[prost(int32, optional, tag = "2")]
    pub socket_family: Option<i32>,
    /// 1: UDP, 2: TCP.
    #[prost(int32, optional, tag = "3")]
    pub socket_protocol: Option<i32>,
    /// Octets of the client's address.
    #[prost(bytes = "vec", optional, tag = "4")]
    pub query_address: Option<Vec<u8>>,
    /// The client's port.
    #[prost(uint32, optional, tag = "6")]
    pub query_port: Option<u32>,
    /// Seconds since 1970.
    #[prost(uint64, optional, tag = "8")]
    pub query_seconds: Option<u64>,
    /// The rest in nanoseconds.
    #[prost(fixed32, optional, tag = "9")]
    pub query_nanoseconds: Option<u32>,
    /// The query as it came.
    #[prost(bytes = "vec", optional, tag = "10")]
    pub query_message: Option<Vec<u8>>,
    /// Seconds since 1970.
    #[prost(uint64, optional, tag = "12")]
    pub response_seconds: Option<u64>,
    /// The rest in nanoseconds.
    #[prost(fixed32, optional, tag = "13")]
    pub response_nanoseconds: Option<u32>,
    /// The reply as it was sent.
    #[prost(bytes = "vec", optional, tag = "14")]
    pub response_message: Option<Vec<u8>>,
}

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(super) enum Kind {
    /// A query without a reply.
    AuthQuery = 1,
    /// A reply, with its query.
    AuthResponse = 2,
}

/// An entry as a protocol buffer.
pub(super) fn encode(entry: &Entry, names: &LogNames) -> Vec<u8> {
    let (family, address) = match entry.peer.ip() {
        IpAddr::V4(v4) => (1, v4.octets().to_vec()),
        IpAddr::V6(v6) => (2, v6.octets().to_vec()),
    };
    let protocol = match entry.transport {
        Transport::Udp => 1,
        Transport::Tcp => 2,
    };
    let some = |octets: &[u8]| (!octets.is_empty()).then(|| octets.to_vec());
    let reply = some(&entry.reply);
    let (seconds, nanoseconds) = (entry.time.as_secs(), entry.time.subsec_nanos());
    let kind = if reply.is_some() { Kind::AuthResponse } else { Kind::AuthQuery };
    let exchange = Exchange {
        kind: kind.into(),
        socket_family: Some(family),
        socket_protocol: Some(protocol),
        query_address: Some(address),
        query_port: Some(u32::from(entry.peer.port())),
        query_seconds: Some(seconds),
        query_nanoseconds: Some(nanoseconds),
        query_message: some(&entry.query),
        response_seconds: reply.as_ref().map(|_| seconds),
        response_nanoseconds: reply.as_ref().map(|_| nanoseconds),
        response_message: reply,
    };
    let decision = Decision::new(&entry.answer.facts, names);
    let dnstap = Dnstap {
        identity: Some(names.node.clone().into_bytes()),
        version: Some(concat!("meridian ", env!("CARGO_PKG_VERSION")).into()),
        // Text and numbers always have a JSON form.
        extra: serde_json::to_vec(&decision).ok(),
        message: Some(exchange),
        kind: 1,
    };
    dnstap.encode_to_vec()
}
