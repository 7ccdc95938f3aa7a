//! The operating system, each call with types and without surprises.
//!
//! The only place that may hold `unsafe` and name libc, nix, socket2 and signal-hook. Every function here is safe
//! to call; descriptors are owned or borrowed, never bare numbers, except where a number comes from outside. `field_value` is
//! no call of the system; it is here for its `unsafe`.
#![expect(unsafe_code, reason = "fork, mmap, _exit and inherited descriptors have no safe wrapper")]

pub mod app_fork;
#[cfg(feature = "python")]
pub mod arenas;
pub mod channel;
pub mod clock;
#[cfg(feature = "python")]
pub mod collapse;
pub mod command;
pub mod control_socket;
pub mod cpu;
pub mod env;
pub mod exec;
pub mod fd_store;
pub mod field_value;
pub mod fork;
pub mod huge_pages;
pub mod inherit;
#[cfg(feature = "python")]
pub mod libuv;
pub mod limits;
pub mod long_turns;
pub mod memory_cgroup;
pub mod memory_file;
pub mod memory_use;
pub mod openat;
pub mod poll;
pub mod presence;
pub mod privileges;
pub mod process;
pub mod process_group;
pub mod random;
pub mod replace;
pub mod reserved_signals;
pub mod send;
pub mod shared_memory;
pub mod signals;
pub mod socket;
pub mod systemd;
pub mod terminal;
pub mod thread_signal;
pub mod thread_time;
pub mod title;
pub mod transfer;
pub mod unix_socket;
pub mod unsent;
pub mod wait;
pub mod watch;

pub use fork::ForkHooks;
pub use process::Pid;
