//! The farfire command line.
fn main() {}
