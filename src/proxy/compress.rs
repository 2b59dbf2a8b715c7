//! Shorter bodies: whether a reply is worth it, what the client reads, and the encoders.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};
use std::rc::Rc;

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, HeaderName, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use zstd::stream::raw::CParameter;

use crate::model::{Compress, Encoding};

/// Bodies that one thread compresses at a time; others pass as they are. Each takes a megabyte at
/// most.
const AT_A_TIME: u32 = 256;
/// What is fast enough for replies that are made each time.
const GZIP_LEVEL: u32 = 5;
const BROTLI_LEVEL: i32 = 4;
const ZSTD_LEVEL: i32 = 3;
/// How far encoders look back, as a power of two: more takes more memory on both sides.
const BROTLI_WINDOW: i32 = 18;
const ZSTD_WINDOW: u32 = 18;
/// Memory that an encoder of brotli puts its output through.
const BROTLI_BUFFER: usize = 4 << 10;

/// What a client says of encodings that it reads.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wish {
    /// By encoding, in the order of [`Encoding::ALL`]; `None`: not said.
    weights: [Option<f32>; 3],
    /// What is not said has this weight.
    others: Option<f32>,
    identity: Option<f32>,
}

impl Wish {
    /// Reads `Accept-Encoding` (RFC 9110 section 12.5.3).
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut wish = Self { weights: [None; 3], others: None, identity: None };
        let values = headers.get_all(ACCEPT_ENCODING).iter();
        let values = values.filter_map(|value| value.to_str().ok());
        for element in values.flat_map(|value| value.split(',')) {
            let mut parts = element.split(';').map(str::trim);
            let coding = parts.next().unwrap_or_default();
            let weight =
                parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            // What is no weight is none that anyone asked for.
            let weight = weight.map_or(1.0, |text| text.trim().parse().unwrap_or(0.0_f32));
            let weight = Some(weight.clamp(0.0, 1.0));
            for (encoding, own) in Encoding::ALL.into_iter().zip(&mut wish.weights) {
                let alias = encoding == Encoding::Gzip && coding.eq_ignore_ascii_case("x-gzip");
                if alias || coding.eq_ignore_ascii_case(encoding.name()) {
                    *own = weight;
                }
            }
            match coding {
                "*" => wish.others = weight,
                _ if coding.eq_ignore_ascii_case("identity") => wish.identity = weight,
                _ => {}
            }
        }
        wish
    }

    /// The encoding that the client likes best, the first of those alike; `None`: it likes none
    /// better than the body as it is.
    pub(super) fn choose(&self, offered: &[Encoding]) -> Option<Encoding> {
        let mut best: Option<(f32, Encoding)> = None;
        for encoding in offered {
            let own = Encoding::ALL.iter().position(|known| known == encoding);
            let own = own.and_then(|at| self.weights.get(at).copied().flatten());
            let weight = own.or(self.others).unwrap_or(0.0);
            if weight > best.map_or(0.0, |(best, _)| best) {
                best = Some((weight, *encoding));
            }
        }
        let least = self.identity.unwrap_or(0.0);
        best.filter(|(weight, _)| *weight >= least).map(|(_, encoding)| encoding)
    }
}

/// Makes the head of a reply that of its encoded body, where it is worth it, and gives what encodes
/// the body; `exact` is its length where it is known.
///
/// A reply that another client would get encoded says so by `Vary` (RFC 9110 section 12.5.5).
pub(super) fn encode(
    headers: &mut HeaderMap,
    (status, exact): (StatusCode, Option<u64>),
    settings: &Compress,
    wish: &Wish,
    all: &Compressions,
) -> Option<Box<Encoder>> {
    if !is_worth(headers, status, exact, settings) {
        return None;
    }
    if !lists(headers, &VARY, &["accept-encoding", "*"]) {
        headers.append(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
    }
    let encoding = wish.choose(&settings.encodings).filter(|_| all.has_room())?;
    let encoder = all.begin(encoding).ok()?;
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
    // These are of the body as it was.
    for name in ["content-md5", "content-digest", "repr-digest", "digest"] {
        headers.remove(name);
    }
    headers.remove(CONTENT_LENGTH);
    // Ranges are of octets that the endpoint does not know (RFC 9110 section 14.3).
    headers.remove(ACCEPT_RANGES);
    weaken(headers);
    Some(Box::new(encoder))
}

/// Whether a body gains by it, and may be changed.
fn is_worth(
    headers: &HeaderMap,
    status: StatusCode,
    exact: Option<u64>,
    settings: &Compress,
) -> bool {
    let bodiless = status.is_informational()
        || matches!(
            status,
            StatusCode::NO_CONTENT
                | StatusCode::RESET_CONTENT
                | StatusCode::PARTIAL_CONTENT
                | StatusCode::NOT_MODIFIED
        );
    let small = exact.is_some_and(|length| length < settings.min_size);
    let done = headers.contains_key(CONTENT_ENCODING) || headers.contains_key(CONTENT_RANGE);
    !(bodiless || small || done)
        && is_typed(headers, &settings.types)
        // RFC 9111 section 5.2.2.6: nobody on the way may change the body.
        && !lists(headers, &CACHE_CONTROL, &["no-transform"])
}

/// Whether the type of a body is among those.
fn is_typed(headers: &HeaderMap, types: &[String]) -> bool {
    let own = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let own = own.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    types.iter().any(|known| match known.strip_suffix('*') {
        Some(start) => own.get(..start.len()).is_some_and(|own| own.eq_ignore_ascii_case(start)),
        None => own.eq_ignore_ascii_case(known),
    })
}

/// Whether a field lists one of these words.
fn lists(headers: &HeaderMap, name: &HeaderName, words: &[&str]) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let mut listed = values.flat_map(|value| value.split(',')).map(str::trim);
    listed.any(|one| words.iter().any(|word| one.eq_ignore_ascii_case(word)))
}

/// RFC 9110 section 8.8.3: a strong validator is of these very octets.
fn weaken(headers: &mut HeaderMap) {
    let Some(tag) = headers.get(ETAG) else { return };
    if tag.as_bytes().starts_with(b"W/") {
        return;
    }
    match HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()) {
        Ok(weak) => drop(headers.insert(ETAG, weak)),
        Err(_) => drop(headers.remove(ETAG)),
    }
}

/// The bodies that a thread compresses now.
#[derive(Clone, Debug, Default)]
pub(super) struct Compressions(Rc<Cell<u32>>);

impl Compressions {
    /// Whether there may be another one.
    fn has_room(&self) -> bool {
        self.0.get() < AT_A_TIME
    }

    /// An encoder for one more body.
    ///
    /// # Errors
    /// When there is no memory for it.
    fn begin(&self, encoding: Encoding) -> io::Result<Encoder> {
        let coder = Coder::new(encoding)?;
        self.0.set(self.0.get() + 1);
        Ok(Encoder { encoding, coder: Some(coder), unflushed: false, all: self.clone() })
    }
}

/// What encodes one body.
pub(super) struct Encoder {
    encoding: Encoding,
    /// `None`: the body has ended.
    coder: Option<Coder>,
    /// Whether what went in may not have come out yet.
    unflushed: bool,
    all: Compressions,
}

enum Coder {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Coder {
    fn new(encoding: Encoding) -> io::Result<Self> {
        Ok(match encoding {
            Encoding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL))),
            Encoding::Brotli => {
                let settings = BrotliEncoderParams {
                    quality: BROTLI_LEVEL,
                    lgwin: BROTLI_WINDOW,
                    ..BrotliEncoderParams::default()
                };
                let coder = CompressorWriter::with_params(Vec::new(), BROTLI_BUFFER, &settings);
                Self::Brotli(Box::new(coder))
            }
            Encoding::Zstd => {
                let mut coder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                coder.set_parameter(CParameter::WindowLog(ZSTD_WINDOW))?;
                Self::Zstd(coder)
            }
        })
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Gzip(coder) => coder,
            Self::Brotli(coder) => coder,
            Self::Zstd(coder) => coder,
        }
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Self::Gzip(coder) => coder.get_mut(),
            Self::Brotli(coder) => coder.get_mut(),
            Self::Zstd(coder) => coder.get_mut(),
        })
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(coder) => coder.finish(),
            Self::Brotli(coder) => Ok(coder.into_inner()),
            Self::Zstd(coder) => coder.finish(),
        }
    }
}

impl Encoder {
    /// What it makes of the body.
    pub(super) fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Takes in a part, and gives out what has come of it so far, which may be nothing.
    ///
    /// # Errors
    /// When the encoder fails.
    pub(super) fn push(&mut self, part: &[u8]) -> io::Result<Bytes> {
        let Some(coder) = &mut self.coder else { return Ok(Bytes::new()) };
        self.unflushed = true;
        coder.writer().write_all(part)?;
        Ok(coder.take().into())
    }

    /// Gives out all that was taken in, when more is not to be waited for.
    ///
    /// # Errors
    /// When the encoder fails.
    pub(super) fn flush(&mut self) -> io::Result<Bytes> {
        let Some(coder) = &mut self.coder else { return Ok(Bytes::new()) };
        self.unflushed = false;
        coder.writer().flush()?;
        Ok(coder.take().into())
    }

    /// Gives out the rest.
    ///
    /// # Errors
    /// When the encoder fails.
    pub(super) fn finish(&mut self) -> io::Result<Bytes> {
        self.unflushed = false;
        let coder = self.coder.take();
        coder.map_or(Ok(Bytes::new()), |coder| coder.finish().map(Bytes::from))
    }

    /// Whether something waits to be given out.
    pub(super) fn is_unflushed(&self) -> bool {
        self.unflushed
    }

    /// Whether all was given out.
    pub(super) fn is_done(&self) -> bool {
        self.coder.is_none()
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        self.all.0.set(self.all.0.get().saturating_sub(1));
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("done", &self.is_done()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
