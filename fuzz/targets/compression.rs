//! Tries the law `compression`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ferricorn::fuzzing::compression(bytes));
