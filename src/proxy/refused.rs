//! Why a message is refused rather than repaired.
//!
//! Where two readers could understand a message differently, one of them can be made to see
//! a request that the other did not: what is ambiguous goes no further.

use http::StatusCode;

/// Something that is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// The first line is no request line or status line of HTTP.
    StartLine,
    /// A version that is not spoken here.
    Version,
    /// A line that does not end with CRLF, or a carriage return elsewhere.
    LineEnd,
    /// A line that continues the field before (RFC 9112 section 5.2).
    Folded,
    /// A name of a field that is no token, or space before its colon.
    FieldName,
    /// A control character in the value of a field.
    FieldValue,
    /// More fields than allowed.
    ManyFields,
    /// A head longer than allowed.
    LongHead,
    /// A target longer than allowed.
    LongTarget,
    /// A length that is no plain number.
    Length,
    /// More than one length.
    Lengths,
    /// Both a length and a transfer coding (RFC 9112 section 6.1).
    LengthAndCoding,
    /// A transfer coding that is not `chunked` alone.
    Coding,
    /// A transfer coding in HTTP/1.0 (RFC 9112 section 6.1).
    OldCoding,
    /// The framing of a chunk is broken.
    Chunk,
    /// A status that allows no content, with a length or coding.
    NoContent,
    /// Something came that nobody asked for.
    Unasked,
    /// More interim responses than anyone needs.
    Interim,
    /// HTTP/1.1 without a host.
    NoHost,
    /// More than one host.
    Hosts,
    /// A host that is no name or address, or a port that is none.
    Host,
    /// The host and the authority of the target differ.
    HostDiffers,
    /// The authority holds the name of a user.
    UserInfo,
    /// The target's scheme is neither `http` nor `https`.
    Scheme,
    /// A method that asks for a tunnel.
    Connect,
    /// A target of a form that the method does not have.
    Target,
    /// A path with dot segments, however they are written.
    DotSegments,
    /// A path with a control character, or a broken percent-encoding.
    Path,
    /// `Connection` names a field that is meant for everyone on the way.
    ConnectionNames,
    /// `Connection` is no list of names, or a very long one.
    Connection,
    /// Frames of HTTP/2 without use, one after the other.
    Flood,
}

impl Refused {
    /// All of them, in the order above.
    pub const ALL: [Self; 31] = [
        Self::StartLine,
        Self::Version,
        Self::LineEnd,
        Self::Folded,
        Self::FieldName,
        Self::FieldValue,
        Self::ManyFields,
        Self::LongHead,
        Self::LongTarget,
        Self::Length,
        Self::Lengths,
        Self::LengthAndCoding,
        Self::Coding,
        Self::OldCoding,
        Self::Chunk,
        Self::NoContent,
        Self::Unasked,
        Self::Interim,
        Self::NoHost,
        Self::Hosts,
        Self::Host,
        Self::HostDiffers,
        Self::UserInfo,
        Self::Scheme,
        Self::Connect,
        Self::Target,
        Self::DotSegments,
        Self::Path,
        Self::ConnectionNames,
        Self::Connection,
        Self::Flood,
    ];

    /// The status for a client who sent it; for an origin it is always 502.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::ManyFields | Self::LongHead => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::LongTarget => StatusCode::URI_TOO_LONG,
            Self::Coding => StatusCode::NOT_IMPLEMENTED,
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
            Self::Flood => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The word for it in logs and metrics.
    pub fn cause(self) -> &'static str {
        match self {
            Self::StartLine => "start-line",
            Self::Version => "version",
            Self::LineEnd => "line-end",
            Self::Folded => "folded-field",
            Self::FieldName => "field-name",
            Self::FieldValue => "field-value",
            Self::ManyFields => "many-fields",
            Self::LongHead => "long-head",
            Self::LongTarget => "long-target",
            Self::Length => "length",
            Self::Lengths => "lengths",
            Self::LengthAndCoding => "length-and-coding",
            Self::Coding => "coding",
            Self::OldCoding => "old-coding",
            Self::Chunk => "chunk",
            Self::NoContent => "no-content",
            Self::Unasked => "unasked",
            Self::Interim => "interim",
            Self::NoHost => "no-host",
            Self::Hosts => "hosts",
            Self::Host => "host",
            Self::HostDiffers => "host-differs",
            Self::UserInfo => "user-info",
            Self::Scheme => "scheme",
            Self::Connect => "connect",
            Self::Target => "target",
            Self::DotSegments => "dot-segments",
            Self::Path => "path",
            Self::ConnectionNames => "connection-names",
            Self::Connection => "connection",
            Self::Flood => "flood",
        }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the message is refused for its `{}`", self.cause())
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_cause_has_a_word_and_an_error_status() {
        let words: BTreeSet<&str> = Refused::ALL.iter().map(|refused| refused.cause()).collect();
        assert_eq!(words.len(), Refused::ALL.len());
        for refused in Refused::ALL {
            let status = refused.status();
            assert!(status.is_client_error() || status.is_server_error(), "{refused}");
        }
    }
}
