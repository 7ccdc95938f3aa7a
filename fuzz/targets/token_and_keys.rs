//! Tries the law `token_and_keys`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ferricorn::fuzzing::token_and_keys(bytes));
