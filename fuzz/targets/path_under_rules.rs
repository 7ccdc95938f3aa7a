//! Tries the law `path_under_rules`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ferricorn::fuzzing::path_under_rules(bytes));
