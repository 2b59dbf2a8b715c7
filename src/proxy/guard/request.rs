//! The guard of a client's connection.

use super::chunks::Chunks;
use super::fields::{Fields, Framing};
use super::{Bounds, Fault, Line, Refused, has_control, is_token, skip};

/// Empty lines before a request that are borne (RFC 9112 section 2.2).
const EMPTY_MAX: u8 = 1;
/// The first line of what an HTTP/2 client sends unasked (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// Follows the requests of a connection.
///
/// ```text
///        ┌────────────── without content ──────────────┐
///        ▼                                             │
///     request line ──▶ fields ──▶ end of the head ─────┤
///        ▲                                             ▼
///        └──────────── its end ◀── content: by length or chunks
/// ```
///
/// After an upgrade the octets are another protocol's: [`RequestGuard::release`].
#[derive(Debug)]
pub struct RequestGuard {
    bounds: Bounds,
    state: State,
    line: Line,
    /// Whether no request has begun yet, so that HTTP/2 may.
    fresh: bool,
}

#[derive(Debug)]
enum State {
    /// Before a request line; so many empty lines came.
    Start(u8),
    Head {
        is_http_11: bool,
        fields: Fields,
    },
    Length(u64),
    Chunks(Chunks),
    Released,
}

impl RequestGuard {
    /// The guard of a new connection. `http2`: whether it may begin with HTTP/2 instead, which
    /// has a framing of its own.
    pub fn new(bounds: Bounds, http2: bool) -> Self {
        Self { bounds, state: State::Start(0), line: Line::default(), fresh: http2 }
    }

    /// Takes in what the connection brought. After a fault nothing more may be handed in.
    pub fn feed(&mut self, octets: &[u8]) -> Result<(), Fault> {
        let mut input = octets;
        let mut sound = 0;
        while !input.is_empty() {
            if matches!(self.state, State::Start(_) | State::Length(_) | State::Chunks(_)) {
                sound = octets.len() - input.len();
            }
            self.step(&mut input).map_err(|refused| Fault { refused, sound })?;
        }
        Ok(())
    }

    /// The connection has changed its protocol: everything passes from now on.
    pub fn release(&mut self) {
        self.state = State::Released;
    }

    /// Whether a request has begun that is not whole yet.
    pub fn is_within_head(&self) -> bool {
        match self.state {
            State::Start(_) => !self.line.begun.is_empty(),
            State::Head { .. } => true,
            State::Length(_) | State::Chunks(_) | State::Released => false,
        }
    }

    /// Whether all requests that have begun are whole.
    pub fn is_between(&self) -> bool {
        matches!(self.state, State::Start(0)) && self.line.begun.is_empty()
    }

    fn step(&mut self, input: &mut &[u8]) -> Result<(), Refused> {
        let bounds = self.bounds;
        match &mut self.state {
            State::Start(empty) => {
                let empty = *empty;
                // The longest method anyone has, and the version.
                let bound = bounds.target + 64;
                let read = |line: &[u8]| start(line, empty, &bounds);
                match self.line.next(input, bound, Refused::LongTarget, read) {
                    Ok(None) => {}
                    Ok(Some(Start::Empty)) => self.state = State::Start(empty + 1),
                    Ok(Some(Start::Http2)) if self.fresh => self.state = State::Released,
                    Ok(Some(Start::Http2)) => return Err(Refused::Version),
                    Ok(Some(Start::Request { is_http_11, fields })) => {
                        self.fresh = false;
                        self.state = State::Head { is_http_11, fields };
                    }
                    Err(refused) => return Err(refused),
                }
            }
            State::Head { is_http_11, fields } => {
                let left = fields.left(&bounds);
                let read = |line: &[u8]| fields.read(line, &bounds);
                if self.line.next(input, left, Refused::LongHead, read)? == Some(true) {
                    self.state = match fields.framing(*is_http_11)? {
                        Framing::Unsaid | Framing::Length(0) => State::Start(0),
                        Framing::Length(length) => State::Length(length),
                        Framing::Chunked => State::Chunks(Chunks::Size),
                    };
                }
            }
            State::Length(length) => {
                self.state = match skip(input, *length) {
                    0 => State::Start(0),
                    left => State::Length(left),
                };
            }
            State::Chunks(chunks) => {
                if chunks.follow(input, &mut self.line, &bounds)? {
                    self.state = State::Start(0);
                }
            }
            State::Released => *input = &[],
        }
        Ok(())
    }
}

/// What a line before a head is.
enum Start {
    Empty,
    Http2,
    Request { is_http_11: bool, fields: Fields },
}

/// Reads a request line (RFC 9112 section 3), after so many empty ones.
fn start(line: &[u8], empty: u8, bounds: &Bounds) -> Result<Start, Refused> {
    if line.is_empty() && empty < EMPTY_MAX {
        return Ok(Start::Empty);
    }
    if line == PREFACE {
        return Ok(Start::Http2);
    }
    let mut words = line.split(|octet| *octet == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Refused::StartLine);
    };
    if !is_token(method) {
        return Err(Refused::StartLine);
    }
    if target.len() > bounds.target {
        return Err(Refused::LongTarget);
    }
    // A fragment is the client's own (RFC 9110 section 4.2.5): some cut it off, some do not.
    let has_fragment = memchr::memchr(b'#', target).is_some();
    // A tab is a control character here.
    let has_tab = memchr::memchr(b'\t', target).is_some();
    if target.is_empty() || has_fragment || has_tab || has_control(target) {
        return Err(Refused::StartLine);
    }
    let is_http_11 = version == b"HTTP/1.1";
    if !is_http_11 && version != b"HTTP/1.0" {
        let other = version.strip_prefix(b"HTTP/").is_some_and(|rest| {
            matches!(rest, [major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit())
        });
        return Err(if other { Refused::Version } else { Refused::StartLine });
    }
    let mut fields = Fields::default();
    fields.count_line(line);
    Ok(Start::Request { is_http_11, fields })
}
