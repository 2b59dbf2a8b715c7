//! Feeds the fuzzer's inputs to `targets::rdata_text`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| meridian_fuzz::targets::rdata_text::run(input));
