//! Response codes (RFC 1035 section 4.1.1, RFC 6672 section 2.2, RFC 6891 section 9).

/// All well.
pub const NOERROR: u16 = 0;
/// The query is malformed.
pub const FORMERR: u16 = 1;
/// The server cannot answer now.
pub const SERVFAIL: u16 = 2;
/// There is no such name.
pub const NXDOMAIN: u16 = 3;
/// The opcode is not implemented.
pub const NOTIMP: u16 = 4;
/// The server will not answer.
pub const REFUSED: u16 = 5;
/// A DNAME leads to a name that is too long.
pub const YXDOMAIN: u16 = 6;
/// The server has no such zone, or the signature of the query does not hold.
pub const NOTAUTH: u16 = 9;
/// The EDNS version is not implemented.
pub const BADVERS: u16 = 16;
/// The client is to come again with the cookie of the reply (RFC 7873 section 8).
pub const BADCOOKIE: u16 = 23;

/// The mnemonic of a response code (RFC 6895 section 2.3), or its number.
pub fn mnemonic(rcode: u16) -> String {
    match rcode {
        0 => "NOERROR".to_owned(),
        1 => "FORMERR".to_owned(),
        2 => "SERVFAIL".to_owned(),
        3 => "NXDOMAIN".to_owned(),
        4 => "NOTIMP".to_owned(),
        5 => "REFUSED".to_owned(),
        6 => "YXDOMAIN".to_owned(),
        9 => "NOTAUTH".to_owned(),
        16 => "BADVERS".to_owned(),
        23 => "BADCOOKIE".to_owned(),
        other => other.to_string(),
    }
}
