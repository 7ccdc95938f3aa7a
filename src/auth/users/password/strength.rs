//! Hashes that cost less than they should, and what takes their place.

use super::{Before, HashMemory, Method, OWN, PasswordHash, Sha};
use base64::Engine;
use base64::alphabet::BCRYPT;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD, STANDARD_NO_PAD};
use std::num::NonZeroU32;

/// What hashes of a table should cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// As Django 5.2 makes them, by the algorithm that they have: a project may know no other.
    Django,
    /// As we make them.
    Own,
}

impl PasswordHash {
    /// The password hashed anew, as it is stored, where this hash of it costs less than the norm asks for. Takes as long
    /// as to verify one. `None`: it is good as it is, or there is no randomness or memory.
    pub fn strengthened(&self, norm: Norm, password: &[u8], memory: &mut HashMemory) -> Option<String> {
        self.method.stronger(norm)?.hash(password, memory)
    }
}

impl Method {
    /// Only ever more of anything: a project may ask for more than the norm.
    pub(super) fn stronger(self, norm: Norm) -> Option<Self> {
        let stronger = match (norm, self) {
            (Norm::Own, Self::Argon2 { algorithm, version, memory_kib, passes, lanes }) => {
                let Self::Argon2 { memory_kib: memory, passes: least, .. } = OWN else { return None };
                let is_ours = algorithm == argon2::Algorithm::Argon2id && version == argon2::Version::V0x13;
                if is_ours && memory_kib >= memory && passes >= least && lanes >= 1 { self } else { OWN }
            }
            (Norm::Own, _) => OWN,
            (Norm::Django, Self::Pbkdf2 { sha, rounds }) => {
                Self::Pbkdf2 { sha, rounds: rounds.max(NonZeroU32::new(1_000_000)?) }
            }
            (Norm::Django, Self::Argon2 { memory_kib, passes, lanes, .. }) => Self::Argon2 {
                algorithm: argon2::Algorithm::Argon2id,
                version: argon2::Version::V0x13,
                memory_kib: memory_kib.max(102_400),
                passes: passes.max(2),
                lanes: lanes.max(8),
            },
            (Norm::Django, Self::Bcrypt { cost, before }) => Self::Bcrypt { cost: cost.max(12), before },
            (Norm::Django, Self::Scrypt { log_n, block, lanes }) => {
                Self::Scrypt { log_n: log_n.max(14), block: block.max(8), lanes: lanes.max(5) }
            }
        };
        // What is past the limits could not be read back.
        (stronger != self && stronger.is_bearable()).then_some(stronger)
    }

    /// The hash of a password, with a new salt.
    pub(super) fn hash(self, password: &[u8], memory: &mut HashMemory) -> Option<String> {
        let mut derived = |salt: &[u8], length| self.derive(salt, password, length, memory);
        Some(match self {
            Self::Pbkdf2 { sha, rounds } => {
                let salt = letters()?;
                let digest = STANDARD.encode(derived(salt.as_bytes(), sha.digest_bytes())?);
                format!("{}${rounds}${salt}${digest}", self.name())
            }
            Self::Scrypt { log_n, block, lanes } => {
                let (salt, work) = (letters()?, 1_u64 << log_n);
                let digest = STANDARD.encode(derived(salt.as_bytes(), 64)?);
                format!("scrypt${work}${salt}${block}${lanes}${digest}")
            }
            Self::Argon2 { algorithm, version, memory_kib, passes, lanes } => {
                let salt = letters()?;
                let digest = STANDARD_NO_PAD.encode(derived(salt.as_bytes(), 32)?);
                let salt = STANDARD_NO_PAD.encode(salt);
                let (algorithm, version) = (algorithm.as_str(), u32::from(version));
                format!("argon2${algorithm}$v={version}$m={memory_kib},t={passes},p={lanes}${salt}${digest}")
            }
            Self::Bcrypt { cost, .. } => {
                let salt: [u8; 16] = random()?;
                let alphabet = GeneralPurpose::new(&BCRYPT, NO_PAD);
                let (digest, salt) = (alphabet.encode(derived(&salt, 23)?), alphabet.encode(salt));
                format!("{}$$2b${cost:02}${salt}{digest}", self.name())
            }
        })
    }

    /// As Django calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Pbkdf2 { sha: Sha::One, .. } => "pbkdf2_sha1",
            Self::Pbkdf2 { sha: Sha::Two256, .. } => "pbkdf2_sha256",
            Self::Argon2 { .. } => "argon2",
            Self::Bcrypt { before: Before::Nothing, .. } => "bcrypt",
            Self::Bcrypt { before: Before::Sha256, .. } => "bcrypt_sha256",
            Self::Scrypt { .. } => "scrypt",
        }
    }
}

fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(bytes)
}

/// A salt as Django makes it: so many letters have more than 128 bits. It counts what is stored as letters, and hashes
/// anew at its next login what has fewer.
fn letters() -> Option<String> {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    Some(random::<22>()?.iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect())
}
