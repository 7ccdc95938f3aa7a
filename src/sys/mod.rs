//! The only unsafe code and the only libc and nix.

pub mod random;
pub mod replace;
