//! Feeds the fuzzer's inputs to `targets::dns_answer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| meridian_fuzz::targets::dns_answer::run(input));
