//! Feeds the fuzzer's inputs to `targets::client_hello`.

#![no_main]

use meridian_fuzz::targets::client_hello::run;

libfuzzer_sys::fuzz_target!(|input: &[u8]| run(input));
