//! Any message as a signed one: only what the key has signed is believed.

use std::sync::Arc;

use meridian::dns::tsig::{Chain, Signature};
use meridian::model::{Algorithm, Key, Secret};
use meridian::name::Name;

/// The time on all clocks.
const NOW: u64 = 1_800_000_000;

/// The key that the seeds were signed with.
fn key() -> Arc<Key> {
    let name = Name::parse("xfr.", &Name::root()).unwrap();
    let algorithm = Algorithm::HmacSha256;
    Arc::new(Key { name, algorithm, secret: Secret::new(vec![7; 32]) })
}

/// The input is a message.
pub fn run(input: &[u8]) {
    let keys = [key()];
    if let Ok(Some(signature)) = Signature::find(input) {
        assert!(signature.at() >= 12 && signature.at() < input.len());
        let answered = Chain::answer(&keys, input, &signature, NOW);
        if let (Ok(mut chain), true) = (answered, input.len() < 30_000) {
            let mut reply = input[..signature.at()].to_vec();
            chain.sign(&mut reply, NOW);
        }
        let mut refusal = vec![0; 12];
        signature.refuse(&mut refusal, meridian::dns::tsig::Fault::Key);
    }
    let mut asking = Chain::ask(key());
    let mut query = vec![0; 12];
    asking.sign(&mut query, NOW);
    // Nobody but the key's other end signs replies to this very query.
    assert!(asking.verify(input, NOW).is_err());
    sign(input);
}

/// What is signed is believed at the other end, if it is a message at all.
fn sign(input: &[u8]) {
    if !matches!(Signature::find(input), Ok(None)) || input.len() > 30_000 {
        return;
    }
    let mut signed = input.to_vec();
    Chain::ask(key()).sign(&mut signed, NOW);
    // Octets behind the last record belong to no message, so what is behind them is not found.
    if let Ok(Some(signature)) = Signature::find(&signed)
        && signature.at() == input.len()
    {
        assert!(Chain::answer(&[key()], &signed, &signature, NOW).is_ok());
    }
}
