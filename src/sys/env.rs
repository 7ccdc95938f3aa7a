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

/// Removes an environment variable, in a process that has one thread; one that is not there is no error.
///
/// # Errors
/// As [`set`].
pub fn remove(name: &OsStr) -> io::Result<()> {
    if std::env::var_os(name).is_none() {
        return Ok(());
    }
    if process::thread_count()? != 1 {
        return Err(io::Error::other("the environment can be changed only while there is one thread"));
    }
    // SAFETY: there is no other thread, checked above, so nobody reads the environment meanwhile.
    unsafe {
        std::env::remove_var(name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_threads_keeps_its_environment() {
        // The harness runs each test in a thread of its own.
        assert!(remove(OsStr::new("PATH")).is_err());
        assert!(std::env::var_os("PATH").is_some());
        remove(OsStr::new("FERRICORN_NO_SUCH_VARIABLE")).unwrap();
    }

    #[test]
    fn what_is_no_name_or_value_is_refused() {
        for (name, value) in [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "x\0")] {
            let error = set(OsStr::new(name), OsStr::new(value)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name:?}={value:?}");
        }
    }
}
