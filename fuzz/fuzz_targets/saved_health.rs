//! Feeds the fuzzer's inputs to `targets::saved_health`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| meridian_fuzz::targets::saved_health::run(input));
