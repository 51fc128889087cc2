//! The `roundel` command.
#![forbid(unsafe_code)]

fn main() {}
