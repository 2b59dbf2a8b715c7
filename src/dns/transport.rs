//! The ways in which queries come.

/// How queries come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// One datagram each.
    Udp,
    /// Messages with a length in front (RFC 7766).
    Tcp,
    /// The same, encrypted (RFC 7858).
    Tls,
    /// Requests of HTTP/2 (RFC 8484).
    Https,
    /// Requests of HTTP/3.
    Http3,
    /// A stream each (RFC 9250).
    Quic,
}

impl Transport {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Udp, Self::Tcp, Self::Tls, Self::Https, Self::Http3, Self::Quic];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Https => "https",
            Self::Http3 => "http3",
            Self::Quic => "quic",
        }
    }

    /// The name in messages.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Https => "HTTPS",
            Self::Http3 => "HTTP/3",
            Self::Quic => "QUIC",
        }
    }

    /// Whether messages come in HTTP.
    pub fn is_http(self) -> bool {
        matches!(self, Self::Https | Self::Http3)
    }

    /// Whether nobody on the way can read the messages.
    pub(super) fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Https | Self::Http3 | Self::Quic)
    }

    /// Whether a query can come only from the address it seems to come from.
    pub fn proves_address(self) -> bool {
        self != Self::Udp
    }
}
