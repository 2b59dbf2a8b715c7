//! LOC records: a place on the earth (RFC 1876).

use super::fields::{Fields, bad, number};
use crate::zone::mistake::Mistake;
use crate::zone::token::Word;

/// The equator and the prime meridian (RFC 1876 section 2).
const MIDDLE: u32 = 1 << 31;
/// Altitude 0 in centimetres above the base of 100,000 m below (RFC 1876 section 2).
const SEA_LEVEL: u64 = 10_000_000;
/// Size, horizontal and vertical precision where they are omitted: 1 m, 10,000 m, 10 m
/// (RFC 1876 section 3), as mantissa and exponent of centimetres.
const DEFAULTS: [u8; 3] = [0x12, 0x16, 0x13];

/// Reads `DEG [MIN [SEC]] N|S DEG [MIN [SEC]] E|W ALT [SIZE [HORIZONTAL [VERTICAL]]]`.
pub(super) fn encode(fields: &mut Fields<'_, '_>, out: &mut Vec<u8>) -> Result<(), Mistake> {
    let latitude = angle(fields, "latitude", 90, *b"NS")?;
    let longitude = angle(fields, "longitude", 180, *b"EW")?;
    let altitude = altitude(&fields.plain("altitude")?)?;
    let mut sizes = DEFAULTS;
    let names = ["size", "horizontal precision", "vertical precision"];
    for (octet, name) in sizes.iter_mut().zip(names) {
        if fields.peek().is_some() {
            *octet = precision(&fields.plain(name)?, name)?;
        }
    }
    out.push(0); // The version.
    out.extend(sizes);
    out.extend(latitude.to_be_bytes());
    out.extend(longitude.to_be_bytes());
    out.extend(altitude.to_be_bytes());
    Ok(())
}

/// Thousandths of a second of arc from the middle.
fn angle(
    fields: &mut Fields<'_, '_>,
    what: &str,
    degrees_max: u64,
    sides: [u8; 2],
) -> Result<u32, Mistake> {
    // What one of the part is worth, digits behind the point, upper bound.
    let parts = [
        ("degrees", 3_600_000, 0, degrees_max),
        ("minutes", 60_000, 0, 59),
        ("seconds", 1000, 3, 59),
    ];
    let mut total = 0u64;
    for (part, worth, digits, max) in parts {
        let word = fields.plain(what)?;
        if part != "degrees" && is_side(&word, sides) {
            return side(&word, what, total, degrees_max, sides);
        }
        let scale = 10u64.pow(digits);
        let value = decimal(word.text, digits).filter(|value| *value < (max + 1) * scale);
        let value = value.ok_or_else(|| {
            let [positive, negative] = sides.map(char::from);
            let or = if part == "degrees" {
                String::new()
            } else {
                format!("`{positive}`, `{negative}` or ")
            };
            bad(&word, what, format_args!("expected {or}{part} from 0 to {max}"))
        })?;
        total += value * (worth / scale);
    }
    side(&fields.plain(what)?, what, total, degrees_max, sides)
}

fn is_side(word: &Word<'_>, sides: [u8; 2]) -> bool {
    matches!(word.text, [letter] if sides.contains(&letter.to_ascii_uppercase()))
}

fn side(
    word: &Word<'_>,
    what: &str,
    total: u64,
    degrees_max: u64,
    sides: [u8; 2],
) -> Result<u32, Mistake> {
    let [positive, _] = sides;
    if !is_side(word, sides) || total > degrees_max * 3_600_000 {
        let [positive, negative] = sides.map(char::from);
        let expected =
            format!("expected `{positive}` or `{negative}` after at most {degrees_max} degrees");
        return Err(bad(word, what, expected));
    }
    // At most 180 degrees: less than 2^30 thousandths of a second.
    let total = total as u32;
    Ok(if word.text.eq_ignore_ascii_case(&[positive]) { MIDDLE + total } else { MIDDLE - total })
}

fn altitude(word: &Word<'_>) -> Result<u32, Mistake> {
    let text = metres(word.text);
    let above = match text.strip_prefix(b"-") {
        Some(below) => decimal(below, 2).and_then(|below| SEA_LEVEL.checked_sub(below)),
        None => decimal(text, 2).and_then(|above| SEA_LEVEL.checked_add(above)),
    };
    above.and_then(|above| u32::try_from(above).ok()).ok_or_else(|| {
        bad(word, "altitude", "expected metres from -100000.00 to 42849672.95, such as `-24.5m`")
    })
}

/// Centimetres as one digit and a power of ten.
fn precision(word: &Word<'_>, what: &str) -> Result<u8, Mistake> {
    let value = decimal(metres(word.text), 2).filter(|value| *value <= 9_000_000_000);
    let mut mantissa =
        value.ok_or_else(|| bad(word, what, "expected metres from 0 to 90000000.00"))?;
    let mut exponent = 0;
    while mantissa > 9 {
        mantissa /= 10;
        exponent += 1;
    }
    Ok((mantissa as u8) << 4 | exponent)
}

/// The text without the unit `m`.
fn metres(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"m").or_else(|| text.strip_suffix(b"M")).unwrap_or(text)
}

/// A decimal number with up to `digits` digits behind the point, times 10^`digits`.
fn decimal(text: &[u8], digits: u32) -> Option<u64> {
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let whole = parts.next()?;
    let fraction = parts.next().unwrap_or_default();
    let limit = u64::from(u32::MAX);
    let scale = 10u64.pow(digits.checked_sub(fraction.len() as u32)?);
    let fraction = if fraction.is_empty() { 0 } else { number(fraction, limit)? * scale };
    Some(number(whole, limit)? * 10u64.pow(digits) + fraction)
}
