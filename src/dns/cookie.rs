//! DNS cookies (RFC 7873), made and checked in the interoperable way (RFC 9018).

use std::net::IpAddr;

use siphasher::sip::SipHasher24;

use crate::model::CookieSecret;

/// Octets of the client's part (RFC 7873 section 4).
const CLIENT: usize = 8;
/// Octets of the server's part (RFC 9018 section 4).
const SERVER: usize = 16;
/// Octets of both.
pub(super) const LENGTH: usize = CLIENT + SERVER;
/// Octets of the longest server's part of anyone (RFC 7873 section 4.2).
const SERVER_MAX: usize = 32;
/// The version of RFC 9018 section 4.1, and three reserved octets.
const HEAD: [u8; 4] = [1, 0, 0, 0];
/// A cookie is good for this many seconds (RFC 9018 section 4.3).
const AGE_MAX: i32 = 3600;
/// Clocks of a fleet differ by this many seconds at most (RFC 9018 section 4.3).
const AHEAD_MAX: i32 = 300;
/// An older cookie is answered with a new one (RFC 9018 section 4.3).
const AGE_RENEWED: i32 = 1800;

/// The cookie of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cookie {
    client: [u8; CLIENT],
    server: Server,
}

/// The server's part of a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    /// The client has none yet.
    Absent,
    /// One that cannot be of this making.
    Foreign,
    /// One of our length.
    Given([u8; SERVER]),
}

/// What the cookie of a query is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// There is none, or cookies are off.
    #[default]
    Absent,
    /// The client knows cookies and has none of ours yet.
    New,
    /// The server's part is not ours, of another address, too old or of the future.
    Invalid,
    /// The client is where it says it is.
    Valid,
}

impl Standing {
    /// Those of queries with a cookie, in the order of their numbers.
    pub const KNOWN: [Self; 3] = [Self::New, Self::Invalid, Self::Valid];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::New => "new",
            Self::Invalid => "invalid",
            Self::Valid => "valid",
        }
    }
}

impl Cookie {
    /// Reads the option's data; `None` when it is malformed (RFC 7873 section 5.2.2).
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let (client, server) = data.split_first_chunk()?;
        let server = match (server.len(), server.first_chunk()) {
            (0, _) => Server::Absent,
            (SERVER, Some(server)) => Server::Given(*server),
            (CLIENT..=SERVER_MAX, _) => Server::Foreign,
            _ => return None,
        };
        Some(Self { client: *client, server })
    }

    /// What it is worth at the time `now`, in seconds since 1970, and the cookie to answer with;
    /// `None` without any secret.
    pub(super) fn check(
        &self,
        secrets: &[CookieSecret],
        client: IpAddr,
        now: u32,
    ) -> Option<(Standing, [u8; LENGTH])> {
        let current = secrets.first()?;
        let standing = match &self.server {
            Server::Absent => Standing::New,
            Server::Foreign => Standing::Invalid,
            Server::Given(given) => {
                let ([head @ .., _, _, _, _, _, _, _, _], hash) = (given, given.last_chunk::<8>());
                let &[version, _, _, _, t0, t1, t2, t3] = head;
                // RFC 9018 section 4.3: serial number arithmetic.
                let age = now.wrapping_sub(u32::from_be_bytes([t0, t1, t2, t3])).cast_signed();
                if version != HEAD[0] || !(-AHEAD_MAX..=AGE_MAX).contains(&age) {
                    Standing::Invalid
                } else {
                    let ours =
                        |secret: &&CookieSecret| Some(&self.hash(secret, *head, client)) == hash;
                    let maker = secrets.iter().find(ours);
                    let renewed = age > AGE_RENEWED || maker != Some(current);
                    if maker.is_some() && !renewed && head.starts_with(&HEAD) {
                        return Some((Standing::Valid, self.join(given)));
                    }
                    if maker.is_some() { Standing::Valid } else { Standing::Invalid }
                }
            }
        };
        let mut server = [0; SERVER];
        let [t0, t1, t2, t3] = now.to_be_bytes();
        let [version, r0, r1, r2] = HEAD;
        let head = [version, r0, r1, r2, t0, t1, t2, t3];
        server.as_chunks_mut::<8>().0.copy_from_slice(&[head, self.hash(current, head, client)]);
        Some((standing, self.join(&server)))
    }

    /// The hash of RFC 9018 section 4.4.
    fn hash(&self, secret: &CookieSecret, head: [u8; 8], client: IpAddr) -> [u8; 8] {
        let hasher = SipHasher24::new_with_key(&secret.0);
        let start = [self.client, head];
        let hash = match client {
            IpAddr::V4(v4) => {
                let mut input = [0; 20];
                let (first, last) = input.split_at_mut(16);
                first.copy_from_slice(start.as_flattened());
                last.copy_from_slice(&v4.octets());
                hasher.hash(&input)
            }
            IpAddr::V6(v6) => {
                let mut input = [0; 32];
                let (first, last) = input.split_at_mut(16);
                first.copy_from_slice(start.as_flattened());
                last.copy_from_slice(&v6.octets());
                hasher.hash(&input)
            }
        };
        hash.to_le_bytes()
    }

    fn join(&self, server: &[u8; SERVER]) -> [u8; LENGTH] {
        let mut joined = [0; LENGTH];
        let (first, last) = joined.split_at_mut(CLIENT);
        first.copy_from_slice(&self.client);
        last.copy_from_slice(server);
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
    const OLD: &str = "dd3bdf9344b678b185a6f5cb60fca715";
    const NEW: &str = "445536bcd2513298075a5d379663c962";
    const V6: &str = "2001:db8:220:1:59de:d0f4:8769:82b8";

    fn octets(hex: &str) -> Vec<u8> {
        data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap()
    }

    fn check(secrets: &[&str], cookie: &str, client: &str, now: u32) -> (Standing, String) {
        let secrets: Vec<CookieSecret> = secrets.iter().map(|s| s.parse().unwrap()).collect();
        let cookie = Cookie::read(&octets(cookie)).unwrap();
        let (standing, reply) = cookie.check(&secrets, client.parse().unwrap(), now).unwrap();
        (standing, data_encoding::HEXLOWER.encode(&reply))
    }

    /// RFC 9018 appendix A.
    #[test]
    fn the_examples_of_rfc_9018_come_out_octet_for_octet() {
        use Standing::{Invalid, New, Valid};
        let first = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
        let reserved = "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5";
        let v6 = "22681ab97d52c298010000005cf7c57926556bd0934c72f8";
        let v6_new = "22681ab97d52c298010000005cf7c609a6bb79d16625507a";
        for (what, secrets, cookie, client, now, standing, reply) in [
            ("A.1", &[SECRET][..], &first[..16], "198.51.100.100", 1_559_731_985, New, first),
            (
                "A.2",
                &[SECRET],
                first,
                "198.51.100.100",
                1_559_734_385,
                Valid,
                "2464c4abcf10c957010000005cf7a871d4a564a1442aca77",
            ),
            (
                "A.3, where the cookie is nearly two hours old",
                &[SECRET],
                reserved,
                "203.0.113.203",
                1_559_734_700,
                Invalid,
                "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e",
            ),
            ("A.4, after a roll-over", &[NEW, OLD], v6, V6, 1_559_741_961, Valid, v6_new),
            ("A.4, when the old secret is gone", &[NEW], v6, V6, 1_559_741_961, Invalid, v6_new),
        ] {
            let expected = (standing, reply.to_owned());
            assert_eq!(check(secrets, cookie, client, now), expected, "{what}");
        }
        // A.3 while it was young: what is reserved is hashed, and answered with zeros.
        let (standing, reply) = check(&[SECRET], reserved, "203.0.113.203", 1_559_727_985);
        assert_eq!((standing, &reply[..24]), (Valid, "fc93fc62807ddb8601000000"));
    }

    #[test]
    fn a_cookie_is_good_for_an_hour_and_renewed_after_half_of_it() {
        let made = 1_559_731_985_u32;
        let (client, cookie) =
            ("198.51.100.100", "2464c4abcf10c957010000005cf79f111f8130c3eee29480");
        for (offset, standing, same) in [
            (0, Standing::Valid, true),
            (1800, Standing::Valid, true),
            (1801, Standing::Valid, false),
            (3600, Standing::Valid, false),
            (3601, Standing::Invalid, false),
            (-300, Standing::Valid, true),
            (-301, Standing::Invalid, false),
            (i32::MIN, Standing::Invalid, false),
        ] {
            let now = made.wrapping_add_signed(offset);
            let (found, reply) = check(&[SECRET], cookie, client, now);
            assert_eq!((found, reply == cookie), (standing, same), "{offset}");
            assert_eq!(check(&[SECRET], &reply, client, now).0, Standing::Valid, "{offset}");
        }
    }

    #[test]
    fn what_is_not_ours_is_invalid() {
        let good = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
        let now = 1_559_731_985;
        let standing = |cookie: &str, client| check(&[SECRET], cookie, client, now).0;
        assert_eq!(standing(good, "198.51.100.100"), Standing::Valid);
        assert_eq!(standing(good, "198.51.100.101"), Standing::Invalid, "another address");
        assert_eq!(standing(good, V6), Standing::Invalid, "another family");
        for at in 0..good.len() / 2 {
            let mut changed = octets(good);
            changed[at] ^= 0x40;
            let changed = data_encoding::HEXLOWER.encode(&changed);
            assert_eq!(standing(&changed, "198.51.100.100"), Standing::Invalid, "octet {at}");
        }
        let foreign = format!("{good}00");
        assert_eq!(standing(&foreign, "198.51.100.100"), Standing::Invalid, "another length");
    }

    /// RFC 7873 section 5.2.2.
    #[test]
    fn only_some_lengths_are_well_formed() {
        for length in 0..=48 {
            let sound = length == 8 || (16..=40).contains(&length);
            assert_eq!(Cookie::read(&vec![7; length]).is_some(), sound, "{length}");
        }
        let cookie = Cookie::read(&[7; 8]).unwrap();
        assert_eq!(cookie.check(&[], [192, 0, 2, 1].into(), 0), None, "without a secret");
    }
}
