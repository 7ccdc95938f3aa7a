//! `ferricorn jwt`: make keys and replace them, sign tokens, look into them, verify them, revoke them.
#![forbid(unsafe_code)]

mod jwks;
mod jws;
mod keygen;
#[cfg(feature = "issue")]
mod revoke;
mod rotate;
mod sign;
mod source;
mod token;

#[cfg(test)]
mod jws_tests;
#[cfg(test)]
mod tests;

use clap::{Args, Subcommand};
use keygen::Output;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

/// `ferricorn jwt …`
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key: a secret for HS*, a key pair for the others.
    Keygen(keygen::Keygen),
    /// Sign a token.
    Sign(sign::Sign),
    /// Show what a token says, without verifying it.
    #[command(visible_alias = "inspect")]
    Decode(token::Decode),
    /// Verify a token: exit 0 if it is good, 1 with the reason if not.
    Verify(token::Verify),
    /// Verify one compact JWS a line: prints valid or invalid for each. Claims are not judged.
    VerifyJws(jws::VerifyJws),
    /// Print the public halves of keys as a JWK set.
    Jwks(jwks::Jwks),
    /// Put a new key in the place of one, which goes on verifying.
    Rotate(rotate::Rotate),
    /// End sessions that the server has begun, and with them their tokens.
    #[cfg(feature = "issue")]
    Revoke(revoke::Revoke),
}

/// What the command prints, or why it failed.
type Outcome = Result<String, Failure>;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Wrong arguments or a key that cannot be used: exit 2.
    #[error("{0}")]
    Usage(String),
    /// It was done, and the answer is no: exit 1.
    #[error("{0}")]
    Negative(String),
    /// The same for whoever reads JSON, from standard output.
    #[error("{0}")]
    Json(serde_json::Value),
}

/// Runs the command; 0 done (verify: good), 1 not good, 2 wrong arguments or keys.
pub fn run(arguments: Arguments) -> ExitCode {
    let output = if io::stdout().is_terminal() { Output::Terminal } else { Output::Piped };
    let outcome = match arguments.command {
        Command::Keygen(keygen) => keygen.run(output),
        Command::Sign(sign) => sign.run(&mut io::stdin().lock()),
        Command::Decode(decode) => decode.run(&mut io::stdin().lock()),
        Command::Verify(verify) => verify.run(&mut io::stdin().lock()),
        Command::VerifyJws(verify) => verify.run(&mut io::stdin().lock(), &mut io::stdout().lock()),
        Command::Jwks(jwks) => jwks.run(),
        Command::Rotate(rotate) => rotate.run(),
        #[cfg(feature = "issue")]
        Command::Revoke(revoke) => revoke.run(),
    };
    let failure = match outcome {
        Ok(text) => return super::print(&coloured(text, output)),
        Err(failure) => failure,
    };
    match failure {
        Failure::Usage(text) => {
            super::complain(&format!("ferricorn jwt: {text}"));
            ExitCode::from(super::USAGE)
        }
        Failure::Negative(text) => {
            super::complain(&format!("ferricorn jwt: {text}"));
            ExitCode::FAILURE
        }
        Failure::Json(value) => {
            let _told = super::print(&format!("{value}\n"));
            ExitCode::FAILURE
        }
    }
}

/// The word that matters in green, on a terminal whose user has not asked for none (no-color.org).
fn coloured(text: String, output: Output) -> String {
    match text.strip_prefix("good ") {
        Some(rest)
            if output == Output::Terminal
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) =>
        {
            format!("\x1b[32mgood\x1b[0m {rest}")
        }
        Some(_) | None => text,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is the function that map_err takes")]
fn usage(problem: impl ToString) -> Failure {
    Failure::Usage(problem.to_string())
}

/// Text of a token can steer a terminal; what could is shown escaped. JSON escapes C0 itself.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\n' {
            out.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            out.push(character);
        }
    }
    out
}
