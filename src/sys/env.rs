//! The environment of this process.

use super::process;
use std::ffi::OsStr;
use std::io;

/// Sets an environment variable, in a process that has one thread.
///
/// # Errors
/// When there are several threads, one of which may be reading the environment (setenv(3) is not thread-safe); when
/// the name is empty or holds `=` or a zero byte, or the value a zero byte.
pub fn set(name: &OsStr, value: &OsStr) -> io::Result<()> {
    let bytes = name.as_encoded_bytes();
    if bytes.is_empty()
        || bytes.contains(&b'=')
        || bytes.contains(&0)
        || value.as_encoded_bytes().contains(&0)
    {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a name and value of an environment variable",
        ));
    }
    if process::thread_count()? != 1 {
        return Err(io::Error::other("the environment can be changed only while there is one thread"));
    }
    #[expect(clippy::disallowed_methods, reason = "this is the one place that checks for further threads")]
    // SAFETY: there is no other thread, checked above, so nobody reads the environment meanwhile.
    unsafe {
        std::env::set_var(name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_or_value_is_refused() {
        for (name, value) in [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "x\0")] {
            let error = set(OsStr::new(name), OsStr::new(value)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name:?}={value:?}");
        }
    }
}
