//! `ferricorn print-config`: the effective configuration.

use crate::config::{Flags, ShowOrigin, to_json, to_toml};
use std::process::ExitCode;

/// `ferricorn print-config`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    flags: Flags,
    /// Shape of the output
    #[arg(long, value_enum, default_value_t = Format::Toml)]
    format: Format,
    /// Say of each value where it was set
    #[arg(long)]
    origin: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Toml,
    Json,
}

impl Arguments {
    /// What `--print-config` asks for.
    pub(super) fn plain(flags: Flags) -> Self {
        Self { flags, format: Format::Toml, origin: false }
    }
}

pub(super) fn run(arguments: Arguments) -> ExitCode {
    let loaded = match super::load(arguments.flags) {
        Ok((loaded, _)) => loaded,
        Err(code) => return code,
    };
    let show = if arguments.origin { ShowOrigin::Yes } else { ShowOrigin::No };
    super::print(&match arguments.format {
        Format::Toml => to_toml(&loaded, show),
        Format::Json => to_json(&loaded, show),
    })
}
