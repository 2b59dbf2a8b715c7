//! Feeds the fuzzer's inputs to `targets::http_framing`.

#![no_main]

use meridian_fuzz::targets::http_framing::run;

libfuzzer_sys::fuzz_target!(|input: &[u8]| run(input));
