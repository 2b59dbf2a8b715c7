//! Backends are replaced one after the other under load, and no client notices.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use crate::Front;
use crate::origin::Talk;
use crate::support::meridian::{Meridian, command};
use crate::support::peers::Nginx;
use crate::support::process::output;
use crate::support::{free_address, wait_for};

/// Requests of one kind, again and again.
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU32>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Clients {
    /// Some that stay connected and some that do not, each in turn with `requests`.
    pub(crate) fn asking(at: SocketAddr, requests: &'static [&'static str]) -> Self {
        let (stop, served) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
        let client = |stays: bool| {
            let (stop, served) = (stop.clone(), served.clone());
            spawn(move || {
                let (mut failures, mut talk) = (Vec::new(), Talk::to(at));
                for request in requests.iter().cycle() {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    if !stays {
                        talk = Talk::to(at);
                    }
                    talk.say(request);
                    match talk.hear() {
                        Some(reply) if reply.status == 200 => {
                            served.fetch_add(1, Ordering::Relaxed);
                        }
                        other => {
                            failures.push(format!("{request:?}: {other:?}"));
                            talk = Talk::to(at);
                        }
                    }
                    sleep(Duration::from_millis(2));
                }
                failures
            })
        };
        let threads = [true, true, false].map(client).into();
        Self { stop, served, threads }
    }

    /// Waits for so many more to be served.
    pub(crate) fn serve(&self, more: u32) {
        let first = self.served.load(Ordering::Relaxed);
        wait_for("requests", || {
            (self.served.load(Ordering::Relaxed) >= first + more).then_some(())
        });
    }

    /// How many were served; none may have failed.
    pub(crate) fn end(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        let failures: Vec<String> =
            self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert!(failures.is_empty(), "{} failed, first {:?}", failures.len(), failures[0]);
        self.served.load(Ordering::Relaxed)
    }
}

/// Three backends of nginx, probed five times a second.
fn scene() -> (Front, Vec<(Ipv4Addr, Nginx)>) {
    let front = Front::new("", "");
    let addresses = [10, 11, 12].map(|number| front.site.address(number));
    let port = free_address(addresses[0].into()).port();
    let backends = addresses.map(|ip| (ip, Nginx::start(&front.site.path(""), (ip, port).into())));
    let endpoints = addresses.map(|ip| format!("{{ region = \"eu\", address = \"{ip}\" }}"));
    front.fleet(&format!(
        "[monitor.ready]\nkind = \"http\"\nport = {port}\npath = \"/health/ready\"\n\
         interval = \"200ms\"\ntimeout = \"150ms\"\nhold_down = \"0s\"\n\
         [pool.web]\nmonitors = [\"ready\"]\nendpoints = [{}]\n\
         [[route]]\npool = \"web\"\nupstream = {{ port = {port} }}\nretry = {{ budget = 1.0 }}\n",
        endpoints.join(", ")
    ));
    (front, backends.into())
}

fn up(meridian: &Meridian, ip: Ipv4Addr) -> bool {
    meridian.metric("meridian_endpoint_up", &[&format!("endpoint=\"{ip}\"")]) == 1.0
}

#[test]
fn a_rolling_deploy_that_drains_first_fails_no_request_of_any_method() {
    let (front, mut backends) = scene();
    let meridian = front.serve();
    for (ip, _) in &backends {
        wait_for("the backends", || up(&meridian, *ip).then_some(()));
    }
    let clients = Clients::asking(
        front.http,
        &[
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n",
        ],
    );
    let node = format!("http://{}", front.site.admin);
    let run = |arguments: &[&str]| output(command().args(arguments).args(["--node", &node]));
    for _ in 0..2 {
        for (ip, backend) in &mut backends {
            clients.serve(60);
            let (endpoint, own) = (format!("endpoint:{ip}"), format!("endpoint=\"{ip}\""));
            run(&["force", "drain", &endpoint, "--for", "10m", "--reason", "a new version"]);
            // What operators are told to wait for.
            wait_for("the last request", || {
                let there = meridian.metric("meridian_proxy_requests_in_flight", &[&own]);
                (there == 0.0).then_some(())
            });
            backend.stop();
            clients.serve(60);
            backend.start_again();
            run(&["force", "clear", &endpoint]);
            wait_for("the new version", || up(&meridian, *ip).then_some(()));
        }
    }
    let served = clients.end();
    println!("6 backends replaced, {served} of {served} requests served");
}

#[test]
fn a_rolling_deploy_that_kills_fails_no_request_that_can_be_sent_again() {
    let (front, mut backends) = scene();
    let meridian = front.serve();
    for (ip, _) in &backends {
        wait_for("the backends", || up(&meridian, *ip).then_some(()));
    }
    let clients = Clients::asking(front.http, &["GET / HTTP/1.1\r\nHost: a\r\n\r\n"]);
    for (ip, backend) in &mut backends {
        clients.serve(60);
        backend.stop();
        clients.serve(60);
        wait_for("its absence to be seen", || (!up(&meridian, *ip)).then_some(()));
        backend.start_again();
        wait_for("its return", || up(&meridian, *ip).then_some(()));
    }
    let served = clients.end();
    println!("3 backends killed, {served} of {served} requests served");
}
