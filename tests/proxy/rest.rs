//! Connections that wait for their next request, and keep next to nothing meanwhile.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::Front;
use crate::origin::{Origin, Talk, get};
use crate::secure::secure;
use crate::support::meridian::Meridian;
use crate::support::wait_for;

const ASK: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

fn resting(meridian: &Meridian, count: u32) {
    wait_for("connections at rest", || {
        let found = meridian.metric("meridian_proxy_connections_resting", &[]);
        (found == f64::from(count)).then_some(())
    });
}

#[test]
fn a_connection_rests_between_requests_and_nothing_of_them_is_lost() {
    let front = Front::new("drain = \"20s\"\nlimits = { header_timeout = \"3s\" }", "");
    let site = &front.site;
    let origin = Origin::saying(site.address(10), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let (address, port) = (site.address(10), origin.address.port());
    front.fleet(&format!(
        "[pool.web]\nendpoints = [{{ region = \"eu\", address = \"{address}\" }}]\n\
         [[route]]\npool = \"web\"\nupstream = {{ port = {port} }}\n"
    ));
    let mut meridian = front.serve();
    let mut talk = Talk::to(front.http);
    for round in 0..3 {
        talk.say(ASK);
        assert_eq!(talk.hear().unwrap().status, 200, "round {round}");
        resting(&meridian, 1);
    }
    // Two at once and the beginning of a third, which then takes its time but not too much.
    talk.say([ASK, ASK, "GET /third HTTP/1.1\r\nHo"].concat());
    assert_eq!([talk.hear().unwrap().status, talk.hear().unwrap().status], [200, 200]);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) {
        assert_eq!(get(front.http, "a.test", "/other").status, 200);
    }
    talk.say("st: a.test\r\n\r\n");
    assert_eq!(talk.hear().unwrap().status, 200);
    assert!(origin.asked().iter().any(|asked| asked.head.starts_with("GET /third ")));
    wait_for("the rest of all others", || {
        let open = meridian.metric("meridian_proxy_connections", &[]);
        (open == 1.0).then_some(())
    });
    resting(&meridian, 1);
    // Nobody waits for it at the end.
    meridian.process.signal("TERM");
    assert!(talk.ends());
    assert!(meridian.process.wait(Duration::from_secs(8)).is_some());
}

#[test]
fn a_connection_over_tls_rests_as_well() {
    let (front, _origin, _authority, port) = secure();
    let meridian = front.serve();
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(front.site.path("ca.pem")).unwrap();
    roots.add(ca).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("a.test").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(SocketAddr::new(front.http.ip(), port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut client = StreamOwned::new(session, stream);
    for _ in 0..3 {
        client.write_all(ASK.as_bytes()).unwrap();
        let mut reply = Vec::new();
        while !reply.ends_with(b"yes\r\n0\r\n\r\n") {
            let mut part = [0; 1024];
            let length = client.read(&mut part).unwrap();
            assert!(length > 0, "the connection ended after {reply:?}");
            reply.extend_from_slice(&part[..length]);
        }
        resting(&meridian, 1);
    }
    // Its end is told while it rests, too.
    drop(client);
    resting(&meridian, 0);
}
