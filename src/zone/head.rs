//! TTL, class and type of a record: what stands between owner and RDATA.

use super::mistake::{Mistake, quote};
use super::rdata::{self, TypeName};
use super::token::{Form, Word};
use super::ttl;
use crate::diagnostic;

/// Names that look like types and are none in the DNS.
const ALIASES: [&str; 4] = ["ALIAS", "ANAME", "FLATTEN", "CNAME-FLATTENED"];

/// Longest word for which the nearest known one is looked up; the cost grows with the length.
pub(super) const SUGGEST_MAX: usize = 32;

/// What the words before the RDATA say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The TTL, if stated.
    pub ttl: Option<u32>,
    pub rtype: u16,
    /// Index of the first word of the RDATA.
    pub next: usize,
}

/// Reads `[TTL] [CLASS] TYPE` or `[CLASS] [TTL] TYPE` from word `first` on.
pub(super) fn parse(words: &[Word<'_>], first: usize) -> Result<Head, Mistake> {
    let (mut stated, mut class_seen) = (None, false);
    for (index, word) in words.iter().enumerate().skip(first) {
        if word.form != Form::Plain {
            return Err(Mistake::new(word.range(), "a string stands where the type is expected"));
        }
        if word.text.first().is_some_and(u8::is_ascii_digit) && stated.is_none() {
            stated = Some(ttl(word).map_err(|mistake| owner_forgotten(mistake, words, first))?);
        } else if let Some(number) = rdata::type_number(word.text) {
            if rdata::is_meta(number) {
                let what = format!("type `{}` cannot stand in a zone", TypeName(number));
                return Err(Mistake::new(word.range(), what));
            }
            return Ok(Head { ttl: stated, rtype: number, next: index + 1 });
        } else if let Some(class) = class(word.text).filter(|_| !class_seen) {
            if class != Class::In {
                return Err(Mistake::new(
                    word.range(),
                    format!("class {} is not served", quote(word.text)),
                )
                .hint("only `IN`"));
            }
            class_seen = true;
        } else {
            return Err(owner_forgotten(unknown(word, stated, class_seen), words, first));
        }
    }
    let end = words.last().map_or(0, |word| word.range().end);
    let mistake = Mistake::new(end..end, "the type of the record is missing");
    Err(owner_forgotten(mistake, words, first))
}

/// A TTL as a record or `$TTL` states it.
pub(super) fn ttl(word: &Word<'_>) -> Result<u32, Mistake> {
    ttl::parse(word.text).map_err(|error| {
        Mistake::new(word.range(), format!("{} is no TTL: {}", quote(word.text), error.message()))
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    In,
    Other,
}

/// The class a word names, if it names one.
fn class(text: &[u8]) -> Option<Class> {
    if text.eq_ignore_ascii_case(b"IN") {
        return Some(Class::In);
    }
    let others: [&[u8]; 5] = [b"CH", b"HS", b"CS", b"ANY", b"NONE"];
    if others.iter().any(|other| text.eq_ignore_ascii_case(other)) {
        return Some(Class::Other);
    }
    rdata::generic(text, b"CLASS").map(|number| if number == 1 { Class::In } else { Class::Other })
}

fn unknown(word: &Word<'_>, stated: Option<u32>, class_seen: bool) -> Mistake {
    let shown = quote(word.text);
    if class_seen && class(word.text).is_some() {
        return Mistake::new(word.range(), format!("{shown} is a second class"));
    }
    if stated.is_some() && ttl::parse(word.text).is_ok() {
        return Mistake::new(word.range(), format!("{shown} stands where the type is expected"));
    }
    let mistake = Mistake::new(word.range(), format!("unknown type {shown}"));
    let upper = String::from_utf8_lossy(word.text).to_uppercase();
    if ALIASES.contains(&upper.as_str()) {
        return mistake.hint("a service of the zone follows a host name at any owner");
    }
    if upper.starts_with('$') {
        return mistake.hint("a directive starts in the first column");
    }
    let known = Some(&upper).filter(|upper| upper.len() <= SUGGEST_MAX);
    match known.and_then(|upper| diagnostic::nearest(upper, rdata::type_names())) {
        Some(known) => mistake.hint(format!("did you mean `{known}`?")),
        None => mistake.hint("types without a name are written `TYPE123`"),
    }
}

/// Explains a mistake by an owner name that is none, `A 192.0.2.1` in the first column, or by one
/// that is not in the first column.
fn owner_forgotten(mistake: Mistake, words: &[Word<'_>], first: usize) -> Mistake {
    let mnemonic = |word: &Word<'_>| rdata::type_number(word.text).is_some();
    match words {
        // Types are mostly in upper case, hosts are not: `a` may well be one.
        [owner, ..]
            if first == 1 && mnemonic(owner) && !owner.text.iter().any(u8::is_ascii_lowercase) =>
        {
            mistake.hint(format!(
                "{} in the first column is the owner name; \
                 indent the line to take over the owner before",
                quote(owner.text)
            ))
        }
        [owner, second, ..]
            if first == 0
                && mistake.range == owner.range()
                && !owner.text.iter().all(u8::is_ascii_digit)
                && mnemonic(second) =>
        {
            mistake.hint("an owner name starts in the first column")
        }
        _ => mistake,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::token::Lexer;

    #[test]
    fn reads_ttl_class_and_type_in_any_order() {
        for (text, expected) in [
            ("A", Ok((None, 1, 1))),
            ("IN A", Ok((None, 1, 2))),
            ("300 A", Ok((Some(300), 1, 2))),
            ("300 IN A", Ok((Some(300), 1, 3))),
            ("in 1h mx", Ok((Some(3600), 15, 3))),
            ("CLASS1 TYPE65280 x", Ok((None, 65280, 2))),
            ("CH TXT", Err("class `CH` is not served (only `IN`)")),
            ("CLASS3 TXT", Err("class `CLASS3` is not served (only `IN`)")),
            ("NONE A", Err("class `NONE` is not served (only `IN`)")),
            ("IN IN A", Err("`IN` is a second class")),
            ("300 IN 400 A", Err("`400` stands where the type is expected")),
            (
                "1x",
                Err("`1x` is no TTL: expected seconds, or numbers with units as in `1h30m` \
                     (w, d, h, m, s)"),
            ),
            ("2147483648 A", Err("`2147483648` is no TTL: at most 2147483647 seconds")),
            ("IN", Err("the type of the record is missing")),
            ("\"A\"", Err("a string stands where the type is expected")),
            ("IN AAA", Err("unknown type `AAA` (did you mean `AAAA`?)")),
            ("CNAM", Err("unknown type `CNAM` (did you mean `CNAME`?)")),
            (
                "ALIAS",
                Err("unknown type `ALIAS` (a service of the zone follows a host name at any \
                           owner)"),
            ),
            (
                "www A 192.0.2.1",
                Err("unknown type `www` (an owner name starts in the first column)"),
            ),
            ("$TTL 1", Err("unknown type `$TTL` (a directive starts in the first column)")),
            (
                "frobnicate",
                Err("unknown type `frobnicate` (types without a name are written \
                                `TYPE123`)"),
            ),
            ("AXFR", Err("type `AXFR` cannot stand in a zone")),
            ("TYPE0", Err("type `TYPE0` cannot stand in a zone")),
            ("ANY", Err("type `ANY` cannot stand in a zone")),
        ] {
            let mut words = Vec::new();
            Lexer::new(text.as_bytes()).entry(&mut words).unwrap();
            let read = parse(&words, 0).map(|head| (head.ttl, head.rtype, head.next));
            let read = read.map_err(|mistake| mistake.to_string());
            assert_eq!(read, expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn explains_a_forgotten_owner() {
        let mut words = Vec::new();
        Lexer::new(b"A 192.0.2.1").entry(&mut words).unwrap();
        let mistake = parse(&words, 1).unwrap_err();
        assert!(mistake.hint.is_some_and(|hint| hint.starts_with("`A` in the first column")));
    }
}
