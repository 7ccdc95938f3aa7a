//! Tries the law `forwarded`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ferricorn::fuzzing::forwarded(bytes));
