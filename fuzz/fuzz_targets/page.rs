//! Feeds the fuzzer's inputs to `targets::page`.

#![no_main]

use meridian_fuzz::targets::page::run;

libfuzzer_sys::fuzz_target!(|input: &[u8]| run(input));
