//! A real nginx with a configuration of its own.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A loopback address of this process alone, so that ports picked in advance stay free.
pub(crate) fn address() -> IpAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, 77, high, low))
}

/// Free ports on [`address`], all different.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind((address(), 0)).unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

/// A running nginx, killed on drop.
pub(crate) struct Nginx {
    process: Child,
    folder: TempDir,
}

impl Nginx {
    /// Starts nginx with these server blocks, once `folder` holds what they refer to, and waits
    /// until `port` accepts.
    pub(crate) fn start(folder: TempDir, servers: &str, port: u16) -> Self {
        let configuration = format!(
            "daemon off; master_process off; pid nginx.pid; error_log error.log;\n\
             events {{ worker_connections 256; }}\n\
             http {{\n\
             access_log off; client_body_temp_path body; proxy_temp_path proxy;\n\
             fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
             {servers}\n}}\n"
        );
        fs::write(folder.path().join("nginx.conf"), configuration).unwrap();
        let prefix = folder.path().to_str().unwrap();
        let process = Command::new("nginx")
            .args(["-p", prefix, "-c", "nginx.conf", "-e", "error.log"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is missing: run scripts/test");
        let mut nginx = Self { process, folder };
        nginx.wait(SocketAddr::new(address(), port));
        nginx
    }

    fn wait(&mut self, at: SocketAddr) {
        let begin = meridian::clock::now();
        while TcpStream::connect_timeout(&at, PATIENCE).is_err() {
            let ended = self.process.try_wait().unwrap();
            let late = meridian::clock::now().since(begin) > PATIENCE;
            assert!(ended.is_none() && !late, "nginx did not start: {}", self.log());
            std::thread::yield_now();
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("nginx says: {}", self.log());
        }
    }
}
