//! Feeds the fuzzer's inputs to `targets::request_head`.

#![no_main]

use meridian_fuzz::targets::request_head::run;

libfuzzer_sys::fuzz_target!(|input: &[u8]| run(input));
