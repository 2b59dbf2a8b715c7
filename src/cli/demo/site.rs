//! The files of the demo, in a folder that goes with it.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::Options;
use crate::cli::init;

/// The regions: name, last octet of the proxy's address in 127.0.0.0/24, folder of the
/// configuration. The first is that of the node that answers DNS.
pub(super) const REGIONS: [(&str, u8, &str); 3] =
    [("eu", 10, "config"), ("us", 20, "config-us"), ("ap", 30, "config-ap")];

/// The configuration of the node that answers DNS: the very files at the top of the repository.
const FILES: [(&str, &str); 4] = [
    ("config/node.toml", include_str!("../../../config/node.toml")),
    ("config/fleet.toml", include_str!("../../../config/fleet.toml")),
    ("zones/app.example.com.zone", include_str!("../../../zones/app.example.com.zone")),
    ("zones/app.example.com.toml", include_str!("../../../zones/app.example.com.toml")),
];

/// The demo's folder; it goes with the demo.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Writes all files.
    pub(super) fn write(options: &Options) -> io::Result<Self> {
        let name = format!("meridian-demo-{}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        let places = [
            ("127.0.0.1:5353", options.dns.to_string()),
            ("127.0.0.1:8053", options.admin.to_string()),
            ("8000", options.proxies.to_string()),
            ("8080", options.backends.to_string()),
        ];
        for (path, text) in FILES {
            init::write_new(&folder.path(path), &filled(text, &places))?;
        }
        let fleet = fs::read(folder.path("config/fleet.toml"))?;
        for (region, octet, config) in REGIONS.into_iter().skip(1) {
            let node = node(region, proxy(octet, options.proxies));
            init::write_new(&folder.path(config).join("node.toml"), &node)?;
            fs::write(folder.path(config).join("fleet.toml"), &fleet)?;
        }
        Ok(folder)
    }

    /// A path below it.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        Path::new(&self.0).join(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind is in the system's folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Where the proxy of a region listens.
pub(super) fn proxy(octet: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, octet], port))
}

/// The node of a region without DNS.
fn node(region: &str, proxy: SocketAddr) -> String {
    format!(
        "version = 1\n\n[node]\nname = \"demo-{region}\"\nregion = \"{region}\"\n\
         state = \"../state-{region}\"\n\n[zones]\ndirectory = \"../zones\"\n\n[probe]\n\n\
         [proxy]\nhttp = [\"{proxy}\"]\n"
    )
}

/// A text with these words in the place of those, what was put in left alone.
fn filled(text: &str, places: &[(&str, String)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    let next = |rest: &str| {
        let found = places.iter().filter_map(|(from, to)| Some((rest.find(from)?, *from, to)));
        found.min_by_key(|(at, ..)| *at).map(|(at, from, to)| (at, from.len(), to.clone()))
    };
    while let Some((at, length, to)) = next(rest) {
        out.push_str(rest.get(..at).unwrap_or_default());
        out.push_str(&to);
        rest = rest.get(at + length..).unwrap_or_default();
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_left_alone() {
        let places = [("8000", "8080".to_owned()), ("8080", "9".to_owned())];
        assert_eq!(filled("a 8000 b 8080 c 8000", &places), "a 8080 b 9 c 8080");
        assert_eq!(filled("", &places), "");
    }
}
