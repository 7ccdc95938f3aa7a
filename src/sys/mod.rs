//! The only unsafe code and the only libc and nix.

pub mod openat;
pub mod random;
pub mod replace;
