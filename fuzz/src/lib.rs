//! What the fuzz targets do; tests/fuzz_corpus.rs of the server does the same with their seeds.

pub mod targets;
