//! Feeds the fuzzer's inputs to `targets::mmdb`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| meridian_fuzz::targets::mmdb::run(input));
