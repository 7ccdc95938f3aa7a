//! Tries the law `response_head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ferricorn::fuzzing::response_head(bytes));
