//! Feeds the fuzzer's inputs to `targets::config_toml`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| meridian_fuzz::targets::config_toml::run(input));
