//! Tests of signatures, some with another implementation at the other end.

use hickory_proto::rr::Name as OtherName;
use hickory_proto::rr::TSigner;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;

use super::*;
use crate::model::Secret;
use crate::name::Name;

const NOW: u64 = 1_800_000_000;

fn key(name: &str, algorithm: Algorithm, secret: u8) -> Arc<Key> {
    let name = Name::parse(name, &Name::root()).unwrap();
    Arc::new(Key { name, algorithm, secret: Secret::new(vec![secret; 32]) })
}

fn own() -> Arc<Key> {
    key("xfr.", Algorithm::HmacSha256, 7)
}

/// A query for an SOA, or the reply to it.
fn message(flags: u8) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, flags, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(b"\x07example\x00\x00\x06\x00\x01");
    message
}

fn signed(key: &Arc<Key>) -> (Vec<u8>, Chain) {
    let mut chain = Chain::ask(key.clone());
    let mut request = message(0);
    chain.sign(&mut request, NOW);
    (request, chain)
}

fn answered(keys: &[Arc<Key>], request: &[u8], now: u64) -> Result<Chain, Fault> {
    let signature = Signature::find(request)?.ok_or(Fault::Malformed)?;
    Chain::answer(keys, request, &signature, now)
}

#[test]
fn an_exchange_of_many_messages_verifies_at_both_ends() {
    for (_, algorithm) in Algorithm::ALL {
        let key = key("Xfr.Example.", algorithm, 1);
        let (request, mut ask) = signed(&key);
        let mut answer = answered(&[own(), key.clone()], &request, NOW + 200).unwrap();
        for number in 0..10 {
            let mut reply = message(0x84);
            // Some in between are not signed, as other servers do.
            if number % 3 == 0 {
                answer.sign(&mut reply, NOW + number);
                assert!(reply.len() <= message(0).len() + length(&key));
                let read = ask.verify(&reply, NOW + number);
                assert_eq!(read, Ok(message(0).len()), "{algorithm:?} {number}");
                assert!(ask.is_complete());
            } else {
                answer.unsigned.extend_from_slice(&reply);
                assert_eq!(ask.verify(&reply, NOW), Ok(reply.len()));
                assert!(!ask.is_complete());
            }
        }
    }
}

#[test]
fn another_implementation_takes_what_is_signed_here() {
    for (algorithm, other) in [
        (Algorithm::HmacSha256, TsigAlgorithm::HmacSha256),
        (Algorithm::HmacSha384, TsigAlgorithm::HmacSha384),
        (Algorithm::HmacSha512, TsigAlgorithm::HmacSha512),
    ] {
        let key = key("xfr.", algorithm, 9);
        let name = OtherName::from_ascii("xfr.").unwrap();
        let signer = TSigner::new(vec![9; 32], other, name, 300).unwrap();
        let (request, _) = signed(&key);
        let (mac, time, _) = signer.verify_message_byte(&request, None, true).unwrap();
        assert_eq!(time, NOW);
        let mut answer = answered(&[key], &request, NOW).unwrap();
        let (mut first, mut second) = (message(0x84), message(0x84));
        answer.sign(&mut first, NOW);
        answer.sign(&mut second, NOW);
        let (mac, ..) = signer.verify_message_byte(&first, Some(&mac), true).unwrap();
        signer.verify_message_byte(&second, Some(&mac), false).unwrap();
    }
}

#[test]
fn every_changed_bit_is_noticed() {
    let (request, _) = signed(&own());
    assert!(answered(&[own()], &request, NOW).is_ok());
    for bit in 0..request.len() * 8 {
        let mut changed = request.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        // The number is covered as the record repeats it, and the case of names as folded.
        let folded = changed.eq_ignore_ascii_case(&request) && bit / 8 >= message(0).len();
        if bit >= 16 && !folded {
            assert!(answered(&[own()], &changed, NOW).is_err(), "bit {bit}");
        }
    }
    for length in 0..request.len() {
        assert!(answered(&[own()], &request[..length], NOW).is_err(), "{length} octets");
    }
}

#[test]
fn faults_are_told_apart() {
    let (request, _) = signed(&own());
    let other_secret = key("xfr.", Algorithm::HmacSha256, 8);
    let other_name = key("abc.", Algorithm::HmacSha256, 7);
    let other_hash = key("xfr.", Algorithm::HmacSha512, 7);
    for (what, keys, now, expected) in [
        ("no key", vec![], NOW, Fault::Key),
        ("another name", vec![other_name], NOW, Fault::Key),
        ("another algorithm", vec![other_hash], NOW, Fault::Key),
        ("another secret", vec![other_secret], NOW, Fault::Signature),
        ("too late", vec![own()], NOW + 301, Fault::Time),
        ("too early", vec![own()], NOW - 301, Fault::Time),
    ] {
        assert_eq!(answered(&keys, &request, now).err(), Some(expected), "{what}");
    }
    let plain = message(0);
    assert!(matches!(Signature::find(&plain), Ok(None)));
    let mut followed = request.clone();
    followed.push(0);
    assert_eq!(answered(&[own()], &followed, NOW).err(), Some(Fault::Malformed));
}

#[test]
fn shortened_signatures_are_told_from_wrong_ones() {
    let (request, _) = signed(&own());
    let signature = Signature::find(&request).unwrap().unwrap();
    for (octets, wrong, expected) in [
        (16, false, Fault::Truncated),
        (31, false, Fault::Truncated),
        (16, true, Fault::Signature),
        (15, false, Fault::Malformed),
        (0, false, Fault::Malformed),
    ] {
        let mut mac = signature.record.mac[..octets].to_vec();
        if wrong {
            mac[0] ^= 1;
        }
        let mut shortened = request[..signature.at].to_vec();
        shortened[11] = 0;
        Record { mac: &mac, ..signature.record.clone() }.append(&mut shortened);
        assert_eq!(answered(&[own()], &shortened, NOW).err(), Some(expected), "{octets} {wrong}");
    }
}

#[test]
fn replies_belong_to_their_request_and_order() {
    let (request, mut ask) = signed(&own());
    let mut answer = answered(&[own()], &request, NOW).unwrap();
    let mut replies = [message(0x84), message(0x84), message(0x84)];
    for reply in &mut replies {
        answer.sign(reply, NOW);
    }
    assert!(ask.verify(&replies[1], NOW).is_err(), "the second first");
    assert!(ask.verify(&message(0x84), NOW).is_err(), "the first without a signature");
    assert!(ask.verify(&replies[0], NOW).is_ok());
    assert!(ask.verify(&replies[2], NOW).is_err(), "the third second");
    assert!(ask.verify(&replies[0], NOW).is_err(), "the first again");
    for _ in 0..UNSIGNED_MAX {
        assert!(ask.verify(&message(0x84), NOW).is_ok());
    }
    assert!(ask.verify(&message(0x84), NOW).is_err(), "a hundred without a signature");
}

#[test]
fn a_wrong_clock_is_told_under_a_signature() {
    let (request, mut ask) = signed(&own());
    let signature = Signature::find(&request).unwrap().unwrap();
    let mut late = Chain::late(&[own()], &signature).unwrap();
    let mut reply = message(0x84);
    late.sign_with(&mut reply, NOW + 900, Some((Fault::Time, signature.time())));
    assert!(ask.verify(&reply, NOW).is_ok());
    let told = Signature::find(&reply).unwrap().unwrap().record;
    assert_eq!((told.error, told.other), (18, &(NOW + 900).to_be_bytes()[2..]));
}
