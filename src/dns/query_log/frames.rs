//! Frame streams, the container of dnstap: frames with a length, and control frames between them.

use std::io::{self, BufRead, ErrorKind, Read};

use super::dnstap::CONTENT_TYPE;

/// Control frames by type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// The reader takes what was offered.
    Accept = 1,
    /// Frames follow.
    Start = 2,
    /// No frames follow.
    Stop = 3,
    /// The writer offers a content type.
    Ready = 4,
    /// The reader has read the last frame.
    Finish = 5,
}

/// Longest control frame that is read (as in the reference implementation).
const CONTROL_MAX: usize = 512;
/// Longest frame that a log of ours can hold: two messages, and the words around them.
const FRAME_MAX: u32 = 32 << 10;
/// The one field of control frames.
const FIELD_CONTENT_TYPE: u32 = 1;

/// Appends a data frame.
pub(super) fn data(payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(payload);
}

/// A control frame; those that may name the content type name ours.
pub(super) fn control(control: Control) -> Vec<u8> {
    let typed = matches!(control, Control::Accept | Control::Start | Control::Ready);
    let mut body = (control as u32).to_be_bytes().to_vec();
    if typed {
        body.extend_from_slice(&FIELD_CONTENT_TYPE.to_be_bytes());
        body.extend_from_slice(&(CONTENT_TYPE.len() as u32).to_be_bytes());
        body.extend_from_slice(CONTENT_TYPE);
    }
    // A length of 0 says that a control frame follows.
    let mut frame = vec![0; 4];
    data(&body, &mut frame);
    frame
}

/// Reads a control frame of this type, and with our content type where it names any.
///
/// # Errors
/// When something else comes, or nothing.
pub(super) fn expect(wanted: Control, source: &mut impl Read) -> io::Result<()> {
    let mut head = [0; 8];
    source.read_exact(&mut head)?;
    let [e0, e1, e2, e3, l0, l1, l2, l3] = head;
    let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
    if [e0, e1, e2, e3] != [0; 4] || !(4..=CONTROL_MAX).contains(&length) {
        return Err(unexpected(wanted));
    }
    let mut body = vec![0; length];
    source.read_exact(&mut body)?;
    let (kind, mut fields) = body.split_first_chunk::<4>().ok_or_else(|| unexpected(wanted))?;
    let mut named = Vec::new();
    while let Some(([t0, t1, t2, t3, l0, l1, l2, l3], rest)) = fields.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([*l0, *l1, *l2, *l3]) as usize;
        let (value, rest) = rest.split_at_checked(length).ok_or_else(|| unexpected(wanted))?;
        if u32::from_be_bytes([*t0, *t1, *t2, *t3]) == FIELD_CONTENT_TYPE {
            named.push(value);
        }
        fields = rest;
    }
    let ours = named.is_empty() || named.contains(&CONTENT_TYPE);
    let sound = u32::from_be_bytes(*kind) == wanted as u32 && fields.is_empty() && ours;
    if sound { Ok(()) } else { Err(unexpected(wanted)) }
}

fn unexpected(wanted: Control) -> io::Error {
    let what = format!("this is no dnstap stream, expected the control frame {wanted:?}");
    io::Error::new(ErrorKind::InvalidData, what)
}

/// Where the last whole data frame of a stream of ours ends: there it can be continued. What a
/// crash left half written is behind that, as is the end of a stream that was ended.
///
/// # Errors
/// When it is no dnstap stream.
pub(super) fn end(stream: &mut impl BufRead) -> io::Result<u64> {
    expect(Control::Start, stream)?;
    let mut at = control(Control::Start).len() as u64;
    loop {
        let mut head = [0; 4];
        if stream.read_exact(&mut head).is_err() {
            return Ok(at);
        }
        let length = u32::from_be_bytes(head);
        if length == 0 || length > FRAME_MAX {
            return Ok(at);
        }
        let skipped = io::copy(&mut stream.take(u64::from(length)), &mut io::sink())?;
        if skipped < u64::from(length) {
            return Ok(at);
        }
        at += 4 + u64::from(length);
    }
}
