//! Certificates of clients: asked for by the listener, judged by routes.

use std::net::SocketAddr;
use std::process::Command;

use crate::Front;
use crate::certificates::Authority;
use crate::origin::{Origin, curl};
use crate::support::{free_beside, wait_for};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";

/// Certificates of the listener and of two clients, one of whom is not known.
fn lay_out(front: &Front, clients: &Authority, others: &Authority) {
    let server = Authority::new("front");
    let pair = server.sign("*.test", -1, 30);
    front.site.write("config/certs/a.pem", &pair.chain);
    front.site.write("config/certs/a.key", &pair.key);
    front.site.write("config/clients.pem", &clients.pem());
    front.site.write("ca.pem", &server.pem());
    for (name, authority) in [("own", clients), ("other", others)] {
        let pair = authority.sign("client.test", -1, 30);
        front.site.write(&format!("{name}.pem"), &pair.chain);
        front.site.write(&format!("{name}.key"), &pair.key);
    }
}

/// The status that curl gets: over a connection for one name a request for a host, by a client that
/// shows a certificate or none.
fn ask(front: &Front, https: SocketAddr, (sni, host): (&str, &str), shown: Option<&str>) -> String {
    let file = |name: &str| front.site.path(name).display().to_string();
    let mut command = Command::new("curl");
    command.args(["--silent", "--insecure", "-o", "/dev/null", "-w", "%{http_code}"]);
    command.args(["--cacert", &file("ca.pem"), "-H", &format!("Host: {host}")]);
    command.args(["--resolve", &format!("{sni}:{}:{}", https.port(), https.ip())]);
    command.args(["-H", "Client-Cert: :Zm9yZ2Vk:"]);
    if let Some(shown) = shown {
        command.args(["--cert", &file(&format!("{shown}.pem"))]);
        command.args(["--key", &file(&format!("{shown}.key"))]);
    }
    let output = command.arg(format!("https://{sni}:{}/", https.port())).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn routes_judge_the_certificates_that_the_listener_asks_for() {
    let front = Front::new("", "");
    let https = free_beside(front.http.ip(), &[front.http, front.site.dns, front.site.admin]);
    let node = std::fs::read_to_string(front.site.path("config/node.toml")).unwrap();
    let listen = format!(
        "[proxy]\nhttps = [\"{https}\"]\ncertificates = \"certs/\"\nclient_ca = \"clients.pem\"\n"
    );
    front.site.write("config/node.toml", &node.replace("[proxy]\n", &listen));
    let (clients, others) = (Authority::new("clients"), Authority::new("others"));
    lay_out(&front, &clients, &others);
    let origin = Origin::saying(front.site.address(10), OK);
    let (address, port) = (front.site.address(10), origin.address.port());
    let route = |host: &str, rule: &str| {
        format!(
            "[[route]]\nhosts = [\"{host}.test\"]\npool = \"web\"\nupstream = {{ port = {port} }}\n\
             client_certificate = \"{rule}\"\n"
        )
    };
    front.fleet(&format!(
        "[pool.web]\nendpoints = [{{ region = \"eu\", address = \"{address}\" }}]\n{}{}{}",
        route("off", "off"),
        route("may", "optional"),
        route("must", "required")
    ));
    let meridian = front.serve();
    let ask = |sni, host, shown| ask(&front, https, (sni, host), shown);
    for (case, sni, host, shown, status, told) in [
        ("off", "off.test", "off.test", Some("own"), "200", false),
        ("optional, none", "may.test", "may.test", None, "200", false),
        ("optional, one", "may.test", "may.test", Some("own"), "200", true),
        ("required, none", "must.test", "must.test", None, "403", false),
        ("required, one", "must.test", "must.test", Some("own"), "200", true),
        ("another authority's", "must.test", "must.test", Some("other"), "000", false),
        ("over another name", "off.test", "must.test", Some("own"), "421", false),
    ] {
        assert_eq!(ask(sni, host, shown), status, "{case}");
        let asked = origin.asked();
        assert_eq!(asked.len(), usize::from(status == "200"), "{case}");
        for asked in asked {
            let values = asked.values("client-cert");
            assert_eq!(values.len(), usize::from(told), "{case}: {asked:?}");
            assert!(values.iter().all(|value| value.starts_with(":MII") && value.ends_with(':')));
        }
    }
    // In the clear nothing was shown.
    let url = format!("http://{}/", front.http);
    let shown = curl(&["-H", "Host: must.test", "-w", "%{http_code}", "-o", "/dev/null", &url]);
    assert_eq!(shown, "403");
    // Other authorities hold for whoever connects next.
    front.site.write("config/clients.pem", &others.pem());
    meridian.process.signal("HUP");
    wait_for("the reload", || {
        let reloads = meridian.metric("meridian_reloads_total", &["outcome=\"ok\""]);
        (reloads >= 1.0).then_some(())
    });
    assert_eq!(ask("must.test", "must.test", Some("other")), "200");
    assert_eq!(ask("must.test", "must.test", Some("own")), "000");
}
