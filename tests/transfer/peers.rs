//! Knot DNS, NSD and BIND as the other end of zone transfers, on both sides.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::certificates;
use crate::support::dns::Client;
use crate::support::process::Process;
use crate::support::wait_for;
use crate::support::wire::Ask;

/// The name of the key that both ends share.
pub(crate) const KEY: &str = "xfr.";
/// Its secret.
pub(crate) const SECRET: &str = "c2VjcmV0cyBvZiB0ZXN0cyBhcmUga25vd24gdG8gYWxsIQ==";

/// The other end of transfers: where it answers, and whose zone it is about.
pub(crate) struct Peer {
    /// Folder for its files.
    pub(crate) folder: PathBuf,
    /// Where it answers, and from where it asks.
    pub(crate) address: SocketAddr,
    /// The server at the other end.
    pub(crate) meridian: SocketAddr,
    /// The zone.
    pub(crate) origin: &'static str,
    /// Whether messages are signed.
    pub(crate) signed: bool,
}

impl Peer {
    /// A folder of its own for a program.
    fn own(&self, program: &str) -> PathBuf {
        let own = self.folder.join(format!("{program}-{}", self.address.port()));
        // Knot DNS does not make the folder of its database.
        fs::create_dir_all(own.join("db")).expect("a folder");
        own
    }

    /// Starts Knot DNS as a secondary.
    pub(crate) fn knot(&self) -> Process {
        let own = self.own("knot");
        let (dir, ip, port) = (own.display(), self.address.ip(), self.address.port());
        let (primary, origin) = (self.meridian, self.origin);
        let sign = if self.signed { format!("    key: {KEY}\n") } else { String::new() };
        let text = format!(
            "server:\n    rundir: \"{dir}\"\n    listen: {ip}@{port}\n    udp-workers: 1\n    \
             tcp-workers: 1\n    background-workers: 1\n\
             log:\n  - target: stderr\n    any: debug\n\
             database:\n    storage: \"{dir}/db\"\n\
             key:\n  - id: {KEY}\n    algorithm: hmac-sha256\n    secret: {SECRET}\n\
             remote:\n  - id: primary\n    address: {}@{}\n    via: {ip}\n{sign}\
             acl:\n  - id: notify\n    address: {}\n    action: notify\n{sign}\
             template:\n  - id: default\n    storage: \"{dir}\"\n    zonefile-sync: -1\n    \
             journal-content: all\n    \
             zonefile-load: none\n\
             zone:\n  - domain: {origin}\n    master: primary\n    acl: notify\n",
            primary.ip(),
            primary.port(),
            primary.ip(),
        );
        let path = own.join("knot.conf");
        fs::write(&path, text).expect("a written file");
        Process::start("knotd", command("knotd").arg("-c").arg(&path), &self.folder)
    }

    /// Starts Knot DNS as the primary of a zone with this text.
    pub(crate) fn knot_primary(&self, text: &str) -> Process {
        let own = self.own("knot");
        fs::write(own.join("zone"), text).expect("a written file");
        let (dir, ip, port) = (own.display(), self.address.ip(), self.address.port());
        let (to, origin) = (self.meridian, self.origin);
        let sign = if self.signed { format!("    key: {KEY}\n") } else { String::new() };
        let text = format!(
            "server:\n    rundir: \"{dir}\"\n    listen: {ip}@{port}\n    udp-workers: 1\n    \
             tcp-workers: 1\n    background-workers: 1\n\
             log:\n  - target: stderr\n    any: debug\n\
             database:\n    storage: \"{dir}/db\"\n\
             key:\n  - id: {KEY}\n    algorithm: hmac-sha256\n    secret: {SECRET}\n\
             remote:\n  - id: secondary\n    address: {}@{}\n    via: {ip}\n{sign}\
             acl:\n  - id: transfer\n    address: {}\n    action: transfer\n{sign}\
             template:\n  - id: default\n    storage: \"{dir}\"\n    zonefile-sync: -1\n    \
             zonefile-load: difference\n    journal-content: changes\n\
             zone:\n  - domain: {origin}\n    file: zone\n    notify: secondary\n    \
             acl: transfer\n",
            to.ip(),
            to.port(),
            to.ip(),
        );
        let path = own.join("knot.conf");
        fs::write(&path, text).expect("a written file");
        Process::start("knotd", command("knotd").arg("-c").arg(&path), &self.folder)
    }

    /// Gives a primary another zone text.
    pub(crate) fn change(&self, process: &Process, program: &str, text: &str) {
        let path = self.own(program).join("zone");
        // A second must lie between two versions of a file that is told apart by its time.
        let later = std::time::SystemTime::now() + Duration::from_secs(2);
        fs::write(&path, text).expect("a written file");
        let file = fs::File::options().append(true).open(&path).expect("the file");
        file.set_modified(later).expect("a changed time");
        process.signal("HUP");
    }

    /// Starts NSD as a secondary.
    pub(crate) fn nsd(&self) -> Process {
        let own = self.own("nsd");
        let (dir, ip, port) = (own.display(), self.address.ip(), self.address.port());
        let (primary, origin) = (self.meridian, self.origin);
        let sign = if self.signed { KEY.trim_end_matches('.') } else { "NOKEY" };
        let text = format!(
            "server:\n    server-count: 1\n    ip-address: {ip}@{port}\n    username: \"\"\n    \
             chroot: \"\"\n    database: \"\"\n    zonesdir: \"{dir}\"\n    \
             pidfile: \"{dir}/pid\"\n    xfrdfile: \"{dir}/xfrd\"\n    \
             zonelistfile: \"{dir}/list\"\n    xfrdir: \"{dir}\"\n    verbosity: 3\n    \
             xfrd-reload-timeout: 0\n    rrl-ratelimit: 0\n    rrl-whitelist-ratelimit: 0\n\
             remote-control:\n    control-enable: no\n\
             key:\n    name: {}\n    algorithm: hmac-sha256\n    secret: \"{SECRET}\"\n\
             zone:\n    name: {origin}\n    zonefile: \"{dir}/zone\"\n    \
             request-xfr: {}@{} {sign}\n    allow-notify: {} {sign}\n    \
             outgoing-interface: {ip}\n",
            KEY.trim_end_matches('.'),
            primary.ip(),
            primary.port(),
            primary.ip(),
        );
        let path = own.join("nsd.conf");
        fs::write(&path, text).expect("a written file");
        Process::start("nsd", command("nsd").args(["-d", "-c"]).arg(&path), &self.folder)
    }

    /// Starts BIND as a secondary.
    pub(crate) fn bind(&self) -> Process {
        let (ip, primary) = (self.address.ip(), self.meridian);
        let sign = if self.signed { format!("key \"{KEY}\"") } else { String::new() };
        self.named(&format!(
            "type secondary; file \"zone\"; primaries {{ {} port {} {sign}; }};\n\
             transfer-source {ip}; allow-notify {{ {}; }};",
            primary.ip(),
            primary.port(),
            primary.ip(),
        ))
    }

    /// Starts BIND as the primary of a zone with this text.
    pub(crate) fn bind_primary(&self, text: &str) -> Process {
        fs::write(self.own("named").join("zone"), text).expect("a written file");
        let to = self.meridian;
        let sign = if self.signed { format!("key \"{KEY}\"") } else { String::new() };
        let who = if self.signed { sign.clone() } else { to.ip().to_string() };
        self.named(&format!(
            "type primary; file \"zone\"; allow-transfer {{ {who}; }}; notify explicit;\n\
             also-notify {{ {} port {} {sign}; }}; notify-source {};\n\
             notify-delay 0; ixfr-from-differences yes;",
            to.ip(),
            to.port(),
            self.address.ip(),
        ))
    }

    /// Starts BIND as a secondary that fetches the zone over TLS from this address, whose
    /// certificate it verifies.
    pub(crate) fn bind_over_tls(&self, primary: SocketAddr) -> Process {
        let authority = self.own("named").join("authority.pem");
        fs::write(&authority, certificates::authority()).expect("a written file");
        let (ip, notifier) = (self.address.ip(), self.meridian.ip());
        self.named_with(
            &format!(
                "tls \"ours\" {{ ca-file \"{}\"; remote-hostname \"{}\"; }};\n",
                authority.display(),
                certificates::NAME
            ),
            &format!(
                "type secondary; file \"zone\"; \
                 primaries {{ {} port {} key \"{KEY}\" tls \"ours\"; }};\n\
                 transfer-source {ip}; allow-notify {{ {notifier}; }};",
                primary.ip(),
                primary.port(),
            ),
        )
    }

    fn named(&self, zone: &str) -> Process {
        self.named_with("", zone)
    }

    fn named_with(&self, global: &str, zone: &str) -> Process {
        let own = self.own("named");
        let (dir, ip, port) = (own.display(), self.address.ip(), self.address.port());
        let origin = self.origin;
        let text = format!(
            "options {{ directory \"{dir}\"; pid-file \"{dir}/pid\"; \
             session-keyfile \"{dir}/session\"; listen-on port {port} {{ {ip}; }}; \
             listen-on-v6 {{ none; }}; recursion no; dnssec-validation no; \
             managed-keys-directory \"{dir}\"; minimal-responses yes; }};\n\
             controls {{ }};\n\
             key \"{KEY}\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n\
             {global}zone \"{origin}\" {{ {zone} }};\n"
        );
        let path = own.join("named.conf");
        fs::write(&path, text).expect("a written file");
        Process::start("named", command("named").args(["-g", "-c"]).arg(&path), &self.folder)
    }
}

/// A command that may live outside the search path.
fn command(name: &str) -> Command {
    let full = Path::new("/usr/sbin").join(name);
    Command::new(if full.exists() { full } else { PathBuf::from(name) })
}

/// The serial that a server has for a zone; `None`: it has none now.
pub(crate) fn serial(server: SocketAddr, origin: &str) -> Option<u32> {
    let mut client = Client::new(server);
    client.set_timeout(Duration::from_millis(300));
    let reply = client.try_ask(&Ask::new(origin, 6)).ok().filter(|reply| reply.rcode == 0)?;
    let rdata = &reply.answer.first()?.rdata;
    Some(u32::from_be_bytes(rdata[rdata.len() - 20..rdata.len() - 16].try_into().ok()?))
}

/// Waits until a server has a serial that is this one or newer.
#[track_caller]
pub(crate) fn wait_serial(process: &mut Process, server: SocketAddr, origin: &str, least: u32) {
    wait_for(&format!("serial {least} of {origin} at {server}"), || {
        let ended = process.ended();
        assert!(ended.is_none(), "ended: {ended:?}\n{}", process.log());
        serial(server, origin).filter(|serial| serial.wrapping_sub(least) < 1 << 31)
    });
}
