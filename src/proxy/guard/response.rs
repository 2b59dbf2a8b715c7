//! The guard of a connection with an origin.

use super::chunks::Chunks;
use super::fields::{Fields, Framing};
use super::{Bounds, Fault, Line, Refused, has_control, skip};

/// Interim responses before a final one: `100 Continue` and a few early hints.
const INTERIM_MAX: u8 = 8;
/// Octets of a status line: reasons are for people.
const STATUS_LINE_MAX: usize = 1024;

/// What the response to a request may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// The request is a HEAD, whose response has no content whatever its fields say.
    pub head: bool,
    /// The request asks for an upgrade, so that 101 is an answer.
    pub upgrade: bool,
}

/// Follows the responses of an origin, one for each request.
#[derive(Debug)]
pub struct ResponseGuard {
    bounds: Bounds,
    state: State,
    line: Line,
}

#[derive(Debug)]
enum State {
    /// Nothing is expected.
    Idle,
    Start {
        expected: Expected,
        interim: u8,
    },
    Head {
        expected: Expected,
        interim: u8,
        status: Status,
        fields: Fields,
    },
    Length(u64),
    Chunks(Chunks),
    /// To the end of the connection.
    Open,
    Released,
}

#[derive(Clone, Copy, Debug)]
struct Status {
    is_http_11: bool,
    code: u16,
}

impl ResponseGuard {
    /// The guard of a new connection.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, state: State::Idle, line: Line::default() }
    }

    /// A request is about to be sent. `false`: the response to the one before has not ended, and
    /// the connection must not be used.
    pub fn await_reply(&mut self, expected: Expected) -> bool {
        let is_idle = matches!(self.state, State::Idle);
        if is_idle {
            self.state = State::Start { expected, interim: 0 };
        }
        is_idle
    }

    /// Whether nothing is expected, so that another request may be sent.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Whether the connection may end here without cutting a response short.
    pub fn may_end(&self) -> bool {
        matches!(self.state, State::Idle | State::Open | State::Released)
    }

    /// Takes in what the connection brought. After a fault nothing more may be handed in.
    pub fn feed(&mut self, octets: &[u8]) -> Result<(), Fault> {
        let mut input = octets;
        let mut sound = 0;
        while !input.is_empty() {
            if !matches!(self.state, State::Head { .. }) {
                sound = octets.len() - input.len();
            }
            self.step(&mut input).map_err(|refused| Fault { refused, sound })?;
        }
        Ok(())
    }

    fn step(&mut self, input: &mut &[u8]) -> Result<(), Refused> {
        let bounds = self.bounds;
        match &mut self.state {
            State::Idle => return Err(Refused::Unasked),
            State::Start { expected, interim } => {
                let (expected, interim) = (*expected, *interim);
                let read = self.line.next(input, STATUS_LINE_MAX, Refused::LongHead, start);
                if let Some((status, fields)) = read? {
                    self.state = State::Head { expected, interim, status, fields };
                }
            }
            State::Head { expected, interim, status, fields } => {
                let left = fields.left(&bounds);
                let read = |line: &[u8]| fields.read(line, &bounds);
                if self.line.next(input, left, Refused::LongHead, read)? == Some(true) {
                    let framing = fields.framing(status.is_http_11)?;
                    self.state = after_head(*expected, *interim, status.code, framing)?;
                }
            }
            State::Length(length) => {
                self.state = match skip(input, *length) {
                    0 => State::Idle,
                    left => State::Length(left),
                };
            }
            State::Chunks(chunks) => {
                if chunks.follow(input, &mut self.line, &bounds)? {
                    self.state = State::Idle;
                }
            }
            State::Open | State::Released => *input = &[],
        }
        Ok(())
    }
}

/// Reads a status line (RFC 9112 section 4).
fn start(line: &[u8]) -> Result<(Status, Fields), Refused> {
    let (version, rest) = line.split_at_checked(8).ok_or(Refused::StartLine)?;
    let is_http_11 = version == b"HTTP/1.1";
    if !is_http_11 && version != b"HTTP/1.0" {
        return Err(Refused::Version);
    }
    // The space before an absent reason is often absent too.
    let ([b' ', a, b, c], reason) = rest.split_first_chunk().ok_or(Refused::StartLine)? else {
        return Err(Refused::StartLine);
    };
    let digits = [a, b, c].map(|octet| u16::from(octet.wrapping_sub(b'0')));
    let sound = digits.iter().all(|digit| *digit < 10) && *a != b'0';
    let spaced = matches!(reason.first(), None | Some(b' '));
    if !sound || !spaced || has_control(reason) {
        return Err(Refused::StartLine);
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + digit);
    let mut fields = Fields::default();
    fields.count_line(line);
    Ok((Status { is_http_11, code }, fields))
}

/// What follows a head (RFC 9112 section 6.3).
fn after_head(
    expected: Expected,
    interim: u8,
    code: u16,
    framing: Framing,
) -> Result<State, Refused> {
    match (code, framing) {
        // RFC 9110 sections 6.4.1 and 8.6. A length of 0 is wrong with 204 too, but often sent and
        // read alike by everyone.
        (100..=199, Framing::Length(0))
        | (100..=199 | 204, Framing::Length(1..) | Framing::Chunked) => Err(Refused::NoContent),
        (101, _) if expected.upgrade => Ok(State::Released),
        (101, _) => Err(Refused::Unasked),
        (100..=199, _) if interim < INTERIM_MAX => {
            Ok(State::Start { expected, interim: interim + 1 })
        }
        (100..=199, _) => Err(Refused::Interim),
        (204 | 304, _) => Ok(State::Idle),
        _ if expected.head => Ok(State::Idle),
        (_, Framing::Length(0)) => Ok(State::Idle),
        (_, Framing::Length(length)) => Ok(State::Length(length)),
        (_, Framing::Chunked) => Ok(State::Chunks(Chunks::Size)),
        (_, Framing::Unsaid) => Ok(State::Open),
    }
}
