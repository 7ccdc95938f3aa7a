//! Passwords as Django stores them: `algorithm$parameters$salt$hash`.
//!
//! Costs are limited: a row that asks for more memory or time than any site uses cannot stall the server.

mod strength;
#[cfg(test)]
mod tests;

pub use strength::Norm;

use crate::sys::huge_pages;
use aws_lc_rs::pbkdf2;
use base64::Engine;
use base64::alphabet::BCRYPT;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD, STANDARD_NO_PAD};
use std::num::NonZeroU32;

/// A stored password, taken apart.
#[derive(Clone)]
pub struct PasswordHash {
    method: Method,
    salt: Vec<u8>,
    digest: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Pbkdf2 {
        sha: Sha,
        rounds: NonZeroU32,
    },
    Argon2 {
        algorithm: argon2::Algorithm,
        version: argon2::Version,
        memory_kib: u32,
        passes: u32,
        lanes: u32,
    },
    Bcrypt {
        cost: u32,
        before: Before,
    },
    Scrypt {
        log_n: u8,
        block: u32,
        lanes: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sha {
    One,
    Two256,
}

/// What is done with a password before bcrypt, which reads no more than 72 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Sha256,
}

/// What Argon2 works in. The next hash in the same memory is spared the clearing of it, and in huge pages it is found without
/// a look into the page tables: together a sixth of the time that a hash takes.
#[derive(Default)]
pub struct HashMemory(Vec<argon2::Block>);

impl HashMemory {
    /// Blocks of any content; `None` when memory has run out.
    fn blocks(&mut self, count: usize) -> Option<&mut [argon2::Block]> {
        if self.0.len() < count {
            // Nothing of what it held is needed.
            self.0 = Vec::new();
            self.0.try_reserve_exact(count).ok()?;
            huge_pages::prefer(self.0.spare_capacity_mut());
            self.0.resize(count, argon2::Block::default());
        }
        self.0.get_mut(..count)
    }
}

impl std::fmt::Debug for HashMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HashMemory({} blocks)", self.0.len())
    }
}

/// Why a stored password is none that anybody can log in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashProblem {
    /// It says that there is no password.
    #[error("it has no password")]
    Unusable,
    /// Its algorithm is none that is supported.
    #[error("its password is stored by an algorithm that is not supported")]
    Unsupported,
    /// It costs more than is allowed.
    #[error("its password's hash costs more than is allowed")]
    TooCostly,
    /// It is malformed.
    #[error("its password's hash is malformed")]
    Malformed,
}

impl PasswordHash {
    /// Takes a stored password apart.
    ///
    /// # Errors
    /// [`HashProblem`].
    pub fn parse(stored: &str) -> Result<Self, HashProblem> {
        // Django's make_password(None): "!" and something at random.
        if stored.is_empty() || stored.starts_with('!') {
            return Err(HashProblem::Unusable);
        }
        let (algorithm, rest) = stored.split_once('$').ok_or(HashProblem::Unsupported)?;
        let parsed = match algorithm {
            "pbkdf2_sha256" => parse_pbkdf2(Sha::Two256, rest),
            "pbkdf2_sha1" => parse_pbkdf2(Sha::One, rest),
            "argon2" => parse_argon2(rest),
            "bcrypt_sha256" => parse_bcrypt(Before::Sha256, rest),
            "bcrypt" => parse_bcrypt(Before::Nothing, rest),
            "scrypt" => parse_scrypt(rest),
            // Unsalted and fast ones are worth nothing to whoever has the table.
            _ => return Err(HashProblem::Unsupported),
        };
        let hash = parsed.ok_or(HashProblem::Malformed)?;
        if hash.method.is_bearable() { Ok(hash) } else { Err(HashProblem::TooCostly) }
    }

    /// What of it decides how long it takes.
    pub(crate) fn cost(&self) -> String {
        format!("{:?}, {} bytes of {}", self.method, self.digest.len(), self.salt.len())
    }

    /// Whether this is the password. Takes a tenth of a second and more.
    pub fn verify(&self, password: &[u8], memory: &mut HashMemory) -> bool {
        if self.digest.is_empty() {
            return false;
        }
        if let Method::Pbkdf2 { sha, rounds } = self.method {
            return pbkdf2::verify(sha.algorithm(), rounds, &self.salt, password, &self.digest).is_ok();
        }
        self.method.derive(&self.salt, password, self.digest.len(), memory).is_some_and(|derived| {
            aws_lc_rs::constant_time::verify_slices_are_equal(&derived, &self.digest).is_ok()
        })
    }

    /// A hash of the same cost that is no password's: for users that are not there.
    #[must_use]
    pub fn decoy(&self) -> Self {
        Self { method: self.method, salt: self.salt.clone(), digest: vec![0; self.digest.len()] }
    }

    /// What is used where no user has been seen yet: Django's default.
    pub fn usual() -> Self {
        let rounds = NonZeroU32::new(1_000_000).unwrap_or(NonZeroU32::MIN);
        Self {
            method: Method::Pbkdf2 { sha: Sha::Two256, rounds },
            salt: vec![b'x'; 22],
            digest: vec![0; 32],
        }
    }
}

/// Hashes a password for our own table: Argon2id. `None` when the system has no randomness or no memory.
pub fn hash(password: &[u8]) -> Option<String> {
    OWN.hash(password, &mut HashMemory::default())
}

/// A hash of the cost of our own table that is no password's.
pub fn own_decoy() -> PasswordHash {
    PasswordHash { method: OWN, salt: vec![0; 16], digest: vec![0; 32] }
}

/// OWASP Password Storage Cheat Sheet: 19 MiB, two passes, one lane.
const OWN: Method = Method::Argon2 {
    algorithm: argon2::Algorithm::Argon2id,
    version: argon2::Version::V0x13,
    memory_kib: 19_456,
    passes: 2,
    lanes: 1,
};

impl Method {
    /// `None` when the parameters are impossible or memory has run out.
    fn derive(self, salt: &[u8], password: &[u8], length: usize, memory: &mut HashMemory) -> Option<Vec<u8>> {
        let mut digest = vec![0; length];
        match self {
            Self::Pbkdf2 { sha, rounds } => {
                pbkdf2::derive(sha.algorithm(), rounds, salt, password, &mut digest);
            }
            Self::Argon2 { algorithm, version, memory_kib, passes, lanes } => {
                let params = argon2::Params::new(memory_kib, passes, lanes, Some(length)).ok()?;
                let blocks = memory.blocks(params.block_count())?;
                let argon2 = argon2::Argon2::new(algorithm, version, params);
                argon2.hash_password_into_with_memory(password, salt, &mut digest, blocks).ok()?;
            }
            Self::Bcrypt { cost, before } => {
                let mut text = match before {
                    Before::Nothing => password.to_vec(),
                    Before::Sha256 => hex(&sha256(password)),
                };
                // bcrypt reads its password with the NUL at its end, and no more than 72 bytes.
                text.push(0);
                text.truncate(72);
                let whole = bcrypt::bcrypt(cost, salt.try_into().ok()?, &text);
                digest.copy_from_slice(whole.get(..length)?);
            }
            Self::Scrypt { log_n, block, lanes } => {
                let params = scrypt::Params::new(log_n, block, lanes).ok()?;
                scrypt::scrypt(password, salt, &params, &mut digest).ok()?;
            }
        }
        Some(digest)
    }

    /// Ten times what Django asks for by default, about.
    fn is_bearable(self) -> bool {
        match self {
            Self::Pbkdf2 { rounds, .. } => rounds.get() <= 10_000_000,
            Self::Argon2 { memory_kib, passes, lanes, .. } => {
                memory_kib <= 256 << 10 && passes <= 16 && (1..=64).contains(&lanes)
            }
            Self::Bcrypt { cost, .. } => (4..=15).contains(&cost),
            Self::Scrypt { log_n, block, lanes } => {
                // 128 N r bytes of memory, and p times the work.
                log_n <= 20 && (1..=32).contains(&block) && (1..=16).contains(&lanes) && {
                    (128_u64 << log_n) * u64::from(block) <= 256 << 20
                }
            }
        }
    }
}

impl Sha {
    fn algorithm(self) -> pbkdf2::Algorithm {
        match self {
            Self::One => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Two256 => pbkdf2::PBKDF2_HMAC_SHA256,
        }
    }

    /// As much is derived of a password: Django derives it anew as long as the hash, and compares the whole.
    fn digest_bytes(self) -> usize {
        match self {
            Self::One => 20,
            Self::Two256 => 32,
        }
    }
}

/// `rounds$salt$digest`
fn parse_pbkdf2(sha: Sha, text: &str) -> Option<PasswordHash> {
    let [rounds, salt, digest] = parts(text)?;
    let method = Method::Pbkdf2 { sha, rounds: rounds.parse().ok()? };
    let digest = STANDARD.decode(digest).ok().filter(|digest| (16..=64).contains(&digest.len()))?;
    Some(PasswordHash { method, salt: salt.into(), digest })
}

/// `argon2id$v=19$m=102400,t=2,p=8$salt$digest`, the PHC string format
fn parse_argon2(text: &str) -> Option<PasswordHash> {
    let [algorithm, version, costs, salt, digest] = parts(text)?;
    let mut costs = costs.split(',');
    let mut cost = |name: &str| costs.next()?.strip_prefix(name)?.parse().ok();
    let method = Method::Argon2 {
        algorithm: algorithm.parse().ok()?,
        version: version.strip_prefix("v=")?.parse::<u32>().ok()?.try_into().ok()?,
        memory_kib: cost("m=")?,
        passes: cost("t=")?,
        lanes: cost("p=")?,
    };
    if costs.next().is_some() {
        return None;
    }
    let decode = |text: &str| STANDARD_NO_PAD.decode(text).ok();
    let digest = decode(digest).filter(|digest| (16..=64).contains(&digest.len()))?;
    Some(PasswordHash { method, salt: decode(salt)?, digest })
}

/// `$2b$12$` and 53 letters of salt and digest: Django keeps the whole of what bcrypt wrote behind its own name.
fn parse_bcrypt(before: Before, text: &str) -> Option<PasswordHash> {
    let ["", version, cost, rest] = parts(text)? else { return None };
    // 2x and 2 are of implementations with known faults.
    if !["2a", "2b", "2y"].contains(&version) || rest.len() != 53 || !rest.is_ascii() {
        return None;
    }
    let letters = GeneralPurpose::new(&BCRYPT, LENIENT);
    let (salt, digest) = rest.split_at(22);
    let method = Method::Bcrypt { cost: cost.parse().ok()?, before };
    Some(PasswordHash { method, salt: letters.decode(salt).ok()?, digest: letters.decode(digest).ok()? })
}

/// The last letter of a bcrypt salt has bits that stand for nothing, and some writers leave them as they come.
const LENIENT: base64::engine::GeneralPurposeConfig = NO_PAD.with_decode_allow_trailing_bits(true);

/// `16384$salt$8$5$digest`
fn parse_scrypt(text: &str) -> Option<PasswordHash> {
    let [work, salt, block, lanes, digest] = parts(text)?;
    let work: u64 = work.parse().ok().filter(|work: &u64| work.is_power_of_two())?;
    let log_n = u8::try_from(work.trailing_zeros()).ok()?;
    let method = Method::Scrypt { log_n, block: block.parse().ok()?, lanes: lanes.parse().ok()? };
    let digest = STANDARD.decode(digest).ok().filter(|digest| (16..=128).contains(&digest.len()))?;
    Some(PasswordHash { method, salt: salt.into(), digest })
}

fn parts<const N: usize>(text: &str) -> Option<[&str; N]> {
    text.split('$').collect::<Vec<_>>().try_into().ok()
}

fn sha256(password: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, password).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.method.fmt(f)
    }
}
