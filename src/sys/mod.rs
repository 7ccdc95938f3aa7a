//! The only unsafe code and the only libc and nix.

pub mod replace;
