//! The `icmp` check, on loopback and on addresses nobody has.

use std::net::IpAddr;
use std::time::Duration;

use meridian::model::{Address, Check};

use crate::{Lab, words};

#[tokio::test]
async fn an_echo_comes_back_or_does_not() {
    let lab = Lab { timeout: Duration::from_millis(300), ..Lab::plain() };
    let refused = meridian::probe::icmp_refusal();
    for (address, found) in [
        ("127.0.0.1", &["ok"][..]),
        ("127.77.0.1", &["ok"]),
        ("::1", &["ok"]),
        // Nobody has it; what comes depends on the way to it.
        ("192.0.2.77", &["timeout: timed out after 300ms", "connect: "]),
    ] {
        let address: IpAddr = address.parse().unwrap();
        let outcome = words(&lab.probe(Check::Icmp, Address::Ip(address), 0).await);
        match &refused {
            None => {
                let known = found.iter().any(|start| outcome.starts_with(start));
                assert!(known, "{address}: {outcome}");
            }
            Some(_) => assert!(outcome.starts_with("missed: icmp cannot be sent"), "{outcome}"),
        }
    }
}

#[tokio::test]
async fn many_echoes_at_a_time_do_not_take_each_other_for_replies() {
    if meridian::probe::icmp_refusal().is_some() {
        return;
    }
    let lab = Lab { timeout: Duration::from_secs(2), ..Lab::plain() };
    let (good, none): (IpAddr, IpAddr) =
        ("127.0.0.1".parse().unwrap(), "192.0.2.78".parse().unwrap());
    let short = Lab { timeout: Duration::from_millis(300), ..Lab::plain() };
    let probes = (0..20).map(|_| lab.probe(Check::Icmp, Address::Ip(good), 0));
    let all = async {
        for probe in probes {
            assert_eq!(words(&probe.await), "ok");
        }
    };
    let ((), lost) = tokio::join!(all, short.probe(Check::Icmp, Address::Ip(none), 0));
    assert_ne!(words(&lost), "ok");
}
