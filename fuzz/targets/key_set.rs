//! Tries the law `key_set`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ferricorn::fuzzing::key_set(bytes));
