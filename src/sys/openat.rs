//! Opens files that lie beneath a directory, whatever the name given says.

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A directory held open: renaming it, or another symbolic link in its place, changes nothing.
#[derive(Debug)]
pub struct Directory {
    descriptor: OwnedFd,
    /// Its path without symbolic links.
    real: PathBuf,
    confinement: Confinement,
}

/// Something in a directory that can be shown: a regular file or a directory, perhaps through a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the directory.
    pub name: OsString,
    /// What it is.
    pub kind: EntryKind,
}

/// What can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
}

/// Who sees to it that nothing outside is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Confinement {
    /// The kernel, by openat2(2).
    Kernel,
    /// A comparison of real paths. Whoever may write below the directory can win a race against it.
    RealPath,
}

impl Directory {
    /// Opens the directory itself.
    ///
    /// # Errors
    /// When it is not there, is none, or may not be searched.
    pub fn open(path: &Path) -> io::Result<Self> {
        // The real path first: were a link exchanged in between, what is opened is still one directory.
        let real = path.canonicalize()?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let descriptor = open(&real, flags, Mode::empty())?;
        // Linux before 5.6 says ENOSYS; container filters of that time say EPERM to calls they do not know.
        let confinement = match beneath(&descriptor, Path::new("."), OFlag::O_PATH) {
            Ok(_) => Confinement::Kernel,
            Err(Errno::ENOSYS | Errno::EPERM) => Confinement::RealPath,
            Err(errno) => return Err(errno.into()),
        };
        Ok(Self { descriptor, real, confinement })
    }

    /// Opens something beneath the directory for reading, without ever waiting for a FIFO's writer.
    ///
    /// Symbolic links are followed as long as they stay beneath the directory. `None` when there is
    /// nothing of that name, or nothing that can be opened this way: a link that leads out or in a
    /// circle, a socket.
    ///
    /// # Errors
    /// What open(2) says of something that is there, and of a system short of means.
    pub fn open_beneath(&self, name: &Path) -> io::Result<Option<File>> {
        Ok(self.open_with(name, READING)?.map(File::from))
    }

    /// What can be shown of a directory beneath this one, or of this one by the name ".".
    ///
    /// `limit` names are looked at, in no order. `None` when there is no directory of that name.
    ///
    /// # Errors
    /// As [`open_beneath`](Self::open_beneath), and what readdir(3) says.
    pub fn entries(&self, name: &Path, limit: usize) -> io::Result<Option<Vec<Entry>>> {
        let Some(descriptor) = self.open_with(name, READING | OFlag::O_DIRECTORY)? else { return Ok(None) };
        let mut directory = Dir::from_fd(descriptor)?;
        let mut entries = Vec::new();
        for found in directory.iter().take(limit) {
            let found = found?;
            let own = OsStr::from_bytes(found.file_name().to_bytes());
            if own == "." || own == ".." {
                continue;
            }
            let kind = match found.file_type() {
                Some(Type::Directory) => Some(EntryKind::Directory),
                Some(Type::File) => Some(EntryKind::File),
                // readdir(3): not every file system tells.
                Some(Type::Symlink) | None => self.kind(&name.join(own))?,
                Some(Type::Fifo | Type::CharacterDevice | Type::BlockDevice | Type::Socket) => None,
            };
            entries.extend(kind.map(|kind| Entry { name: own.to_owned(), kind }));
        }
        Ok(Some(entries))
    }

    /// What a name leads to, without opening it.
    fn kind(&self, name: &Path) -> io::Result<Option<EntryKind>> {
        let descriptor = match self.open_with(name, OFlag::O_PATH | OFlag::O_CLOEXEC) {
            Ok(Some(descriptor)) => descriptor,
            Ok(None) => return Ok(None),
            // What may not be reached is nothing to show.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
            Err(error) => return Err(error),
        };
        let kind = File::from(descriptor).metadata()?.file_type();
        let kinds = [(kind.is_dir(), EntryKind::Directory), (kind.is_file(), EntryKind::File)];
        Ok(kinds.into_iter().find_map(|(is, kind)| is.then_some(kind)))
    }

    fn open_with(&self, name: &Path, flags: OFlag) -> io::Result<Option<OwnedFd>> {
        let opened = match self.confinement {
            Confinement::Kernel => match beneath(&self.descriptor, name, flags) {
                // RESOLVE_BENEATH refuses every absolute link, also one that leads back inside. The
                // real path has no links left: the kernel then judges the same file without them.
                Err(Errno::EXDEV) => {
                    self.inside(name).and_then(|real| beneath(&self.descriptor, plain(&real), flags))
                }
                opened => opened,
            },
            Confinement::RealPath => self
                .inside(name)
                .and_then(|real| open(&self.real.join(real), flags | OFlag::O_NOFOLLOW, Mode::empty())),
        };
        // Only what is listed counts as absence: whatever else goes wrong is for the operator to know.
        match opened {
            Ok(descriptor) => Ok(Some(descriptor)),
            Err(
                Errno::ENOENT
                | Errno::ENOTDIR
                | Errno::ENAMETOOLONG
                | Errno::ELOOP
                | Errno::EXDEV
                | Errno::ENXIO
                | Errno::ENODEV,
            ) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The real path of `name`, relative to the directory.
    fn inside(&self, name: &Path) -> nix::Result<PathBuf> {
        let real = self.real.join(name).canonicalize().map_err(|error| errno(&error))?;
        match real.strip_prefix(&self.real) {
            Ok(relative) => Ok(relative.to_path_buf()),
            Err(_) => Err(Errno::EXDEV),
        }
    }
}

/// openat2(2) that cannot leave `directory`.
fn beneath(directory: &OwnedFd, name: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let mut tries = TRIES;
    loop {
        match openat2(directory, name, how) {
            Err(Errno::EINTR) => {}
            // openat2(2): EAGAIN when something was renamed while ".." of a link was followed.
            Err(Errno::EAGAIN) if tries > 0 => tries -= 1,
            result => return result,
        }
    }
}

/// The directory itself, reached by a link, has no name left.
fn plain(real: &Path) -> &Path {
    if real.as_os_str().is_empty() { Path::new(".") } else { real }
}

/// The number behind an error of std; those that std makes itself are about names no file can have.
fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::ENOENT, Errno::from_raw)
}

/// O_NONBLOCK: open(2) of a FIFO otherwise waits for a writer. It means nothing for regular files.
const READING: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_NONBLOCK).union(OFlag::O_CLOEXEC).union(OFlag::O_NOCTTY);
/// How often a name is resolved anew while somebody renames beneath it.
const TRIES: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    /// What can be read through `name`, with each confinement; both must agree.
    fn read(directory: &Path, name: &str) -> Option<String> {
        let answers = [Confinement::Kernel, Confinement::RealPath].map(|confinement| {
            let directory = Directory { confinement, ..Directory::open(directory).unwrap() };
            directory.open_beneath(Path::new(name)).unwrap().map(|mut file| {
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                text
            })
        });
        assert_eq!(answers[0], answers[1], "{name}");
        answers[0].clone()
    }

    #[test]
    fn only_files_and_directories_within_are_listed() {
        let base = std::env::temp_dir().join(format!("ferricorn-entries-{}", std::process::id()));
        let root = base.join("root");
        fs::create_dir_all(root.join("sub/deep")).unwrap();
        fs::write(base.join("secret"), "outside").unwrap();
        fs::write(root.join("file"), "inside").unwrap();
        for (target, link) in [
            ("file", "link"),
            ("sub", "directory"),
            ("../secret", "out"),
            ("loop", "loop"),
            ("no", "dangling"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        symlink(&root, root.join("self")).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        for confinement in [Confinement::Kernel, Confinement::RealPath] {
            let directory = Directory { confinement, ..Directory::open(&root).unwrap() };
            let list = |name: &str, limit: usize| {
                let entries = directory.entries(Path::new(name), limit).unwrap()?;
                let mut names: Vec<String> = entries
                    .iter()
                    .map(|entry| format!("{:?} {}", entry.kind, entry.name.display()))
                    .collect();
                names.sort();
                Some(names)
            };
            let all = ["Directory directory", "Directory self", "Directory sub", "File file", "File link"];
            assert_eq!(list(".", 100).unwrap(), all, "{confinement:?}");
            assert_eq!(list("self", 100).unwrap(), all, "{confinement:?}");
            assert_eq!(list("sub", 100).unwrap(), ["Directory deep"]);
            assert!(list(".", 3).unwrap().len() <= 3);
            for absent in ["file", "missing", "out", "..", "/etc"] {
                assert_eq!(list(absent, 100), None, "{absent}");
            }
        }
        drop(socket);
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn names_and_links_never_lead_out() {
        let base = std::env::temp_dir().join(format!("ferricorn-openat-{}", std::process::id()));
        let root = base.join("root");
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::write(base.join("secret"), "outside").unwrap();
        fs::write(root.join("file"), "inside").unwrap();
        symlink("../file", root.join("sub/up")).unwrap();
        symlink(root.join("file"), root.join("absolute")).unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink(base.join("secret"), root.join("absolute-out")).unwrap();
        symlink("..", root.join("parent")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        for (name, expected) in [
            ("file", Some("inside")),
            ("sub/up", Some("inside")),
            ("absolute", Some("inside")),
            ("out", None),
            ("absolute-out", None),
            ("parent/secret", None),
            ("../secret", None),
            ("sub/../../secret", None),
            ("/etc/passwd", None),
            ("loop", None),
            ("missing", None),
        ] {
            assert_eq!(read(&root, name).as_deref(), expected, "{name}");
        }
        fs::remove_dir_all(&base).unwrap();
    }
}
