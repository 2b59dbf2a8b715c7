//! Feeds the fuzzer's inputs to `targets::overrides`.

#![no_main]

use meridian_fuzz::targets::overrides::run;

// The first input, an empty one, makes what all share; it is not held to the time of others.
libfuzzer_sys::fuzz_target!(init: run(&[]), |input: &[u8]| run(input));
