//! Feeds the fuzzer's inputs to `targets::zone_text`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| meridian_fuzz::targets::zone_text::run(input));
