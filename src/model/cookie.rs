//! DNS cookies: who gets them, and the secrets that they are made with.

use std::fmt;
use std::str::FromStr;

/// How clients with DNS cookies are treated (RFC 7873).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cookies {
    /// Whether they are made, and asked for.
    pub policy: CookiePolicy,
    /// The first makes cookies, all are accepted. None: cookies are as good as off.
    pub secrets: Vec<CookieSecret>,
}

impl Cookies {
    /// Whether cookies are made at all.
    pub fn is_on(&self) -> bool {
        self.policy != CookiePolicy::Off && !self.secrets.is_empty()
    }
}

/// What becomes of clients with DNS cookies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CookiePolicy {
    /// Cookies are made, and whoever brings one back is not limited in rate.
    #[default]
    On,
    /// The option is ignored as if unknown.
    Off,
    /// In addition, a client that knows cookies and brings none of ours over UDP is asked to come
    /// again with one (BADCOOKIE, RFC 7873 section 5.2.3).
    Required,
}

/// A secret of 128 bits (RFC 9018 section 5), equal on all nodes that share an address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CookieSecret(pub [u8; 16]);

impl fmt::Debug for CookieSecret {
    /// Never the secret itself: debug output ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieSecret(…)")
    }
}

/// A text that is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotASecret;

impl FromStr for CookieSecret {
    type Err = NotASecret;

    /// Reads 32 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, NotASecret> {
        let mut octets = [0; 16];
        let decoded = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes());
        let decoded = decoded.map_err(|_| NotASecret)?;
        if decoded.len() != octets.len() {
            return Err(NotASecret);
        }
        octets.copy_from_slice(&decoded);
        Ok(Self(octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_32_hexadecimal_digits_and_never_shown() {
        let read = |text: &str| text.parse::<CookieSecret>();
        let secret = read("00112233445566778899aabbccddEEFF").unwrap();
        assert_eq!(secret.0[..3], [0, 0x11, 0x22]);
        assert_eq!(secret.0[15], 0xff);
        for text in
            ["", "00", "00112233445566778899aabbccddeef", "zz112233445566778899aabbccddeeff"]
        {
            assert_eq!(read(text), Err(NotASecret), "{text}");
        }
        assert!(!format!("{secret:?}").contains("11"));
    }
}
