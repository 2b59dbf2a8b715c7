//! Connections as they are spread over the threads.

use crate::Front;
use crate::origin::{Origin, Talk};
use crate::support::wait_for;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";

/// Asks over a connection, which goes on.
fn served(talk: &mut Talk) {
    talk.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(talk.hear().expect("a reply").status, 200);
}

#[test]
fn a_thread_that_most_connections_come_to_hands_some_on() {
    let front = Front::new("drain = \"5s\"", "");
    let address = front.site.address(10);
    let origin = Origin::saying(address, OK);
    front.fleet(&format!(
        "[pool.web]\nendpoints = [{{ region = \"eu\", address = \"{address}\" }}]\n\
         [[route]]\npool = \"web\"\nupstream = {{ port = {} }}\n",
        origin.address.port()
    ));
    let mut meridian = front.serve();
    let held = || {
        let thread = |number: u32| {
            let label = format!("thread=\"{number}\"");
            meridian.metric("meridian_proxy_thread_connections", &[&label])
        };
        [thread(0), thread(1)]
    };
    let handed = || meridian.metric("meridian_proxy_connections_handed_total", &[]);
    // The kernel chooses by the client's port. Those that it gives to the second thread are given
    // up, until the first one has so many that it hands on.
    let mut talks = Vec::new();
    while handed() < 20.0 {
        let (before, passed) = (held(), handed());
        let mut talk = Talk::to(front.http);
        served(&mut talk);
        let now = held();
        assert_eq!(now[0] + now[1], talks.len() as f64 + 1.0, "{now:?}");
        if now[0] > before[0] || handed() > passed {
            talks.push(talk);
        } else {
            drop(talk);
            wait_for("its end", || (held() == before).then_some(()));
        }
        assert!(talks.len() < 500, "{:?} and none is handed on", held());
    }
    let [first, second] = held();
    let mean = f64::midpoint(first, second);
    // Some that were handed on may have been taken for the kernel's choice, and given up.
    assert!(first <= mean * 1.25 + 17.0 && second >= 10.0, "{first} and {second}");
    // All of them go on to be served, also once the node is told to end.
    talks.iter_mut().for_each(served);
    meridian.process.signal("TERM");
    for mut talk in talks {
        assert!(talk.ends());
    }
    let status = meridian.process.wait(crate::support::PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(0));
}
