//! The bus of the fleet: a server in each region and the hub between them, by the templates of
//! deploy/nats.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::namespace::Namespace;
use super::region::{BUS, Region, address};
use crate::support::nats::{BusAuthority, program, template};
use crate::support::process::Process;

const DOMAIN: &str = "meridian.example.net";
const HASH: &str = "$2a$11$EXAMPLEexampleEXAMPLEexampleEXAMPLEexampleEXAMPLEexa";

/// A server of the bus.
pub(crate) struct Server {
    config: PathBuf,
    folder: PathBuf,
    /// `None`: it is killed.
    process: Option<Process>,
}

impl Server {
    /// The server of a region, not started yet.
    pub(crate) fn leaf(
        region: &Region,
        hub: Ipv4Addr,
        authority: &BusAuthority,
        at: &Path,
    ) -> Self {
        let folder = at.join(region.name).join("bus");
        let own = address(region.number, BUS);
        lay_out(authority, &folder, own);
        let config = template(
            "leaf.conf",
            &folder,
            &[
                ("eu-central", region.name.to_owned()),
                ("0.0.0.0:4222", format!("{own}:4222")),
                ("hub-1.example.net:7422", format!("{hub}:7422")),
            ],
        );
        write_roles(&folder, region);
        Self { config, folder, process: None }
    }

    /// The hub, not started yet.
    pub(crate) fn hub(
        regions: &[Region],
        own: Ipv4Addr,
        authority: &BusAuthority,
        at: &Path,
    ) -> Self {
        let folder = at.join("hub");
        lay_out(authority, &folder, own);
        let config = template(
            "hub.conf",
            &folder,
            &[
                ("127.0.0.1:4222", format!("{own}:4222")),
                ("0.0.0.0:7422", format!("{own}:7422")),
                (HASH, "change-me".to_owned()),
            ],
        );
        let path = folder.join("regions.conf");
        let text = fs::read_to_string(&path).unwrap();
        let (first, operator) = (user(&text, "leaf-eu-central"), user(&text, "operator."));
        let leaves = regions.iter().map(|region| first.replace("eu-central", region.name));
        let users: String = leaves.chain([operator.replace("eu-central", "eu")]).collect();
        fs::write(path, format!("authorization {{ users: [\n{users}] }}\n")).unwrap();
        Self { config, folder, process: None }
    }

    pub(crate) fn start(&mut self, host: &Namespace) {
        let mut command = Command::new(program());
        command.arg("-c").arg(&self.config);
        self.process = Some(host.start("nats-server", &command, &self.folder));
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("nats-server.log")).unwrap_or_default()
    }
}

/// The name in the certificate of a node or of the operators.
pub(crate) fn user_name(node: &str) -> String {
    format!("{node}.{DOMAIN}")
}

fn lay_out(authority: &BusAuthority, folder: &Path, own: Ipv4Addr) {
    fs::create_dir_all(folder).unwrap();
    authority.lay_out(folder);
    let (chain, key) = authority.issue(&[&own.to_string()]);
    fs::write(folder.join("server.pem"), chain).unwrap();
    fs::write(folder.join("server.key"), key).unwrap();
}

/// The rights of both nodes of a region and of the operators, from those of the template.
fn write_roles(folder: &Path, region: &Region) {
    let path = folder.join("roles.conf");
    let text = fs::read_to_string(&path).unwrap();
    let prober = user(&text, "fra-1.");
    let nodes = region.nodes.iter().map(|node| prober.replace("fra-1", node.name));
    let users: String = nodes.chain([user(&text, "operator.")]).collect();
    fs::write(path, format!("authorization {{ users: [\n{users}] }}\n")).unwrap();
}

/// The entry of a template whose user's name begins like this.
fn user(text: &str, name: &str) -> String {
    let at = text.find(&format!("user: \"{name}")).expect("a user of the template");
    let from = text[..at].rfind("    {\n").unwrap();
    let to = at + text[at..].find("\n    }\n").unwrap() + "\n    }\n".len();
    text[from..to].to_owned()
}
