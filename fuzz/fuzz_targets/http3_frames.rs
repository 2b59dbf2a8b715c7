//! Feeds the fuzzer's inputs to `targets::http3_frames`.

#![no_main]

use meridian_fuzz::targets::http3_frames::run;

libfuzzer_sys::fuzz_target!(|input: &[u8]| run(input));
