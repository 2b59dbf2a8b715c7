//! RDATA: from the text of a master file to wire form, and what the types are called.

mod digest;
mod fields;
mod forms;
mod location;
mod params;
mod time;
mod wire;

pub use forms::{TypeName, is_meta, type_number};
pub use wire::canonical;

pub(super) use fields::{Fields, name, number};
pub(super) use forms::{generic, type_names};

use super::mistake::{Mistake, quote};
use super::token::{Form, Lexer};
use crate::name::Name;

/// Longest RDATA, in octets (RFC 1035 section 3.2.1).
const RDATA_MAX: usize = 65_535;

/// Reads the RDATA of one record from text; names without a final dot are below `origin`.
///
/// The text may go over several lines in parentheses; the mistake's range is in octets of `text`.
pub fn from_text(rtype: u16, text: &str, origin: &Name) -> Result<Vec<u8>, Mistake> {
    let mut words = Vec::new();
    let mut lexer = Lexer::new(text.as_bytes());
    lexer.entry(&mut words)?;
    let mut rdata = Vec::new();
    encode(rtype, &mut Fields::new(&words, 0..0, origin.as_wire()), &mut rdata)?;
    match lexer.entry(&mut words)? {
        Some(_) => Err(Mistake::new(text.len()..text.len(), "the text goes on after the record")),
        None => Ok(rdata),
    }
}

/// Appends the wire form of the RDATA in `fields` to `out`.
pub(super) fn encode(
    rtype: u16,
    fields: &mut Fields<'_, '_>,
    out: &mut Vec<u8>,
) -> Result<(), Mistake> {
    let start = out.len();
    let form = forms::find(rtype);
    match (fields.peek(), form) {
        (Some(first), _) if first.form == Form::Plain && first.text == b"\\#" => {
            generic_rdata(rtype, fields, out)?;
        }
        (_, Some(form)) => {
            for (field, what) in form.fields {
                fields.encode(*field, what, out)?;
            }
        }
        (first, None) => {
            let range = first.map_or(fields.end(), |first| first.range());
            return Err(Mistake::new(
                range,
                format!("the RDATA of type `{}` has no text form", TypeName(rtype)),
            )
            .hint("write it as `\\# LENGTH HEX` (RFC 3597)"));
        }
    }
    if let Some(extra) = fields.peek() {
        let what =
            format!("{} is left over after the RDATA of `{}`", quote(extra.text), TypeName(rtype));
        return Err(Mistake::new(extra.range(), what));
    }
    digest::check(rtype, out.get(start..).unwrap_or_default())
        .map_err(|what| Mistake::new(fields.last(), what))?;
    let length = out.len() - start;
    if length > RDATA_MAX {
        let what = format!("the RDATA has {length} octets: at most {RDATA_MAX}");
        return Err(Mistake::new(fields.whole(), what));
    }
    Ok(())
}

/// `\# LENGTH HEX…` (RFC 3597 section 5), allowed for known types too, whose form it must have.
fn generic_rdata(
    rtype: u16,
    fields: &mut Fields<'_, '_>,
    out: &mut Vec<u8>,
) -> Result<(), Mistake> {
    let start = out.len();
    let whole = fields.whole();
    fields.take("generic form")?;
    let length = fields.plain("length")?;
    let stated = number(length.text, RDATA_MAX as u64).ok_or_else(|| {
        let what =
            format!("{} is no length: expected a number up to {RDATA_MAX}", quote(length.text));
        Mistake::new(length.range(), what)
    })?;
    fields.hex("RDATA", out)?;
    let found = out.len() - start;
    if found as u64 != stated {
        let what = format!("the length is {stated}, but there are {found} octets");
        return Err(Mistake::new(length.range(), what));
    }
    wire::check(rtype, out.get(start..).unwrap_or_default()).map_err(|field| {
        let what =
            format!("the octets are no RDATA of `{}`: wrong at its {field}", TypeName(rtype));
        Mistake::new(whole, what)
    })
}

#[cfg(test)]
mod tests;
