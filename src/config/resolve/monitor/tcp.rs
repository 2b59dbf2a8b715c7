//! The keys of kind `tcp`.

use super::regex;
use crate::config::defaults as d;
use crate::config::sheet::Section;
use crate::config::spec::{MonitorTable, TextOrList};
use crate::config::value::{Fault, whole_in};
use crate::model::TcpCheck;

/// Most octets that are sent: a greeting fits, a load does not.
const SEND_MAX: usize = 4_096;

/// Resolves the keys of the kind.
pub(super) fn resolve(section: &mut Section<'_>, table: &MonitorTable) -> Option<TcpCheck> {
    let port = section.required("port", table.port.as_ref(), whole_in("port", &d::PORT_RANGE));
    let send = section.optional("send", table.send.as_ref(), |text| unescape(text));
    let expect = section.optional("expect", table.expect.as_ref(), |written| match written {
        TextOrList::Text(text) => regex("expect", text),
        TextOrList::List(_) => {
            Err(Fault::new("`expect` of kind `tcp` is a regular expression")
                .hint("such as \"^220 \""))
        }
    });
    Some(TcpCheck { port: port?, send: send.unwrap_or_default(), expect })
}

/// The octets meant by a text in which `\r`, `\n`, `\t`, `\0`, `\\` and `\xHH` may stand.
fn unescape(text: &str) -> Result<Vec<u8>, Fault> {
    let fault = |escape: &str| {
        let fault = Fault::new(format!("`{escape}` is no escape of `send`"));
        fault.hint(r"known are `\r`, `\n`, `\t`, `\0`, `\\` and `\xHH`")
    };
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        octets.extend_from_slice(plain.as_bytes());
        let mut letters = escaped.chars();
        let octet = match letters.next() {
            Some('r') => b'\r',
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('x') => {
                let digits = letters.as_str().get(..2);
                let plain = digits.filter(|digits| !digits.starts_with('+'));
                let octet = plain.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                letters = letters.as_str().get(2..).unwrap_or_default().chars();
                octet.ok_or_else(|| fault(&format!("\\x{}", digits.unwrap_or_default())))?
            }
            Some(other) => return Err(fault(&format!("\\{other}"))),
            None => return Err(fault("\\")),
        };
        octets.push(octet);
        rest = letters.as_str();
    }
    octets.extend_from_slice(rest.as_bytes());
    if octets.len() > SEND_MAX {
        let length = octets.len();
        return Err(Fault::new(format!("`send` has {length} octets, expected at most {SEND_MAX}")));
    }
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_octets() {
        for (text, octets) in [
            ("", Some(&b""[..])),
            ("PING\r\n", Some(b"PING\r\n")),
            (r"PING\r\n", Some(b"PING\r\n")),
            (r"\t\0\\\x00\xfFé", Some(b"\t\0\\\0\xff\xc3\xa9")),
            (r"a\q", None),
            (r"a\", None),
            (r"\x1", None),
            (r"\x+1", None),
            (r"\xé", None),
        ] {
            assert_eq!(unescape(text).ok().as_deref(), octets, "{text}");
        }
        assert!(unescape(&"a".repeat(SEND_MAX)).is_ok());
        assert!(unescape(&"a".repeat(SEND_MAX + 1)).is_err());
    }
}
