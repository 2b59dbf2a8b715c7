//! The emulator itself, with real packets: what it adds is what it was told to.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::emulator::Emulator;
use crate::link::Profile;
use crate::namespace::Namespace;
use crate::tun::{self, DEVICE};

const MS: Duration = Duration::from_millis(1);
const PACKETS: u32 = 500;

/// Two sites with nothing but their devices, the network between them, and a socket at each.
struct Pair {
    emulator: Emulator,
    near: UdpSocket,
    far: UdpSocket,
    _sites: [Namespace; 2],
}

impl Pair {
    fn new(profile: Profile) -> Self {
        let sites = [1, 2].map(|_| Namespace::new());
        let devices = sites.iter().zip(1..).map(|(site, number)| {
            let device = tun::open(site);
            site.ip(&format!(
                "addr add 10.213.{number}.1/24 dev {DEVICE}\nroute add 10.213.0.0/16 dev {DEVICE}"
            ));
            (number, device)
        });
        let devices = devices.collect();
        let emulator = Emulator::start(devices, &[((1, 2), profile), ((2, 1), profile)], 7);
        let socket = |site: &Namespace, own: u8, other: u8| {
            site.run(move || {
                let socket = UdpSocket::bind(format!("10.213.{own}.1:4000")).unwrap();
                socket.connect(format!("10.213.{other}.1:4000")).unwrap();
                socket.set_read_timeout(Some(2_000 * MS)).unwrap();
                socket
            })
        };
        let (near, far) = (socket(&sites[0], 1, 2), socket(&sites[1], 2, 1));
        Self { emulator, near, far, _sites: sites }
    }

    /// Sends packets with their numbers, 1 ms apart; gives number and time under way of each that
    /// comes within half a second after the last.
    fn cross(&self) -> Vec<(u32, Duration)> {
        let (near, far) = (self.near.try_clone().unwrap(), self.far.try_clone().unwrap());
        far.set_read_timeout(Some(500 * MS)).unwrap();
        let start = Instant::now();
        let sender = std::thread::spawn(move || {
            (0..PACKETS).for_each(|number| {
                let due = start + number * MS;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let sent = start.elapsed().as_micros() as u64;
                near.send(&[&number.to_be_bytes()[..], &sent.to_be_bytes()].concat()).unwrap();
            });
        });
        let (mut come, mut buffer) = (Vec::new(), [0; 64]);
        while let Ok(length) = far.recv(&mut buffer) {
            let (number, sent) = buffer[..length].split_at(4);
            let sent = Duration::from_micros(u64::from_be_bytes(sent.try_into().unwrap()));
            let number = u32::from_be_bytes(number.try_into().unwrap());
            come.push((number, start.elapsed().checked_sub(sent).unwrap()));
        }
        sender.join().unwrap();
        come
    }
}

#[test]
#[ignore = "takes root, for network namespaces; scripts/test runs it"]
fn packets_are_delayed_lost_reordered_and_cut_as_told() {
    let plain = Profile { delay: 40 * MS, jitter: 10 * MS, ..Profile::default() };
    let pair = Pair::new(plain);
    // A machine that is busy delays more; what it added is known.
    let come = pair.cross();
    let lag = pair.emulator.take_lag() + 20 * MS;
    assert_eq!(come.len(), PACKETS as usize);
    assert!(come.is_sorted_by_key(|(number, _)| *number));
    for (number, took) in &come {
        assert!(*took >= 40 * MS && *took <= 50 * MS + lag, "{number}: {took:?}, lag {lag:?}");
    }
    assert!(come.iter().any(|(_, took)| *took > 45 * MS));

    pair.emulator.change(|_| true, |profile| (profile.loss, profile.reorder) = (0.1, 0.05));
    let come = pair.cross();
    let lost = PACKETS as usize - come.len();
    assert!((20..100).contains(&lost), "{lost} lost");
    assert_eq!(pair.emulator.counts((1, 2)).lost, lost as u64);
    let overtaken = come.windows(2).filter(|pair| pair[0].0 > pair[1].0).count();
    assert!((5..80).contains(&overtaken), "{overtaken} overtaken");

    pair.emulator.cut(2, true);
    assert_eq!(pair.cross(), []);
    pair.emulator.cut(2, false);
    assert!(!pair.cross().is_empty());
}
