//! Sticky sessions: a cookie that says which endpoint a client had.
//!
//! The cookie is signed, so that nobody can choose an endpoint or learn of one. When its endpoint
//! is gone the client moves to another, and gets a new cookie.

use data_encoding::BASE64URL_NOPAD;
use http::HeaderValue;
use http::header::{COOKIE, HeaderMap};
use ring::hmac::{self, HMAC_SHA256, Key};

/// Octets of an endpoint's id and of the signature: half of the hash is more than can be guessed.
const ID: usize = 8;
const SIGNATURE: usize = 16;

/// Makes and reads the cookies of a route.
#[derive(Debug)]
pub struct Sticky {
    name: String,
    /// The first one signs, all are believed.
    keys: Vec<Key>,
}

impl Sticky {
    /// Cookies of this name. The secrets are ones that all proxies of the region have, of which
    /// the first one signs; the name is signed too, so that the cookies of two routes are not
    /// mixed up.
    pub fn new(name: &str, secrets: &[[u8; 32]]) -> Self {
        let own = |secret: &[u8; 32]| {
            let own = hmac::sign(&Key::new(HMAC_SHA256, secret), name.as_bytes());
            Key::new(HMAC_SHA256, own.as_ref())
        };
        Self { name: name.to_owned(), keys: secrets.iter().map(own).collect() }
    }

    /// The endpoint that a request's cookie names; `None`: there is no cookie, or none of ours.
    pub fn read(&self, headers: &HeaderMap) -> Option<u64> {
        let values = headers.get_all(COOKIE).iter();
        let mut cookies = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        cookies.find_map(
            |(name, value)| {
                if name == self.name { self.endpoint(value) } else { None }
            },
        )
    }

    /// The value of Set-Cookie that binds a client to an endpoint for its session; `secure`:
    /// whether the client's connection is encrypted.
    pub fn bind(&self, endpoint: u64, secure: bool) -> Option<HeaderValue> {
        let id = endpoint.to_be_bytes();
        let signature = hmac::sign(self.keys.first()?, &id);
        let signature = signature.as_ref().get(..SIGNATURE)?;
        let value = BASE64URL_NOPAD.encode(&[&id, signature].concat());
        let secure = if secure { "; Secure" } else { "" };
        let text = format!("{}={value}; Path=/; HttpOnly; SameSite=Lax{secure}", self.name);
        HeaderValue::try_from(text).ok()
    }

    fn endpoint(&self, value: &str) -> Option<u64> {
        // Longer ones are not decoded at all.
        if value.len() != BASE64URL_NOPAD.encode_len(ID + SIGNATURE) {
            return None;
        }
        let octets = BASE64URL_NOPAD.decode(value.as_bytes()).ok()?;
        let (id, given) = octets.split_first_chunk::<ID>()?;
        let is_ours = |key: &Key| {
            let signed = hmac::sign(key, id);
            let ours = signed.as_ref().get(..SIGNATURE).unwrap_or_default();
            // The time that it takes must not tell how much of a guess is right.
            let differs =
                ours.iter().zip(given).fold(0, |differs, (one, other)| differs | (one ^ other));
            differs == 0 && given.len() == SIGNATURE && ours.len() == SIGNATURE
        };
        self.keys.iter().any(is_ours).then(|| u64::from_be_bytes(*id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 32] = [7; 32];

    fn request(cookies: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, cookies.parse().unwrap());
        headers
    }

    /// The pair of name and value that a client sends back.
    fn pair(sticky: &Sticky, endpoint: u64) -> String {
        let set = sticky.bind(endpoint, true).unwrap();
        set.to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    #[test]
    fn a_cookie_brings_a_client_back() {
        let sticky = Sticky::new("mrd", &[SECRET]);
        let pair = pair(&sticky, 0xdead_beef);
        for cookies in [
            pair.clone(),
            format!("a=b; {pair}; c=d"),
            format!("mrd=nonsense; {pair}"),
            format!("mrd=; {pair}"),
        ] {
            assert_eq!(sticky.read(&request(&cookies)), Some(0xdead_beef), "{cookies}");
        }
        assert_eq!(sticky.read(&HeaderMap::new()), None);
        let plain = sticky.bind(1, false).unwrap();
        assert!(plain.to_str().unwrap().ends_with("; Path=/; HttpOnly; SameSite=Lax"));
    }

    #[test]
    fn nobody_else_can_make_one() {
        let sticky = Sticky::new("mrd", &[SECRET]);
        let pair = pair(&sticky, 5);
        let (_, value) = pair.split_once('=').unwrap();
        for (at, _) in value.char_indices() {
            let mut forged: Vec<char> = value.chars().collect();
            forged[at] = if forged[at] == 'A' { 'B' } else { 'A' };
            let forged: String = forged.into_iter().collect();
            assert_eq!(sticky.read(&request(&format!("mrd={forged}"))), None, "{forged}");
        }
        for (case, other) in [
            ("another secret", Sticky::new("mrd", &[[8; 32]])),
            ("another name", Sticky::new("mrd2", &[SECRET])),
        ] {
            let cookie = format!("{}={value}", other.name);
            assert_eq!(other.read(&request(&cookie)), None, "{case}");
        }
    }

    #[test]
    fn secrets_roll_over() {
        let old = Sticky::new("mrd", &[SECRET]);
        let both = Sticky::new("mrd", &[[9; 32], SECRET]);
        let new = Sticky::new("mrd", &[[9; 32]]);
        assert_eq!(both.read(&request(&pair(&old, 2))), Some(2), "the old one is believed");
        assert_eq!(new.read(&request(&pair(&both, 2))), Some(2), "the new one signs");
        assert_eq!(new.read(&request(&pair(&old, 2))), None);
    }
}
