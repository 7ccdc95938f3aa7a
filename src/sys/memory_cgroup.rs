//! How many processes of this one's cgroup the kernel has killed for want of memory.

use std::fs;
use std::path::{Path, PathBuf};

/// The counter of the cgroup of this process, and how far it has been accounted for.
#[derive(Debug)]
pub struct OomKills {
    counter: Option<PathBuf>,
    /// How many of those counted have been claimed, or are nobody's here.
    claimed: u64,
    /// How many there were at the last [`Self::settle`].
    settled: u64,
}

impl OomKills {
    /// Looks for the counter below `root`, where cgroups are mounted; `membership` is a `/proc/self/cgroup`.
    pub fn new(root: &Path, membership: &str) -> Self {
        let counter = counter(root, membership);
        let claimed = counter.as_deref().and_then(read).unwrap_or(0);
        Self { counter, claimed, settled: claimed }
    }

    /// The counter of this process, by what the system says.
    pub fn of_this_process() -> Self {
        Self::new(Path::new("/sys/fs/cgroup"), &fs::read_to_string("/proc/self/cgroup").unwrap_or_default())
    }

    /// Whether the kernel has killed a process that nobody has claimed yet; claims it.
    ///
    /// The kernel counts before it kills, so for a process that has been reaped the answer is there.
    pub fn claim(&mut self) -> Claim {
        let Some(count) = self.counter.as_deref().and_then(read) else { return Claim::None };
        if count <= self.claimed {
            return Claim::None;
        }
        self.claimed += 1;
        Claim::Granted
    }

    /// To be called now and then: a kill that nobody has claimed from one call to the next was that of another process, such
    /// as one that an app had started. A later death has another cause.
    pub fn settle(&mut self) {
        if let Some(count) = self.counter.as_deref().and_then(read) {
            self.claimed = self.claimed.max(self.settled);
            self.settled = count;
        }
    }
}

/// Whether a kill for want of memory was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// There was one.
    Granted,
    /// There was none, or nobody counts.
    None,
}

/// The file that counts: cgroups(7), `memory.events` of version 2, else `memory.oom_control` of version 1.
///
/// In a container the named path is often not there, as the group is mounted as the root.
fn counter(root: &Path, membership: &str) -> Option<PathBuf> {
    let groups = || membership.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let below = |mount: PathBuf, path: &str, file: &str| {
        let named = mount.join(path.trim_start_matches('/')).join(file);
        [named, mount.join(file)].into_iter().find(|file| read(file).is_some())
    };
    let second = groups().filter(|(controllers, _)| controllers.is_empty());
    let first = groups().filter(|(controllers, _)| controllers.split(',').any(|name| name == "memory"));
    second
        .filter_map(|(_, path)| below(root.to_path_buf(), path, "memory.events"))
        .chain(first.filter_map(|(names, path)| below(root.join(names), path, "memory.oom_control")))
        .next()
}

/// Both files hold lines such as `oom_kill 3`.
fn read(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "9:name=systemd:/\n4:memory:/site/a\n0::/\n";
    const V2: &str = "0::/site.slice/a.service\n";

    /// A tree in which `file` counts so many, and how to change that.
    fn tree(file: &str, count: u64) -> (tempfile::TempDir, impl Fn(u64)) {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let set =
            move |count| fs::write(&file, format!("low 0\nunder_oom 0\noom 9\noom_kill {count}\n")).unwrap();
        set(count);
        (root, set)
    }

    #[test]
    fn each_kill_is_claimed_once() {
        for (file, membership) in [
            ("memory/site/a/memory.oom_control", V1),
            ("memory/memory.oom_control", V1),
            ("site.slice/a.service/memory.events", V2),
            ("memory.events", V2),
        ] {
            let (root, set) = tree(file, 5);
            let mut kills = OomKills::new(root.path(), membership);
            assert_eq!(kills.claim(), Claim::None, "{file}: those before the start are nobody's here");
            set(7);
            assert_eq!(
                [kills.claim(), kills.claim(), kills.claim()],
                [Claim::Granted, Claim::Granted, Claim::None]
            );
        }
    }

    #[test]
    fn a_kill_that_nobody_claims_for_a_while_was_another_processs() {
        let (root, set) = tree("memory.events", 5);
        let mut kills = OomKills::new(root.path(), V2);
        set(6);
        kills.settle();
        assert_eq!(kills.claim(), Claim::Granted, "it may have been counted just before");
        set(7);
        kills.settle();
        set(8);
        kills.settle();
        assert_eq!([kills.claim(), kills.claim()], [Claim::Granted, Claim::None]);
        kills.settle();
        assert_eq!(kills.claim(), Claim::None);
    }

    #[test]
    fn without_a_counter_nothing_is_claimed() {
        let (root, _) = tree("cpu/cpu.stat", 1);
        assert_eq!(OomKills::new(root.path(), V1).claim(), Claim::None);
        assert_eq!(OomKills::new(root.path(), "").claim(), Claim::None);
    }
}
