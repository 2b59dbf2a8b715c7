//! What must survive a restart of certificates by ACME: accounts, records of orders, certificates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use instant_acme::AccountCredentials;
use ring::digest::{SHA256, digest};

use super::plan::Record;
use crate::durable;

/// Longer files are none of these.
const LENGTH_MAX: u64 = 1 << 20;
/// Octets of a digest that tell directories apart.
const DIGEST: usize = 8;

/// The folder `acme` of a state folder. All of it blocks on the disk.
#[derive(Clone, Debug)]
pub(super) struct Store {
    folder: PathBuf,
}

impl Store {
    /// That of this state folder, which is made when something is first written.
    pub(super) fn new(state: &Path) -> Self {
        Self { folder: state.join("acme") }
    }

    /// The account at the authority with this directory; `None`: there is none yet.
    ///
    /// # Errors
    /// Why it cannot be read, with the file.
    pub(super) fn account(&self, directory: &str) -> Result<Option<AccountCredentials>, String> {
        read(&self.account_file(directory))
    }

    /// Keeps an account; only the owner of the process can read its key.
    ///
    /// # Errors
    /// Why it cannot be written, with the file.
    pub(super) fn save_account(
        &self,
        directory: &str,
        account: &AccountCredentials,
    ) -> Result<(), String> {
        write(&self.account_file(directory), account)
    }

    /// Puts an account aside that its authority does not know.
    ///
    /// # Errors
    /// Why that fails, with the file.
    pub(super) fn put_account_aside(&self, directory: &str) -> Result<(), String> {
        let path = self.account_file(directory);
        let aside = path.with_extension("unknown");
        std::fs::rename(&path, aside).map_err(|error| format!("`{}`: {error}", path.display()))
    }

    /// What is remembered of orders, by the names of the certificate.
    ///
    /// # Errors
    /// Why it cannot be read, with the file.
    pub(super) fn records(&self) -> Result<BTreeMap<String, Record>, String> {
        read(&self.folder.join("orders.json")).map(Option::unwrap_or_default)
    }

    /// Keeps what is remembered of orders.
    ///
    /// # Errors
    /// Why it cannot be written, with the file.
    pub(super) fn save_records(&self, records: &BTreeMap<String, Record>) -> Result<(), String> {
        write(&self.folder.join("orders.json"), records)
    }

    fn account_file(&self, directory: &str) -> PathBuf {
        let sum = digest(&SHA256, directory.as_bytes());
        let start = sum.as_ref().get(..DIGEST).unwrap_or_default();
        self.folder.join(format!("account-{}.json", HEXLOWER.encode(start)))
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, String> {
    let octets = durable::read(path, LENGTH_MAX);
    let octets = octets.map_err(|error| format!("`{}`: {error}", path.display()))?;
    let Some(octets) = octets else { return Ok(None) };
    let read = serde_json::from_slice(&octets);
    read.map(Some).map_err(|error| {
        // The text of the error would hold parts of a key.
        let (line, column) = (error.line(), error.column());
        format!("`{}` is damaged at {line}:{column}", path.display())
    })
}

fn write(path: &Path, what: &impl serde::Serialize) -> Result<(), String> {
    let octets = serde_json::to_vec_pretty(what).map_err(|error| error.to_string())?;
    durable::replace_secret(path, &octets).map_err(|error| format!("`{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::acme::Outcome;

    /// As an earlier run has left it, but for the key.
    const ACCOUNT: &str =
        r#"{"id":"https://ca.test/1","key_pkcs8":"AQID","directory":"https://ca.test/dir"}"#;

    #[test]
    fn what_was_kept_is_found_again_and_nobody_else_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        assert!(store.account("https://ca.test/dir").unwrap().is_none());
        assert_eq!(store.records(), Ok(BTreeMap::new()));
        let account: AccountCredentials = serde_json::from_str(ACCOUNT).unwrap();
        store.save_account("https://ca.test/dir", &account).unwrap();
        let found = store.account("https://ca.test/dir").unwrap().unwrap();
        let texts = [account, found].map(|account| serde_json::to_string(&account).unwrap());
        assert_eq!(texts[0], texts[1]);
        assert!(store.account("https://ca.test/other").unwrap().is_none(), "another authority");
        let mut record = Record::default();
        record.note(Outcome::Refused, 7);
        let records = BTreeMap::from([("a.test".to_owned(), record)]);
        store.save_records(&records).unwrap();
        assert_eq!(store.records(), Ok(records));
        for entry in std::fs::read_dir(folder.path().join("acme")).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        std::fs::write(store.account_file("https://ca.test/dir"), "{\"id\":\"secret\"}").unwrap();
        let why = store.account("https://ca.test/dir").err().unwrap();
        assert!(why.ends_with("is damaged at 1:15") && !why.contains("secret"), "{why}");
        store.put_account_aside("https://ca.test/dir").unwrap();
        assert!(store.account("https://ca.test/dir").unwrap().is_none());
    }
}
