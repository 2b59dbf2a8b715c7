//! Feeds the fuzzer's inputs to `targets::cache_rules`.

#![no_main]

use meridian_fuzz::targets::cache_rules::run;

libfuzzer_sys::fuzz_target!(|input: &[u8]| run(input));
