//! The program that chooses, in the kernel, the packets that go past it.
//!
//! It sends UDP to the given addresses and ports to the socket of the packet's queue, and all the
//! rest, with whatever is not plain about a packet, on to the kernel as if it were not there.

#![allow(clippy::cast_possible_wrap)] // Offsets are those of headers and of short programs.

use std::net::{IpAddr, SocketAddr};

use super::memory::{FRAME, HEADROOM};
use super::packet::{ETHERNET, IPV4, IPV6, PLAIN_IPV4, PROTOCOL, TYPE_IPV4, TYPE_IPV6, UDP};

/// Addresses that are looked for; each costs a packet of another address a nanosecond.
pub(super) const TARGETS_MAX: usize = 64;

/// Registers of the machine (RFC 9669 section 2.1): results, arguments, and three that calls keep.
const R0: u8 = 0;
const R1: u8 = 1;
const R2: u8 = 2;
const R3: u8 = 3;
const R4: u8 = 4;
const R5: u8 = 5;
const R6: u8 = 6;

/// Operations (RFC 9669 sections 4 and 5).
const LOAD_8: u8 = 0x71;
const LOAD_16: u8 = 0x69;
const LOAD_32: u8 = 0x61;
const LOAD_NUMBER: u8 = 0x18;
const MOVE: u8 = 0xbf;
const MOVE_NUMBER: u8 = 0xb7;
const ADD_NUMBER: u8 = 0x07;
const AND_NUMBER: u8 = 0x57;
const JUMP: u8 = 0x05;
const JUMP_ABOVE: u8 = 0x2d;
const JUMP_EQUAL_32: u8 = 0x16;
const JUMP_NOT_EQUAL_32: u8 = 0x56;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;

/// What a program returns so that the kernel goes on with a packet.
const PASS: i32 = 2;
/// The number of the helper `bpf_redirect_map`.
const REDIRECT: i32 = 51;
/// Places in what a program is told of a packet: start, end, number of the queue.
const START: i16 = 0;
const END: i16 = 4;
const QUEUE: i16 = 16;

/// Where a jump goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    Pass,
    Redirect,
    Ipv4,
}

/// A program under construction.
#[derive(Default)]
struct Program {
    code: Vec<u64>,
    /// Jumps whose goals have no place yet.
    jumps: Vec<(usize, Goal)>,
}

/// The program for packets to `mac` and one of `targets`; `map` holds the sockets.
pub(super) fn assemble(mac: [u8; 6], targets: &[SocketAddr], map: i32) -> Vec<u64> {
    let mut program = Program::default();
    program.add(MOVE, R6, R1, 0, 0);
    program.add(LOAD_32, R2, R1, START, 0);
    program.add(LOAD_32, R3, R1, END, 0);
    program.need(ETHERNET + IPV4 + UDP);
    // What does not fit into a frame would be lost.
    program.add(MOVE, R4, R2, 0, 0);
    program.add(ADD_NUMBER, R4, 0, 0, (FRAME - HEADROOM + 1) as i32);
    program.add(JUMP_ABOVE, R4, R3, 1, 0);
    program.jump(JUMP, 0, 0, Goal::Pass);
    let [m0, m1, m2, m3, m4, m5] = mac;
    program.add(LOAD_32, R5, R2, 0, 0);
    program.jump(JUMP_NOT_EQUAL_32, R5, i32::from_ne_bytes([m0, m1, m2, m3]), Goal::Pass);
    program.must_be(4, [m4, m5]);
    program.add(LOAD_16, R5, R2, 12, 0);
    program.jump(JUMP_EQUAL_32, R5, number(TYPE_IPV4), Goal::Ipv4);
    program.jump(JUMP_NOT_EQUAL_32, R5, number(TYPE_IPV6), Goal::Pass);
    program.ipv6(targets);
    program.place(Goal::Ipv4);
    program.ipv4(targets);
    program.place(Goal::Redirect);
    program.add(LOAD_32, R2, R6, QUEUE, 0);
    // The number of a map stands where its address will be, which takes two places.
    program.add(LOAD_NUMBER, R1, 1, 0, map);
    program.add(0, 0, 0, 0, 0);
    // Where a queue has no socket the packet passes.
    program.add(MOVE_NUMBER, R3, 0, 0, PASS);
    program.add(CALL, 0, 0, 0, REDIRECT);
    program.add(EXIT, 0, 0, 0, 0);
    program.place(Goal::Pass);
    program.add(MOVE_NUMBER, R0, 0, 0, PASS);
    program.add(EXIT, 0, 0, 0, 0);
    program.code
}

impl Program {
    /// Adds an instruction in the form of RFC 9669 section 3.1.
    fn add(&mut self, operation: u8, to: u8, from: u8, offset: i16, number: i32) {
        let registers = to | (from << 4);
        let [low, high] = offset.to_ne_bytes();
        let [n0, n1, n2, n3] = number.to_ne_bytes();
        self.code.push(u64::from_ne_bytes([operation, registers, low, high, n0, n1, n2, n3]));
    }

    /// Adds a jump, taken if the register compares so with the number.
    fn jump(&mut self, operation: u8, register: u8, number: i32, goal: Goal) {
        self.jumps.push((self.code.len(), goal));
        self.add(operation, register, 0, 0, number);
    }

    /// Says that a goal is here: completes the jumps to it.
    fn place(&mut self, goal: Goal) {
        let here = self.code.len();
        for (from, _) in self.jumps.extract_if(.., |(_, wanted)| *wanted == goal) {
            let [low, high] = ((here - from - 1) as i16).to_ne_bytes();
            if let Some(instruction) = self.code.get_mut(from) {
                let [operation, registers, .., n0, n1, n2, n3] = instruction.to_ne_bytes();
                let octets = [operation, registers, low, high, n0, n1, n2, n3];
                *instruction = u64::from_ne_bytes(octets);
            }
        }
    }

    /// Passes packets that have fewer octets than this.
    fn need(&mut self, octets: usize) {
        self.add(MOVE, R4, R2, 0, 0);
        self.add(ADD_NUMBER, R4, 0, 0, octets as i32);
        self.jumps.push((self.code.len(), Goal::Pass));
        self.add(JUMP_ABOVE, R4, R3, 0, 0);
    }

    /// Passes packets that have other octets than these at an offset.
    fn must_be<const N: usize>(&mut self, offset: i16, octets: [u8; N]) {
        self.add(if N == 1 { LOAD_8 } else { LOAD_16 }, R5, R2, offset, 0);
        self.jump(JUMP_NOT_EQUAL_32, R5, number(octets), Goal::Pass);
    }

    fn ipv4(&mut self, targets: &[SocketAddr]) {
        let ip = ETHERNET as i16;
        self.must_be(ip, [PLAIN_IPV4]);
        self.must_be(ip + 9, [PROTOCOL]);
        // RFC 791 section 3.1: more fragments, or not the first one.
        self.add(LOAD_16, R5, R2, ip + 6, 0);
        self.add(AND_NUMBER, R5, 0, 0, number([0x3f, 0xff]));
        self.jump(JUMP_NOT_EQUAL_32, R5, 0, Goal::Pass);
        for target in targets {
            let IpAddr::V4(address) = target.ip() else { continue };
            self.target(ip + 16, &[i32::from_ne_bytes(address.octets())], target.port());
        }
        self.jump(JUMP, 0, 0, Goal::Pass);
    }

    fn ipv6(&mut self, targets: &[SocketAddr]) {
        let ip = ETHERNET as i16;
        self.need(ETHERNET + IPV6 + UDP);
        self.add(LOAD_8, R5, R2, ip, 0);
        self.add(AND_NUMBER, R5, 0, 0, 0xf0);
        self.jump(JUMP_NOT_EQUAL_32, R5, 0x60, Goal::Pass);
        self.must_be(ip + 6, [PROTOCOL]);
        for target in targets {
            let IpAddr::V6(address) = target.ip() else { continue };
            let octets = address.octets();
            let (words, _) = octets.as_chunks();
            let words: Vec<i32> = words.iter().map(|word| i32::from_ne_bytes(*word)).collect();
            self.target(ip + 24, &words, target.port());
        }
        self.jump(JUMP, 0, 0, Goal::Pass);
    }

    /// Redirects packets with this destination address, which stands at an offset, and this port,
    /// which stands behind it and the source port.
    fn target(&mut self, offset: i16, address: &[i32], port: u16) {
        let length = 4 * address.len() as i16;
        // Two instructions a word are left to skip, and those of the port.
        let mut left = 2 * address.len() as i16 + 2;
        for (word, at) in address.iter().zip((offset..).step_by(4)) {
            left -= 2;
            self.add(LOAD_32, R5, R2, at, 0);
            self.add(JUMP_NOT_EQUAL_32, R5, 0, left, *word);
        }
        self.add(LOAD_16, R5, R2, offset + length + 2, 0);
        self.jump(JUMP_EQUAL_32, R5, number(port.to_be_bytes()), Goal::Redirect);
    }
}

/// Octets of the network as a load of as many gives them.
fn number<const N: usize>(octets: [u8; N]) -> i32 {
    match *octets.as_slice() {
        [octet] => i32::from(octet),
        [first, second] => i32::from(u16::from_ne_bytes([first, second])),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_jump_of_the_longest_program_lands_inside_it() {
        for target in ["[2001:db8::1]:53", "192.0.2.1:53"] {
            let targets = vec![target.parse().unwrap(); TARGETS_MAX];
            let code = assemble([2, 0, 0, 0, 0, 1], &targets, 3);
            // The least that every kernel takes.
            assert!(code.len() < 4096, "{}", code.len());
            for (at, instruction) in code.iter().enumerate() {
                let [operation, _, low, high, ..] = instruction.to_ne_bytes();
                let jumps = [0x05, 0x06].contains(&(operation & 7));
                if jumps && ![CALL, EXIT].contains(&operation) {
                    let offset = i16::from_ne_bytes([low, high]);
                    assert!(offset > 0 || (offset == 0 && at + 1 < code.len()), "{at}: {offset}");
                    assert!(at + 1 + (offset as usize) < code.len(), "{at}: {offset}");
                }
            }
        }
    }
}
