//! Tries the law `python_response`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ferricorn::fuzzing::python_response(bytes));
