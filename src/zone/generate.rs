//! `$GENERATE`: one line of a master file for each number of a range.

use std::iter::StepBy;
use std::ops::RangeInclusive;

use super::rdata::number;

/// Largest number of a range.
const NUMBER_MAX: u64 = (1 << 31) - 1;
/// Widest number written: a label cannot hold more.
const WIDTH_MAX: u64 = 63;

/// Reads `FROM-TO` or `FROM-TO/STEP`.
pub(super) fn range(text: &[u8]) -> Option<StepBy<RangeInclusive<u64>>> {
    let (range, step) = match text.iter().position(|byte| *byte == b'/') {
        Some(at) => (text.get(..at)?, number(text.get(at + 1..)?, NUMBER_MAX)?),
        None => (text, 1),
    };
    let dash = range.iter().position(|byte| *byte == b'-')?;
    let from = number(range.get(..dash)?, NUMBER_MAX)?;
    let to = number(range.get(dash + 1..)?, NUMBER_MAX)?;
    (from <= to && step > 0).then(|| (from..=to).step_by(step as usize))
}

/// A text with places for the number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Number { offset: i64, width: usize, base: Base },
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    Decimal,
    Octal,
    Lower,
    Upper,
    /// Hexadecimal digits from the lowest on, with dots between, as in `ip6.arpa`.
    Nibbles {
        upper: bool,
    },
}

impl Template {
    /// Reads a text in which `$` and `${OFFSET,WIDTH,BASE}` stand for the number, `\$` and `$$`
    /// for a dollar; the error is what is wrong.
    pub(super) fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let mut pieces = Vec::new();
        let mut plain = Vec::new();
        let mut rest = text;
        loop {
            let (piece, tail) = match rest {
                [] => break,
                [b'\\' | b'$', b'$', tail @ ..] => {
                    plain.push(b'$');
                    rest = tail;
                    continue;
                }
                // Other escapes are for the reader of the line; a dollar behind one is plain.
                [b'\\', octet, tail @ ..] => {
                    plain.extend([b'\\', *octet]);
                    rest = tail;
                    continue;
                }
                [b'$', b'{', tail @ ..] => {
                    let end =
                        tail.iter().position(|byte| *byte == b'}').ok_or("`${` without `}`")?;
                    let (inner, tail) = tail.split_at_checked(end).unwrap_or_default();
                    let piece = modifier(inner)
                        .ok_or("expected `${OFFSET,WIDTH,BASE}`, BASE one of d o x X n N")?;
                    (piece, tail.get(1..).unwrap_or_default())
                }
                [b'$', tail @ ..] => {
                    (Piece::Number { offset: 0, width: 0, base: Base::Decimal }, tail)
                }
                [octet, tail @ ..] => {
                    plain.push(*octet);
                    rest = tail;
                    continue;
                }
            };
            rest = tail;
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
            pieces.push(piece);
        }
        pieces.push(Piece::Text(plain));
        Ok(Self(pieces))
    }

    /// Appends the text for one number; `None` when an offset makes it negative.
    pub(super) fn expand(&self, value: u64, out: &mut Vec<u8>) -> Option<()> {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Number { offset, width, base } => {
                    let value = value.checked_add_signed(*offset)?;
                    out.extend(write_number(value, *width, *base).into_bytes());
                }
            }
        }
        Some(())
    }
}

/// Reads `OFFSET[,WIDTH[,BASE]]`.
fn modifier(text: &[u8]) -> Option<Piece> {
    let mut parts = text.split(|byte| *byte == b',');
    let offset = parts.next()?;
    let (negative, digits) = match offset {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    let offset = number(digits, NUMBER_MAX)?.cast_signed();
    let width = parts.next().map_or(Some(0), |width| number(width, WIDTH_MAX))? as usize;
    let base = match parts.next().unwrap_or(b"d") {
        b"d" => Base::Decimal,
        b"o" => Base::Octal,
        b"x" => Base::Lower,
        b"X" => Base::Upper,
        b"n" => Base::Nibbles { upper: false },
        b"N" => Base::Nibbles { upper: true },
        _ => return None,
    };
    let offset = if negative { -offset } else { offset };
    parts.next().is_none().then_some(Piece::Number { offset, width, base })
}

fn write_number(value: u64, width: usize, base: Base) -> String {
    match base {
        Base::Decimal => format!("{value:0width$}"),
        Base::Octal => format!("{value:0width$o}"),
        Base::Lower => format!("{value:0width$x}"),
        Base::Upper => format!("{value:0width$X}"),
        Base::Nibbles { upper } => nibbles(value, width, upper),
    }
}

/// The width counts the dots too, so that an even one ends in a dot, as in BIND.
fn nibbles(value: u64, width: usize, upper: bool) -> String {
    let mut text = String::new();
    let mut rest = value;
    loop {
        let digit = char::from_digit((rest & 0xf) as u32, 16).unwrap_or_default();
        text.push(if upper { digit.to_ascii_uppercase() } else { digit });
        rest >>= 4;
        if rest == 0 && text.len() >= width {
            return text;
        }
        text.push('.');
        if rest == 0 && text.len() >= width {
            return text;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ranges() {
        for (text, expected) in [
            ("1-3", Some(vec![1, 2, 3])),
            ("0-10/4", Some(vec![0, 4, 8])),
            ("7-7", Some(vec![7])),
            ("3-1", None),
            ("1-3/0", None),
            ("1", None),
            ("-3", None),
            ("1-", None),
            ("1-2147483648", None),
        ] {
            let numbers = range(text.as_bytes()).map(Iterator::collect::<Vec<u64>>);
            assert_eq!(numbers, expected, "{text}");
        }
    }

    #[test]
    fn fills_in_numbers() {
        for (text, value, expected) in [
            ("host", 5, Ok(Some("host"))),
            ("host-$.x$", 5, Ok(Some("host-5.x5"))),
            ("\\$$", 5, Ok(Some("$5"))),
            ("$$", 5, Ok(Some("$"))),
            ("a\\.$", 5, Ok(Some("a\\.5"))),
            ("${0}", 5, Ok(Some("5"))),
            ("${10}", 5, Ok(Some("15"))),
            ("${-5,3}", 7, Ok(Some("002"))),
            ("${+1,2,d}", 7, Ok(Some("08"))),
            ("${0,4,o}", 8, Ok(Some("0010"))),
            ("${0,2,x}", 250, Ok(Some("fa"))),
            ("${0,4,X}", 250, Ok(Some("00FA"))),
            ("${0,0,n}", 0x1a, Ok(Some("a.1"))),
            ("${0,7,N}", 0x1a, Ok(Some("A.1.0.0"))),
            ("${0,6,n}", 0x1a, Ok(Some("a.1.0."))),
            ("${0,2,n}x", 0, Ok(Some("0.x"))),
            ("${0,2,n}", 0x1a, Ok(Some("a.1"))),
            ("${-8}", 7, Ok(None)),
            ("${", 0, Err("`${` without `}`")),
            ("${x}", 0, Err("expected `${OFFSET,WIDTH,BASE}`, BASE one of d o x X n N")),
            ("${0,64}", 0, Err("expected `${OFFSET,WIDTH,BASE}`, BASE one of d o x X n N")),
            ("${0,1,z}", 0, Err("expected `${OFFSET,WIDTH,BASE}`, BASE one of d o x X n N")),
            ("${0,1,d,1}", 0, Err("expected `${OFFSET,WIDTH,BASE}`, BASE one of d o x X n N")),
        ] {
            let filled = Template::parse(text.as_bytes()).map(|template| {
                let mut out = Vec::new();
                template.expand(value, &mut out).map(|()| String::from_utf8(out).unwrap())
            });
            assert_eq!(filled, expected.map(|text| text.map(str::to_owned)), "{text}");
        }
    }
}
