//! TLS and HTTP/2 before the proxy.

use std::process::Command;

use crate::Front;
use crate::certificates::Authority;
use crate::origin::{Origin, curl};
use crate::support::process::output;
use crate::support::{free_beside, wait_for};

/// A front over TLS with certificates for two names, and its origin.
pub(crate) fn secure() -> (Front, Origin, Authority, u16) {
    let plain = Front::new("", "");
    let https = free_beside(plain.http.ip(), &[plain.http, plain.site.dns, plain.site.admin]);
    let node = std::fs::read_to_string(plain.site.path("config/node.toml")).unwrap();
    let listen = format!("[proxy]\nhttps = [\"{https}\"]\ncertificates = \"certs/\"\n");
    plain.site.write("config/node.toml", &node.replace("[proxy]\n", &listen));
    let authority = Authority::new("front");
    for name in ["a.test", "*.b.test"] {
        let pair = authority.sign(name, -1, 30);
        let file = name.replace('*', "_");
        plain.site.write(&format!("config/certs/{file}.pem"), &pair.chain);
        plain.site.write(&format!("config/certs/{file}.key"), &pair.key);
    }
    plain.site.write("ca.pem", &authority.pem());
    let origin = Origin::saying(
        plain.site.address(10),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: x-own\r\nx-own: 1\r\n\r\n\
         3\r\nyes\r\n0\r\n\r\n",
    );
    let (address, port) = (plain.site.address(10), origin.address.port());
    plain.fleet(&format!(
        "[pool.web]\nendpoints = [{{ region = \"eu\", address = \"{address}\" }}]\n\
         [[route]]\npool = \"web\"\nupstream = {{ port = {port} }}\n"
    ));
    (plain, origin, authority, https.port())
}

#[test]
fn names_are_shown_their_certificates_and_both_versions_are_spoken() {
    let (front, origin, authority, port) = secure();
    let meridian = front.serve();
    let ca = front.site.path("ca.pem").display().to_string();
    let ask = |name: &str, version: &str| {
        let to = format!("{name}:{port}:{}", front.http.ip());
        let url = format!("https://{name}:{port}/x?y=1");
        let shown = "%{stdout} %{http_version} %{ssl_verify_result}";
        curl(&["--cacert", &ca, "--resolve", &to, version, "-w", shown, "-b", "k=v", &url])
    };
    for (name, version, spoken) in [
        ("a.test", "--http2", "2"),
        ("www.b.test", "--http2", "2"),
        ("www.b.test", "--http1.1", "1.1"),
    ] {
        assert_eq!(ask(name, version), format!("yes {spoken} 0"), "{name} {version}");
        let [asked] = &origin.asked()[..] else { panic!("one request") };
        assert!(asked.head.starts_with("GET /x?y=1 HTTP/1.1\r\n"), "{asked:?}");
        assert_eq!(asked.values("host"), [format!("{name}:{port}")]);
        assert_eq!(asked.values("x-forwarded-proto"), ["https"]);
        assert_eq!(asked.values("cookie"), ["k=v"]);
    }
    // In the clear HTTP/2 is known by how it begins.
    let url = format!("http://{}/", front.http);
    let shown = "%{stdout} %{http_version}";
    assert_eq!(curl(&["--http2-prior-knowledge", "-w", shown, &url]), "yes 2");
    // Many requests at a time over few connections, each with a body.
    let body = front.site.path("body");
    std::fs::write(&body, vec![b'x'; 300_000]).unwrap();
    origin.asked();
    let mut load = Command::new("h2load");
    load.args(["-n", "200", "-c", "2", "-m", "10", "-d"]).arg(&body).arg(&url);
    let told = output(&mut load);
    assert!(told.contains("200 succeeded, 0 failed") && told.contains("200 2xx"), "{told}");
    let asked = origin.asked();
    assert!(asked.len() == 200 && asked.iter().all(|one| one.body.len() >= 300_000));
    // A renewed certificate is shown to whoever connects next.
    let other = Authority::new("other");
    for (name, file) in [("a.test", "a.test"), ("*.b.test", "_.b.test")] {
        let pair = other.sign(name, -1, 30);
        front.site.write(&format!("config/certs/{file}.pem"), &pair.chain);
        front.site.write(&format!("config/certs/{file}.key"), &pair.key);
    }
    front.site.write("ca.pem", &other.pem());
    meridian.process.signal("HUP");
    wait_for("the reload", || {
        let reloads = meridian.metric("meridian_reloads_total", &["outcome=\"ok\""]);
        (reloads >= 1.0).then_some(())
    });
    assert_eq!(ask("a.test", "--http2"), "yes 2 0");
    drop(authority);
}
