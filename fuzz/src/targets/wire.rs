//! Any packet into any room: nothing is written beyond it, and what a packet says does not depend
//! on what was read before it.

use meridian::dns::{Parsed, Reply, Transport, engine};

use super::dns_answer::WORLD;
use super::dns_support::peer;
use super::dns_support::sound::decode;

/// The first two octets are the room for the reply, then that of a packet before; the two packets
/// share the rest.
pub fn run(input: &[u8]) {
    let [high, low, split, packets @ ..] = input else { return };
    let room = usize::from(u16::from_be_bytes([*high, *low])) % 4096;
    let (before, packet) = packets.split_at(usize::from(*split).min(packets.len()));
    let mut used = Parsed::default();
    reply(&mut used, before, 4096);
    let told = reply(&mut used, packet, room);
    assert_eq!(told, reply(&mut Parsed::default(), packet, room), "after {before:02x?}");
    if let (Some(told), Some(whole)) = (told, reply(&mut used, packet, 4096)) {
        assert!(told.len() <= room && told[..2] == packet[..2], "{told:02x?} in {room}");
        // A reply is cut, or lacks at most what is advice: additional addresses, an extended error.
        let cut = told[2] & 2 != 0;
        let records = |reply: &[u8]| {
            let message = decode(reply);
            (message.metadata, message.answers, message.authorities)
        };
        assert!(cut || records(&told) == records(&whole), "{told:02x?}, whole {whole:02x?}");
    }
}

fn reply(parsed: &mut Parsed, packet: &[u8], room: usize) -> Option<Vec<u8>> {
    let world = &*WORLD;
    let mut out = vec![0xaa; room];
    parsed.parse(packet);
    engine::locate(world, parsed);
    match engine::respond(world, packet, parsed, peer(Transport::Tcp), 7, &mut out).reply {
        Reply::Length(length) => Some(out[..length].to_vec()),
        Reply::Drop | Reply::Transfer => None,
    }
}
