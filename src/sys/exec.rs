//! Another program in the place of this one: execve(2).

use super::inherit::{self, AtExec};
use super::process::{self, Pid};
use nix::sys::signal::Signal;
use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A program as it was started: by words, of which the first names it.
#[derive(Debug, Clone)]
pub struct OwnProgram {
    words: Vec<OsString>,
    kind: Kind,
    /// The program, and where this very code was loaded from: that, or an extension module.
    files: Vec<(PathBuf, Stamp)>,
    /// The program, and the directory that it was found in, with every symbolic link followed. (That of a virtual environment's
    /// interpreter is another's file.)
    place: Option<[PathBuf; 2]>,
}

/// What the first word names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The program.
    Program,
    /// The interpreter that the script asks for which the second word names (execve(2), interpreter scripts).
    Interpreter,
}

/// A program, what it is told, and what it is given.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The file.
    pub path: &'a Path,
    /// Its arguments, its own name first.
    pub words: &'a [OsString],
    /// Variables beside those of this process.
    pub variables: &'a [(&'a str, String)],
    /// Descriptors that it has under the same numbers. All others that are closed on exec it does not have.
    pub descriptors: &'a [BorrowedFd<'a>],
}

/// What tells a file from one that has come into its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl OwnProgram {
    /// How this process was started, in this directory. To be called early: what is on disk now is taken for what runs.
    ///
    /// # Errors
    /// When /proc is not there.
    pub fn new(directory: &Path) -> io::Result<Self> {
        // proc(5), cmdline: each word ends with a zero byte.
        let bytes = fs::read("/proc/self/cmdline")?;
        let mut words: Vec<_> =
            bytes.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect();
        words.pop();
        let stamped = |path: PathBuf| Some((Stamp::of(&fs::metadata(&path).ok()?), path));
        let files = [executable(), code_file()].into_iter().flatten().filter_map(stamped);
        let files = files.map(|(stamp, path)| (path, stamp)).collect();
        let kind = kind(&words, directory);
        let mut own = Self { words, kind, files, place: None };
        own.place = own.place_now(directory);
        Ok(own)
    }

    /// Its words, its own name first: what [`Self::find`] gives is to be started with.
    pub fn words(&self) -> &[OsString] {
        match self.kind {
            Kind::Program => &self.words,
            // The kernel puts the interpreter in front that the script asks for then.
            Kind::Interpreter => &self.words[1..],
        }
    }

    /// The file that the program is named by now, as a shell in this directory would find it. A script is found by its own name,
    /// since another interpreter may belong to it by now.
    ///
    /// Not /proc/self/exe: that is the file of old, whatever has come into its place.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, directory: &Path) -> io::Result<PathBuf> {
        let name = self.words().first().map(OsString::as_os_str).unwrap_or_default();
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("{} is not there", name.display()));
        if name.as_encoded_bytes().contains(&b'/') {
            let path = directory.join(name);
            return if path.exists() { Ok(path) } else { Err(missing()) };
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).map(|part| directory.join(part).join(name)).find(is_program);
        // Started under a name that is none: where its file was.
        found.or_else(executable).ok_or_else(missing)
    }

    /// Whether another program would be started now: another file has come into the place of one that this code was loaded
    /// from, or a symbolic link on the way leads elsewhere.
    pub fn has_changed(&self, directory: &Path) -> bool {
        let differs = |(path, stamp): &(PathBuf, Stamp)| {
            fs::metadata(path).map(|metadata| Stamp::of(&metadata)).ok().as_ref() != Some(stamp)
        };
        self.files.iter().any(differs) || self.place_now(directory) != self.place
    }

    fn place_now(&self, directory: &Path) -> Option<[PathBuf; 2]> {
        let path = self.find(directory).ok()?;
        Some([path.canonicalize().ok()?, path.parent()?.canonicalize().ok()?])
    }
}

/// Whether the kernel has put the first word before a script.
fn kind(words: &[OsString], directory: &Path) -> Kind {
    let [interpreter, script, ..] = words else { return Kind::Program };
    let path = directory.join(script);
    let is_script = is_program(&path) && interpreter_of(&path).as_ref() == Some(interpreter);
    if is_script { Kind::Interpreter } else { Kind::Program }
}

/// The interpreter in the first line of a script.
fn interpreter_of(script: &Path) -> Option<OsString> {
    let mut beginning = Vec::new();
    fs::File::open(script).ok()?.take(LINE_MAX).read_to_end(&mut beginning).ok()?;
    let line = beginning.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    Some(OsString::from_vec(line.trim_ascii().to_vec()))
}

/// As much as the kernel reads of a script (execve(2), BINPRM_BUF_SIZE).
const LINE_MAX: u64 = 256;

/// Puts a program in the place of this one; returns only when it cannot be done, with everything as before.
///
/// Unlike std's, it leaves the signal mask as it is: what is blocked stays blocked, and what is pending pending, until the new
/// program is ready for it (signal(7), execve(2)).
///
/// # Errors
/// As execve(2) has them.
pub fn exec(launch: &Launch<'_>) -> io::Result<Infallible> {
    let text = |bytes: Vec<u8>| CString::new(bytes).map_err(io::Error::from);
    let path = text(launch.path.as_os_str().as_encoded_bytes().to_vec())?;
    let words: Vec<CString> =
        launch.words.iter().map(|word| text(word.as_encoded_bytes().to_vec())).collect::<io::Result<_>>()?;
    let assignment = |name: &OsStr, value: &OsStr| {
        text([name.as_encoded_bytes(), b"=", value.as_encoded_bytes()].concat())
    };
    let is_kept = |name: &OsStr| launch.variables.iter().all(|(other, _)| OsStr::new(other) != name);
    let inherited = std::env::vars_os().filter(|(name, _)| is_kept(name));
    let inherited = inherited.map(|(name, value)| assignment(&name, &value));
    let own = launch.variables.iter().map(|(name, value)| assignment(OsStr::new(name), OsStr::new(value)));
    let environment: Vec<CString> = inherited.chain(own).collect::<io::Result<_>>()?;
    inherit::set(launch.descriptors, AtExec::Kept)?;
    let error = nix::unistd::execve(&path, &words, &environment);
    inherit::set(launch.descriptors, AtExec::Closed)?;
    error.map_err(io::Error::from)
}

/// Has this process, a forked child, end with its parent, and be the first of a process group of its own.
///
/// # Errors
/// None that setpgid(2) and prctl(2) can give here.
pub fn stand_apart(parent: Pid) -> io::Result<()> {
    nix::unistd::setpgid(nix::unistd::Pid::from_raw(0), nix::unistd::Pid::from_raw(0))?;
    // prctl(2), PR_SET_PDEATHSIG: kept across execve.
    nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
    if Pid(nix::unistd::getppid().as_raw()) == parent {
        return Ok(());
    }
    // It has died just before: no signal will come.
    Err(io::Error::other("the parent has died"))
}

/// Takes a child that was forked by another child into the process group of this process.
///
/// # Errors
/// As setpgid(2) has them: when it is gone, or has become another program.
pub fn take_into_group(child: Pid) -> io::Result<()> {
    let group = nix::unistd::getpgrp();
    Ok(nix::unistd::setpgid(nix::unistd::Pid::from_raw(child.0), group)?)
}

fn is_program(path: &PathBuf) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// The name that the running program had; another file may have it by now.
fn executable() -> Option<PathBuf> {
    let path = fs::read_link("/proc/self/exe").ok()?.into_os_string().into_vec();
    // proc(5): " (deleted)" follows the name of a file that is gone.
    let path = path.strip_suffix(b" (deleted)").unwrap_or(&path).to_vec();
    Some(PathBuf::from(OsString::from_vec(path))).filter(is_program)
}

/// The file that this very function was mapped from (proc(5), maps).
fn code_file() -> Option<PathBuf> {
    let address = code_file as fn() -> Option<PathBuf> as usize;
    let maps = fs::read(format!("/proc/{}/maps", process::own_pid())).ok()?;
    maps.split(|byte| *byte == b'\n').find_map(|line| mapped_file(line, address))
}

/// The file of a line `START-END ACCESS OFFSET DEVICE INODE   PATH`, if it covers the address.
fn mapped_file(line: &[u8], address: usize) -> Option<PathBuf> {
    let dash = line.iter().position(|byte| *byte == b'-')?;
    let space = line.iter().position(|byte| *byte == b' ')?;
    let number = |bytes: &[u8]| usize::from_str_radix(std::str::from_utf8(bytes).ok()?, 16).ok();
    let (start, end) = (number(line.get(..dash)?)?, number(line.get(dash + 1..space)?)?);
    let path = line.get(line.iter().position(|byte| *byte == b'/')?..)?;
    (start <= address && address < end).then(|| PathBuf::from(OsString::from_vec(path.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_found_and_has_not_changed() {
        let own = OwnProgram::new(Path::new("/")).unwrap();
        let here = std::env::current_exe().unwrap();
        assert_eq!(own.words().len(), std::env::args_os().len());
        assert_eq!(own.files.last().unwrap().0, here);
        assert!(!own.has_changed(Path::new("/")));
        assert_eq!(own.find(Path::new("/")).unwrap().canonicalize().unwrap(), here.canonicalize().unwrap());
    }

    #[test]
    fn programs_are_found_as_a_shell_finds_them() {
        let named = |word: &str| own([word], Kind::Program);
        assert!(named("sh").find(Path::new("/")).unwrap().ends_with("sh"));
        assert_eq!(named("./sh").find(Path::new("/bin")).unwrap(), Path::new("/bin/./sh"));
        let error = named("./ferricorn-no-such").find(Path::new("/bin")).unwrap_err().to_string();
        assert_eq!(error, "./ferricorn-no-such is not there");
        // A name that the starter has made up.
        let here = std::env::current_exe().unwrap();
        assert_eq!(named("ferricorn-no-such").find(Path::new("/")).unwrap(), here);
    }

    #[test]
    fn a_file_that_takes_the_place_of_the_code_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code");
        fs::write(&path, "one").unwrap();
        let stamp = Stamp::of(&fs::metadata(&path).unwrap());
        let own = OwnProgram { files: vec![(path.clone(), stamp)], ..own(["sh"], Kind::Program) };
        let own = OwnProgram { place: own.place_now(folder.path()), ..own };
        assert!(!own.has_changed(folder.path()));
        fs::write(folder.path().join("next"), "two").unwrap();
        fs::rename(folder.path().join("next"), &path).unwrap();
        assert!(own.has_changed(folder.path()));
        fs::remove_file(&path).unwrap();
        assert!(own.has_changed(folder.path()));
    }

    #[test]
    fn a_script_is_found_by_its_name_whatever_runs_it_and_wherever_a_link_leads() {
        let folder = tempfile::tempdir().unwrap();
        for release in ["1", "2"] {
            let bin = folder.path().join(release);
            fs::create_dir(&bin).unwrap();
            fs::write(bin.join("serve"), format!("#! /release/{release}/python\n")).unwrap();
            fs::set_permissions(bin.join("serve"), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let link = folder.path().join("current");
        std::os::unix::fs::symlink("1", &link).unwrap();
        let script = link.join("serve");
        let words = ["/release/1/python".into(), script.clone().into_os_string(), "-w".into()];
        assert_eq!(kind(&words, Path::new("/")), Kind::Interpreter);
        assert_eq!(kind(&["/another/python".into(), words[1].clone()], Path::new("/")), Kind::Program);
        let own = OwnProgram { words: words.to_vec(), ..own([], Kind::Interpreter) };
        let own = OwnProgram { place: own.place_now(Path::new("/")), ..own };
        assert_eq!(own.words(), &words[1..]);
        assert_eq!(own.find(Path::new("/")).unwrap(), script);
        assert!(!own.has_changed(Path::new("/")));
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("2", &link).unwrap();
        assert!(own.has_changed(Path::new("/")));
    }

    fn own<const COUNT: usize>(words: [&str; COUNT], kind: Kind) -> OwnProgram {
        OwnProgram { words: words.map(OsString::from).to_vec(), kind, files: Vec::new(), place: None }
    }

    #[test]
    fn what_cannot_be_executed_leaves_all_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("no program");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let words = ["x".into()];
        let launch = Launch { path: &path, words: &words, variables: &[("A", "B".into())], descriptors: &[] };
        // execve(2): ENOEXEC, for which a shell would run it as a script of its own.
        assert_eq!(exec(&launch).unwrap_err().raw_os_error(), Some(nix::libc::ENOEXEC));
    }

    #[test]
    fn lines_of_the_map_are_read() {
        let line = b"7f00-7fff r-xp 00001000 fd:01 42     /opt/a b/x.so";
        assert_eq!(mapped_file(line, 0x7f80), Some("/opt/a b/x.so".into()));
        assert_eq!(mapped_file(line, 0x8000), None);
        assert_eq!(mapped_file(b"7f00-7fff rw-p 00000000 00:00 0", 0x7f80), None);
    }
}
