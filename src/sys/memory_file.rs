//! Files in memory, without a name (memfd_create(2)).

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;

/// A file of a fixed size, full of zeros, closed on exec.
///
/// Its size is sealed: whoever maps it can rely on it, whatever other holders of the descriptor do.
///
/// # Errors
/// When memory or descriptors have run out.
pub fn of_size(length: u64) -> io::Result<OwnedFd> {
    let file = File::from(new(MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    file.set_len(length)?;
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}

/// A file that holds these bytes, to be read from its beginning; closed on exec.
///
/// # Errors
/// When memory or descriptors have run out.
pub fn holding(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(new(MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

fn new(flags: MFdFlags) -> io::Result<OwnedFd> {
    Ok(memfd_create(c"ferricorn", flags)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn contents_are_kept_and_sizes_sealed() {
        let mut text = String::new();
        holding(b"kept").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "kept");
        let sealed = File::from(of_size(4096).unwrap());
        assert_eq!(sealed.metadata().unwrap().len(), 4096);
        assert!(sealed.set_len(0).is_err() && sealed.set_len(8192).is_err());
    }
}
