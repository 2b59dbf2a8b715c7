//! Defaults and bounds of `[proxy.acme]`.

use super::Preset;
use crate::model::ChallengeKind;

/// `proxy.acme.directory`: the authority that most of the web uses.
pub(in crate::config) const DIRECTORY: Preset<&str> = Preset {
    value: "https://acme-v02.api.letsencrypt.org/directory",
    written: "\"https://acme-v02.api.letsencrypt.org/directory\"",
};
/// `proxy.acme.certificates[].challenge`: needs nothing but the proxy.
pub(in crate::config) const CHALLENGE: Preset<ChallengeKind> =
    Preset { value: ChallengeKind::Http, written: "\"http-01\"" };
/// Longest `proxy.acme.external_account.key_id`, in characters; those of authorities have 20 to 40.
pub(in crate::config) const KEY_ID_MAX: usize = 256;
/// Names of a certificate; no public authority takes more.
pub(in crate::config) const NAMES_MAX: usize = 100;
/// Certificates of a node.
pub(in crate::config) const CERTIFICATES_MAX: usize = 1_000;
