//! Feeds the fuzzer's inputs to `targets::proxy_header`.

#![no_main]

use meridian_fuzz::targets::proxy_header::run;

libfuzzer_sys::fuzz_target!(|input: &[u8]| run(input));
