//! How long a certificate still holds.

use std::time::Duration;

use super::failure;

/// Why a certificate in DER form does not hold for another `within` seconds; `None`: it does.
pub(super) fn expiry(certificate: &[u8], unix_now: u64, within: Duration) -> Option<String> {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else {
        return Some("certificate cannot be read".to_owned());
    };
    let end = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
    match end.checked_sub(unix_now).map(Duration::from_secs) {
        Some(left) if left >= within => None,
        Some(left) => Some(format!("certificate expires in {}", failure::in_words(left))),
        None => {
            let ago = Duration::from_secs(unix_now - end);
            Some(format!("certificate expired {} ago", failure::in_words(ago)))
        }
    }
}
