//! Probes of resolvers: a real Unbound, servers that refuse, lie and say nothing.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use meridian::health::{CauseKind, Outcome};
use meridian::model::{Guard, Probe, Resolver, ResolverProbe, Resolvers};
use meridian::prefix::Prefix;
use meridian::probe::sound;
use tokio::net::{TcpListener, UdpSocket};

use crate::support::process::Process;
use crate::support::{PATIENCE, free_address, poll};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Far longer than a reply takes on any machine.
const LONG: Duration = Duration::from_secs(10);

/// An Unbound that answers `asked`, and refuses all others.
fn unbound(folder: &Path, at: SocketAddr, asked: &str) -> Process {
    let (ip, port, own) = (at.ip(), at.port(), folder.display());
    let text = format!(
        "server:\n  chroot: \"\"\n  username: \"\"\n  directory: \"{own}\"\n  pidfile: \"\"\n  \
         use-syslog: no\n  interface: {ip}@{port}\n  do-ip6: no\n  num-threads: 1\n  \
         access-control: 0.0.0.0/0 refuse\n  access-control: {asked} allow\n"
    );
    let file = folder.join("unbound.conf");
    fs::write(&file, text).unwrap();
    let mut command = Command::new("/usr/sbin/unbound");
    Process::start("unbound", command.args(["-d", "-p", "-c"]).arg(&file), folder)
}

fn resolvers(at: SocketAddr, kind: ResolverProbe, timeout: Duration) -> Resolvers {
    let clients = vec![Prefix::holding(at.ip(), 24)];
    Resolvers {
        list: vec![Resolver { address: at.ip(), clients }],
        kind,
        port: at.port(),
        interval: Duration::from_secs(60),
        timeout,
        rate: NonZeroU32::MIN,
    }
}

fn guard(allow_private: bool) -> Guard {
    Guard::new(&Probe { max_in_flight: 1, rate: None, allow_private, deny: Vec::new() })
}

async fn time(at: SocketAddr, kind: ResolverProbe) -> Result<Duration, Outcome> {
    sound(&resolvers(at, kind, LONG), at.ip(), &guard(true), 7).await
}

fn kind_of(found: Result<Duration, Outcome>) -> CauseKind {
    match found {
        Err(Outcome::Failure { kind, .. }) => kind,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_real_resolver_is_measured_whether_it_answers_or_refuses() {
    for asked in ["127.0.0.0/8", "192.0.2.0/24"] {
        let (folder, at) = (tempfile::tempdir().unwrap(), free_address(LOCAL));
        let _unbound = unbound(folder.path(), at, asked);
        let ready = || std::net::TcpStream::connect(at).ok();
        poll(PATIENCE, Duration::from_millis(20), ready).expect("unbound");
        for kind in [ResolverProbe::Dns, ResolverProbe::Tcp] {
            let found = time(at, kind).await.unwrap_or_else(|why| panic!("{kind:?}: {why:?}"));
            assert!(found > Duration::ZERO && found < LONG, "{kind:?}: {found:?}");
        }
    }
}

#[tokio::test]
async fn what_takes_its_time_is_as_far_as_that() {
    let server = UdpSocket::bind((LOCAL, 0)).await.unwrap();
    let at = server.local_addr().unwrap();
    let late = Duration::from_millis(150);
    let answers = async {
        let mut query = [0; 512];
        let (length, from) = server.recv_from(&mut query).await.unwrap();
        // NS of the root, without recursion and nothing more.
        assert_eq!(query[2..length], [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1]);
        query[2] |= 0x80;
        // Whoever guesses wrong is no reply, and comes too early.
        let mut forged = query;
        forged[0] ^= 1;
        server.send_to(&forged[..length], from).await.unwrap();
        tokio::time::sleep(late).await;
        query[3] = 5;
        server.send_to(&query[..length], from).await.unwrap();
    };
    let (found, ()) = tokio::join!(time(at, ResolverProbe::Dns), answers);
    let found = found.unwrap();
    assert!(found >= late && found < LONG, "{found:?}");
}

#[tokio::test]
async fn silence_and_refused_addresses_give_no_round_trip() {
    let silent = UdpSocket::bind((LOCAL, 0)).await.unwrap();
    let at = silent.local_addr().unwrap();
    let short = resolvers(at, ResolverProbe::Dns, Duration::from_millis(100));
    let found = sound(&short, at.ip(), &guard(true), 7).await;
    assert_eq!(kind_of(found), CauseKind::Timeout);
    let closed = {
        let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
        listener.local_addr().unwrap()
    };
    assert_eq!(kind_of(time(closed, ResolverProbe::Tcp).await), CauseKind::Refused);
    let waiting = UdpSocket::bind((LOCAL, 0)).await.unwrap();
    let at = waiting.local_addr().unwrap();
    let listed = resolvers(at, ResolverProbe::Dns, LONG);
    let found = sound(&listed, at.ip(), &guard(false), 7).await;
    assert_eq!(kind_of(found), CauseKind::Denied);
    assert!(waiting.try_recv(&mut [0; 16]).is_err(), "nothing was sent");
}
