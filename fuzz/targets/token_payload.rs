//! Tries the law `token_payload`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ferricorn::fuzzing::token_payload(bytes));
