//! Randomness from the kernel.
#![expect(unsafe_code, reason = "neither std nor nix offers getrandom(2)")]

use std::io;

/// Eight bytes nobody can foresee, as a number.
///
/// # Errors
/// When the kernel has none to give, which getrandom(2) rules out once the machine has booted.
pub fn number() -> io::Result<u64> {
    let mut bytes = [0_u8; 8];
    loop {
        // SAFETY: the pointer and the length describe `bytes`, which outlives the call.
        let got = unsafe { nix::libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        if usize::try_from(got).is_ok_and(|got| got == bytes.len()) {
            return Ok(u64::from_ne_bytes(bytes));
        }
        // getrandom(2): up to 256 bytes come whole, so anything else is an error, and only a
        // signal before the pool was ready is worth another try.
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_differ() {
        assert_ne!(super::number().unwrap(), super::number().unwrap());
    }
}
