//! Feeds the fuzzer's inputs to `targets::edns_ecs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| meridian_fuzz::targets::edns_ecs::run(input));
