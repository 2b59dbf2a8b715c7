//! The `dns` check, with real Knot DNS and NSD, and servers that lie.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::rr::{RData, RecordType};
use meridian::model::{Check, DnsCheck, DnsTransport, ExpectedRecord};
use tokio::net::UdpSocket;

use crate::support::free_address;
use crate::support::peers::{knot, nsd};
use crate::{Lab, host};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const ZONE: &str = "$ORIGIN probe.test.\n$TTL 60\n\
    @ SOA ns1 hostmaster 1 7200 900 1209600 300\n@ NS ns1\nns1 A 192.0.2.53\n\
    www A 192.0.2.1\nwww A 192.0.2.2\nwww AAAA 2001:db8::1\nalias CNAME WWW\n\
    @ MX 10 Mail\ntext TXT \"two words\" x\n";

fn dns(name: &str, rtype: RecordType, rcode: u16, expect: &[&str]) -> DnsCheck {
    let record = |text: &&str| {
        let data = RData::try_from_str(rtype, text).unwrap();
        ExpectedRecord { text: (*text).to_owned(), rdata: ExpectedRecord::wire(&data).unwrap() }
    };
    DnsCheck {
        port: 53,
        transport: DnsTransport::Udp,
        name: host(name),
        rtype: rtype.into(),
        recursion: false,
        expect_rcode: rcode,
        expect: expect.iter().map(record).collect(),
    }
}

#[tokio::test]
async fn code_and_records_of_real_servers_are_judged() {
    use RecordType::{A, AAAA, CNAME, MX, TXT};
    let folder = tempfile::tempdir().unwrap();
    let zone = folder.path().join("probe.test.zone");
    fs::write(&zone, ZONE).unwrap();
    let (at_knot, at_nsd) = (free_address(LOCAL), free_address(LOCAL));
    let _knot = knot(folder.path(), at_knot, "probe.test.", &zone);
    let _nsd = nsd(folder.path(), at_nsd, "probe.test.", &zone);
    let www = "www.probe.test.";
    for (case, check, found) in [
        ("the code alone", dns(www, A, 0, &[]), "ok"),
        ("all records", dns(www, A, 0, &["192.0.2.2", "192.0.2.1"]), "ok"),
        ("some of them", dns(www, A, 0, &["192.0.2.1"]), "ok"),
        ("another family", dns(www, AAAA, 0, &["2001:DB8:0::1"]), "ok"),
        ("through an alias", dns("alias.probe.test.", A, 0, &["192.0.2.1"]), "ok"),
        ("the alias", dns("alias.probe.test.", CNAME, 0, &["www.probe.TEST."]), "ok"),
        ("names in any case", dns("probe.test.", MX, 0, &["10 mail.probe.test."]), "ok"),
        ("text", dns("text.probe.test.", TXT, 0, &["\"two words\" x"]), "ok"),
        ("no such name", dns("no.probe.test.", A, 3, &[]), "ok"),
        ("a name of others", dns("example.org.", A, 5, &[]), "ok"),
        (
            "no such name where one should be",
            dns("no.probe.test.", A, 0, &["192.0.2.1"]),
            "status: response code NXDOMAIN, expected NOERROR",
        ),
        (
            "no record",
            dns("probe.test.", AAAA, 0, &["2001:db8::1"]),
            "body: answer has no AAAA, expected `2001:db8::1`",
        ),
    ] {
        for (peer, at) in [("knot", at_knot), ("nsd", at_nsd)] {
            for transport in [DnsTransport::Udp, DnsTransport::Tcp] {
                let check = Check::Dns(DnsCheck { transport, ..check.clone() });
                let words = Lab::plain().found(check, at).await;
                assert_eq!(words, found, "{case}: {peer}, {transport:?}");
            }
        }
    }
    let check = dns("www.probe.test.", A, 0, &["192.0.2.9"]);
    let found = Lab::plain().found(Check::Dns(check), at_knot).await;
    assert!(found.starts_with("body: answer has `192.0.2."), "{found}");
    assert!(found.ends_with("expected `192.0.2.9`"), "{found}");
}

/// A server that replies to each query with these changed copies of it.
async fn liar(replies: fn(&[u8]) -> Vec<Vec<u8>>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            for reply in replies(&query[..length]) {
                socket.send_to(&reply, from).await.unwrap();
            }
        }
    });
    at
}

/// The query turned into an empty answer.
fn answered(query: &[u8]) -> Vec<u8> {
    let mut reply = query.to_vec();
    reply[2] |= 0x80;
    reply
}

#[tokio::test]
async fn what_is_no_reply_to_the_question_is_not_taken_for_one() {
    let lab = Lab { timeout: Duration::from_millis(300), ..Lab::plain() };
    let check = || Check::Dns(dns("www.probe.test.", RecordType::A, 0, &[]));
    let late = "timeout: timed out after 300ms";
    for (case, at, found) in [
        ("a reply", liar(|query| vec![answered(query)]).await, "ok"),
        ("the query itself", liar(|query| vec![query.to_vec()]).await, late),
        ("half of it", liar(|query| vec![answered(query)[..14].to_vec()]).await, late),
        (
            "another id",
            liar(|query| {
                let mut reply = answered(query);
                reply[0] ^= 1;
                vec![reply]
            })
            .await,
            late,
        ),
        (
            "another name",
            liar(|query| {
                let mut reply = answered(query);
                reply[13] = b'v';
                vec![reply]
            })
            .await,
            late,
        ),
        (
            "rubbish before the reply",
            liar(|query| vec![vec![0; 5], query.to_vec(), answered(query)]).await,
            "ok",
        ),
    ] {
        assert_eq!(lab.found(check(), at).await, found, "{case}");
    }
    let nobody = free_address(LOCAL);
    assert_eq!(lab.found(check(), nobody).await, "refused: connection refused");
}
