//! The files of one configuration in a folder of its own.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

use super::meridian::Meridian;
use super::{PATIENCE, certificates, free_beside, free_pair, poll};

/// Sites made by this process, so that each has loopback addresses of its own.
static SITES: AtomicU8 = AtomicU8::new(1);

/// Held by the site that is there: tests of one file would else disturb each other's clocks.
static ALONE: Mutex<()> = Mutex::new(());

/// One client of a test asks as much as thousands do.
pub(crate) const UNLIMITED: &str =
    "limits.response_rate = { positive = \"off\", negative = \"off\", error = \"off\" }";

/// Three regions on three continents, for a `fleet.toml`.
pub(crate) const THREE_REGIONS: &str = "version = 1\n\
    [region.ap]\nlocation = { lat = 1.35, lon = 103.8 }\n\
    [region.eu]\nlocation = { lat = 50.11, lon = 8.68 }\n\
    [region.us]\nlocation = { lat = 38.95, lon = -77.45 }\n";

/// A folder with `config/`, `zones/` and, once served, `state/`, and the addresses it is served on.
pub(crate) struct Site {
    folder: TempDir,
    network: [u8; 2],
    _alone: MutexGuard<'static, ()>,
    /// Where DNS is answered, over UDP and TCP.
    pub(crate) dns: SocketAddr,
    /// The admin listener.
    pub(crate) admin: SocketAddr,
}

impl Site {
    /// A site with a `node.toml` in `region`, DNS and admin listeners, the project's own geo
    /// database, and probing at 127.0.0.0/8 allowed. `fleet.toml` and the zones are to be written.
    pub(crate) fn new(region: &str) -> Self {
        // A test that failed while it was alone leaves nothing behind that matters to the next.
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = TempDir::new().expect("a temporary folder");
        let pid = std::process::id();
        let network = [1 + (pid % 250) as u8, SITES.fetch_add(1, Ordering::Relaxed)];
        let own = IpAddr::V4(Ipv4Addr::new(127, network[0], network[1], 1));
        let (dns, admin) = free_pair(own);
        let site = Self { folder, network, _alone: alone, dns, admin };
        site.write("config/node.toml", &site.node(region));
        fs::create_dir_all(site.path("zones")).expect("a folder");
        site
    }

    /// The text of the `node.toml` that [`Site::new`] writes.
    pub(crate) fn node(&self, region: &str) -> String {
        let (dns, admin) = (self.dns, self.admin);
        let country = Path::new(env!("CARGO_MANIFEST_DIR")).join("geoip/country.mmdb");
        let country = country.display();
        format!(
            "version = 1\n\
             [node]\nname = \"test-1\"\nregion = \"{region}\"\nstate = \"../state\"\n\
             [zones]\ndirectory = \"../zones\"\n\
             [geo]\ndatabases = [\"{country}\"]\nmax_age = \"3650d\"\n\
             [dns]\nlisten = [\"{dns}\"]\nworkers = 2\n\
             {UNLIMITED}\n\
             [probe]\nallow_private = true\n\
             [admin]\nlisten = \"{admin}\"\n"
        )
    }

    /// Adds the encrypted transports and a certificate; their addresses: TLS, HTTPS, QUIC.
    pub(crate) fn encrypt(&self, region: &str) -> [SocketAddr; 3] {
        let mut taken = vec![self.dns, self.admin];
        let [tls, https, quic] = [(); 3].map(|()| {
            let free = free_beside(self.dns.ip(), &taken);
            taken.push(free);
            free
        });
        let transports = format!(
            "workers = 2\ntls = [\"{tls}\"]\nhttps = [\"{https}\"]\nquic = [\"{quic}\"]\n\
             certificate = {{ chain = \"tls/dns.pem\", key = \"tls/dns.key\" }}\n"
        );
        let node = self.node(region).replace("workers = 2\n", &transports);
        self.write("config/node.toml", &node);
        let (chain, key) = certificates::pem();
        self.write("config/tls/dns.pem", &chain);
        self.write("config/tls/dns.key", &key);
        [tls, https, quic]
    }

    /// A loopback address that no other site uses; 1 is the node's own.
    pub(crate) fn address(&self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.network[0], self.network[1], number)
    }

    /// A path below the site's folder.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// The text of the `node.toml` of one more node, at the address of this number, and where its
    /// DNS and admin listeners are.
    pub(crate) fn node_beside(
        &self,
        number: u8,
        (region, name): (&str, &str),
    ) -> (String, SocketAddr, SocketAddr) {
        let (dns, admin) = free_pair(self.address(number).into());
        let text = self.node(region).replace(&self.dns.to_string(), &dns.to_string());
        let text = text.replace(&self.admin.to_string(), &admin.to_string());
        (text.replace("test-1", name), dns, admin)
    }

    /// Starts one more node with these files, which are in a folder of its own.
    pub(crate) fn start_beside(
        &self,
        folder: &str,
        files: &[(&str, &str)],
        (dns, admin): (SocketAddr, SocketAddr),
    ) -> Meridian {
        for (path, text) in files {
            self.write(&format!("{folder}/{path}"), text);
        }
        let folder = self.path(folder);
        Meridian::start(&folder.join("config"), &folder, dns, admin)
    }

    /// Writes a file the way a deployment does: beside it first, then in its place at once.
    pub(crate) fn write(&self, path: &str, text: &str) {
        self.write_bytes(path, text.as_bytes());
    }

    /// [`Site::write`] for what need not be text.
    pub(crate) fn write_bytes(&self, path: &str, octets: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let draft = self.folder.path().join("draft");
        fs::write(&draft, octets).expect("a written file");
        fs::rename(&draft, &path).expect("a renamed file");
    }

    /// Removes a file.
    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).expect("a removed file");
    }

    /// Starts the server and waits until it is ready. Somebody else may have taken one of its ports
    /// since they were chosen; then it is started again until they are free.
    pub(crate) fn serve(&self) -> Meridian {
        let mut why = String::new();
        let served = poll(PATIENCE, Duration::from_millis(200), || {
            let mut meridian = self.start();
            match meridian.ready() {
                Ok(()) => return Some(meridian),
                Err(error) => why = error,
            }
            let taken = why.lines().last().is_some_and(|line| line.contains("already in use"));
            assert!(taken, "{why}");
            None
        });
        served.unwrap_or_else(|| panic!("{why}"))
    }

    /// Starts the server without waiting.
    pub(crate) fn start(&self) -> Meridian {
        Meridian::start(&self.path("config"), self.folder.path(), self.dns, self.admin)
    }
}

/// A zone master file: SOA with this serial, one NS with its address, then `records`.
pub(crate) fn zone(origin: &str, serial: u32, records: &str) -> String {
    format!(
        "$ORIGIN {origin}\n$TTL 300\n\
         @ IN SOA ns1 hostmaster {serial} 3600 600 604800 60\n\
         @ IN NS ns1\n\
         ns1 IN A 192.0.2.53\n\
         {records}\n"
    )
}
