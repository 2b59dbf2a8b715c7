//! Digests and fingerprints whose length is settled by the field that names their kind.

use super::forms::TypeName;

const DS: u16 = 43;
const SSHFP: u16 = 44;
const TLSA: u16 = 52;
const SMIMEA: u16 = 53;
const CDS: u16 = 59;
const ZONEMD: u16 = 63;

/// Octets of the hashes.
const SHA1: usize = 20;
const SHA256: usize = 32;
const SHA384: usize = 48;
const SHA512: usize = 64;

/// Checks the length of the digest that ends well-formed RDATA; the error says what is wrong. One
/// of another length matches nothing, ever.
pub(super) fn check(rtype: u16, rdata: &[u8]) -> Result<(), String> {
    // Where the kind stands, and where the digest starts.
    let (kind_at, start) = match rtype {
        DS | CDS => (3, 4),
        SSHFP => (1, 2),
        TLSA | SMIMEA => (2, 3),
        ZONEMD => (5, 6),
        _ => return Ok(()),
    };
    let Some(kind) = rdata.get(kind_at).copied() else { return Ok(()) };
    let expected = match (rtype, kind) {
        (DS | CDS | SSHFP, 1) => SHA1, // RFC 3658 section 2.4, RFC 4255 section 3.1.2
        (DS | CDS | SSHFP, 2) | (TLSA | SMIMEA, 1) => SHA256, // RFC 4509, 6594, 6698
        (DS | CDS, 4) | (ZONEMD, 1) => SHA384, // RFC 6605 section 2, RFC 8976 section 2.2.3
        (TLSA | SMIMEA | ZONEMD, 2) => SHA512, // RFC 6698 section 2.1.3, RFC 8976
        _ => return Ok(()),
    };
    let found = rdata.len().saturating_sub(start);
    if found == expected {
        return Ok(());
    }
    let rtype = TypeName(rtype);
    Err(format!("the digest has {found} octets, `{rtype}` of kind {kind} has {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_have_the_length_of_their_kind() {
        for (case, rtype, head, length, right) in [
            ("SHA-1 of a key", DS, &[0, 1, 8, 1][..], 20, true),
            ("SHA-256 of a key", DS, &[0, 1, 8, 2], 32, true),
            ("SHA-256 cut short", DS, &[0, 1, 8, 2], 31, false),
            ("SHA-384 of a key", CDS, &[0, 1, 8, 4], 48, true),
            ("the request to delete", CDS, &[0, 0, 0, 0], 1, true),
            ("a kind nobody knows", DS, &[0, 1, 8, 99], 3, true),
            ("a fingerprint", SSHFP, &[4, 2], 32, true),
            ("a fingerprint of the other kind", SSHFP, &[4, 1], 32, false),
            ("a whole certificate", TLSA, &[3, 0, 0], 700, true),
            ("SHA-256 of a certificate", TLSA, &[3, 1, 1], 32, true),
            ("SHA-512 called SHA-256", SMIMEA, &[3, 1, 1], 64, false),
            ("a zone digest", ZONEMD, &[0, 0, 0, 1, 1, 1], 48, true),
            ("a zone digest too short", ZONEMD, &[0, 0, 0, 1, 1, 2], 48, false),
            ("text", 16, &[], 5, true),
        ] {
            let rdata = [head, &vec![7; length]].concat();
            assert_eq!(check(rtype, &rdata).is_ok(), right, "{case}");
        }
        let said = check(DS, &[0, 1, 8, 2, 7]).unwrap_err();
        assert_eq!(said, "the digest has 1 octets, `DS` of kind 2 has 32");
    }
}
