//! Tries the law `python_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ferricorn::fuzzing::python_request(bytes));
