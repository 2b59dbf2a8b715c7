//! What the proxies have behind them: one nginx with a small file and a large one.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use crate::Case;
use crate::load::answers;
use crate::process::{Process, SERVER_CORE};

/// Octets of the small body.
const SMALL: usize = 1000;
/// Octets of the large body.
pub(crate) const LARGE: usize = 100_000_000;

/// A running origin.
pub(crate) struct Origin {
    pub(crate) port: u16,
    _process: Process,
}

impl Origin {
    /// Starts it on the core of the load.
    pub(crate) fn start(work: &Path, port: u16) -> io::Result<Self> {
        let folder = work.join("origin");
        fs::create_dir_all(folder.join("files"))?;
        fs::write(folder.join("files/small"), "x".repeat(SMALL))?;
        fs::write(folder.join("files/large"), vec![b'x'; LARGE])?;
        let path = folder.display();
        let config = format!(
            "daemon off;\nworker_processes 1;\npid {path}/pid;\nerror_log {path}/error.log;\n\
            events {{ worker_connections 8192; }}\n\
            http {{\n access_log off;\n sendfile on;\n tcp_nopush on;\n\
            keepalive_requests 100000000;\n keepalive_timeout 1h;\n open_file_cache max=10;\n\
            client_body_temp_path {path}/body;\n proxy_temp_path {path}/proxy;\n\
            fastcgi_temp_path {path}/fastcgi;\n uwsgi_temp_path {path}/uwsgi;\n\
            scgi_temp_path {path}/scgi;\n\
            server {{ listen 127.0.0.1:{port} backlog=4096; root {path}/files;\n\
            add_header Cache-Control \"public, max-age=86400\"; }}\n}}\n"
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, config)?;
        let command =
            ["nginx", "-e", "stderr", "-c", &file.display().to_string()].map(str::to_owned);
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let process = Process::start_on(1 - SERVER_CORE, &command, &folder, || {
            answers(Case::Http1, address)
        })?;
        Ok(Self { port, _process: process })
    }
}
