//! Tries the law `chunked_content`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ferricorn::fuzzing::chunked_content(bytes));
