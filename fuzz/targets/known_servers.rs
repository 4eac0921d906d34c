#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| farfire::fuzzing::known_servers(data));
