//! Signed queries (RFC 8945): the signature is verified, and the reply is signed.
//!
//! This path may allocate: secondaries ask so for the SOA, and hardly anyone else.

use super::{Answer, Case, Facts, Reply, Verdict, decide, limit, rcode, write};
use crate::dns::draws::Random;
use crate::dns::tsig::{Chain, Fault, Signature, length};

/// Answers a query whose signature was found by the parser.
pub(super) fn respond(case: &Case<'_>, random: Random<'_>, out: &mut [u8]) -> Answer {
    let keys = &case.snapshot.options.keys;
    let now = u64::from(case.peer.unix_seconds);
    let Some(signature) = Signature::read(case.query, case.parsed.tsig) else {
        return write(case, Verdict::Code(rcode::FORMERR, None), random, out);
    };
    let room = limit(&case.snapshot.options, case.parsed, case.peer.transport).min(out.len());
    // RFC 8945 section 5.3.2: which faults come back signed.
    let (chain, fault) = match Chain::answer(keys, case.query, &signature, now) {
        Ok(chain) => (Some(chain), None),
        Err(Fault::Malformed) => {
            return write(case, Verdict::Code(rcode::FORMERR, None), random, out);
        }
        Err(fault @ (Fault::Time | Fault::Truncated)) => {
            (Chain::late(keys, &signature), Some(fault))
        }
        Err(fault) => (None, Some(fault)),
    };
    let verdict = match (&chain, fault) {
        (Some(chain), None) => decide(case, Some(chain.key())),
        _ => Verdict::Code(rcode::NOTAUTH, None),
    };
    // The record of an unsigned refusal repeats the names of the request, and may be longer.
    let tail = match &chain {
        Some(chain) => length(chain.key()),
        None => case.query.len().saturating_sub(case.parsed.tsig),
    };
    let Some(part) = out.get_mut(..room.saturating_sub(tail)) else { return dropped() };
    let answer = write(case, verdict, random, part);
    let Reply::Length(written) = answer.reply else { return answer };
    let mut reply = part.get(..written).unwrap_or_default().to_vec();
    match (chain, fault) {
        (Some(mut chain), None) => chain.sign(&mut reply, now),
        (Some(mut chain), Some(fault)) => {
            chain.sign_with(&mut reply, now, Some((fault, signature.time())));
        }
        (None, Some(fault)) => signature.refuse(&mut reply, fault),
        (None, None) => {}
    }
    match out.get_mut(..reply.len()) {
        Some(place) => {
            place.copy_from_slice(&reply);
            Answer { reply: Reply::Length(reply.len()), ..answer }
        }
        None => dropped(),
    }
}

fn dropped() -> Answer {
    Answer { reply: Reply::Drop, facts: Facts::default() }
}
