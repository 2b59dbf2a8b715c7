//! The same zone in Knot DNS, NSD and this server: 20,000 questions, equal answers.

// Tests may fail loudly and measure real time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)] // As above.

#[path = "peers/mesh.rs"]
mod mesh;
#[path = "peers/questions.rs"]
mod questions;
mod support;

use std::fmt::Write as _;

use mesh::ORIGIN;
use support::dns::Client;
use support::free_address;
use support::peers::{knot, nsd};
use support::seeded;
use support::site::Site;
use support::wire::{Ask, Reply, Rr};

/// Number of questions asked.
const QUESTIONS: usize = 20_000;
/// Wrong answers shown when the test fails.
const SHOWN: usize = 12;

const CNAME: u16 = 5;
const SOA: u16 = 6;
const RRSIG: u16 = 46;
const NSEC: u16 = 47;
const YXDOMAIN: u16 = 6;

/// A way in which the two peers answer differently, and what settles it.
struct Settled {
    /// What the peer that is right does.
    what: &'static str,
    /// Where it is written.
    section: &'static str,
    /// Whether a pair of answers differs in this way: Knot's, then NSD's, which is the right one in
    /// all of these.
    applies: fn(&Ask, &Compared, &Compared) -> bool,
}

/// Every difference between the peers over the generated zone. In each NSD is followed.
const SETTLED: [Settled; 4] = [
    Settled {
        what: "a CNAME is followed for RRSIG and NSEC too, where the zone is not signed",
        section: "RFC 1034 section 4.3.2 step 3a",
        applies: |ask, knot, nsd| {
            matches!(ask.rtype, RRSIG | NSEC) && knot.is_start_of(nsd) && nsd.cnames() > 0
        },
    },
    Settled {
        what: "a chain of more than five CNAMEs in the zone is followed to its end",
        section: "RFC 1034 section 4.3.2 step 3a",
        applies: |_, knot, nsd| knot.is_start_of(nsd) && knot.cnames() == 5 && nsd.cnames() > 5,
    },
    Settled {
        what: "a name that a DNAME makes too long is YXDOMAIN",
        section: "RFC 6672 section 2.2",
        applies: |_, knot, nsd| {
            nsd.rcode == YXDOMAIN && knot.rcode == 3 && knot.answer == nsd.answer
        },
    },
    Settled {
        what: "a negative answer without room for the SOA is truncated, not sent without it",
        section: "RFC 2308 section 3, RFC 2181 section 9",
        applies: |ask, knot, nsd| {
            let same = knot.rcode == nsd.rcode && knot.answer == nsd.answer;
            same && !ask.edns && knot.authority.is_empty() && nsd.negative()
        },
    },
];

/// What is compared of a reply; the additional section is advice and differs by design.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Compared {
    rcode: u16,
    aa: bool,
    answer: Vec<Rr>,
    authority: Vec<Rr>,
}

impl From<Reply> for Compared {
    fn from(reply: Reply) -> Self {
        let sorted = |mut records: Vec<Rr>| {
            records.sort();
            records
        };
        Self {
            rcode: reply.rcode,
            aa: reply.aa,
            answer: sorted(reply.answer),
            authority: sorted(reply.authority),
        }
    }
}

impl Compared {
    fn cnames(&self) -> usize {
        self.answer.iter().filter(|rr| rr.rtype == CNAME).count()
    }

    /// Whether all its answers are among those of `whole`, which has more.
    fn is_start_of(&self, whole: &Compared) -> bool {
        self.answer.len() < whole.answer.len()
            && self.answer.iter().all(|rr| whole.answer.contains(rr))
    }

    fn negative(&self) -> bool {
        matches!(self.authority[..], [Rr { rtype: SOA, .. }])
    }
}

#[test]
fn knot_nsd_and_meridian_give_equal_answers() {
    let mut rng = seeded("peers");
    let site = Site::new("home");
    let text = mesh::zone(&mut rng);
    site.write("config/fleet.toml", FLEET);
    site.write("zones/mesh.test.zone", &text);
    let path = site.path("zones/mesh.test.zone");
    let addresses = [10, 11].map(|number| free_address(site.address(number).into()));
    let _knot = knot(&site.path(""), addresses[0], ORIGIN, &path);
    let _nsd = nsd(&site.path(""), addresses[1], ORIGIN, &path);
    let meridian = site.serve();
    let mut clients = [addresses[0], addresses[1], site.dns].map(Client::new);
    let mut seen = [0; SETTLED.len()];
    let (mut wrong, mut report) = (0, String::new());
    for _ in 0..QUESTIONS {
        let ask = questions::question(&mut rng);
        let [knot, nsd, own] = clients.each_mut().map(|client| client.ask_whole(&ask));
        let (knot, nsd): (Compared, Compared) = (knot.unwrap().into(), nsd.unwrap().into());
        if knot != nsd {
            let row = SETTLED.iter().position(|row| (row.applies)(&ask, &knot, &nsd));
            let row = row.unwrap_or_else(|| panic!("not settled: {ask:?}\n{knot:#?}\n{nsd:#?}"));
            seen[row] += 1;
        }
        let own: Result<Compared, String> = own.map(Compared::from);
        if own.as_ref() != Ok(&nsd) {
            wrong += 1;
            if wrong <= SHOWN {
                writeln!(report, "{ask:?}\nexpected {nsd:?}\n     got {own:?}\n").unwrap();
            }
        }
    }
    assert_eq!(wrong, 0, "of {QUESTIONS} answers; the first ones:\n{report}");
    for (row, count) in SETTLED.iter().zip(seen) {
        println!("{count} answers differ between the peers: {} ({})", row.what, row.section);
        assert!(count > 0, "no question shows that {}", row.what);
    }
    drop(meridian);
}

const FLEET: &str = "version = 1\n[region.home]\nlocation = { lat = 50.11, lon = 8.68 }\n";
