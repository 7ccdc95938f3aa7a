//! How much memory processes have, and how much of what the cgroup may have is in use.

use super::process::{self, Pid};
use std::fs;
use std::path::{Path, PathBuf};

/// Memory of a process in RAM; of pages that it shares with others, its part (PSS). Where that may not be known, all (RSS).
///
/// Costs the kernel a walk over all pages: some milliseconds for a large process.
pub fn proportional_bytes(pid: Pid) -> Option<u64> {
    // proc(5), smaps_rollup: "Pss:     1234 kB". Readable by root and the same user (ptrace(2)).
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let pss = text.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB"));
    let pss: Option<u64> = pss.and_then(|number| number.parse().ok());
    pss.map(|kib| kib << 10).or_else(|| process::resident_bytes(pid))
}

/// How much of its limit the cgroup of this process uses, in hundredths; of several limits, the one that is nearest.
pub fn pressure() -> Option<u64> {
    pressure_in(Path::new("/sys/fs/cgroup"), &fs::read_to_string("/proc/self/cgroup").unwrap_or_default())
}

/// The same below `root`, where cgroups are mounted; `membership` is a `/proc/self/cgroup` (cgroups(7)).
///
/// In a container the named path is often not there, as the group is mounted as the root: the root is always asked.
fn pressure_in(root: &Path, membership: &str) -> Option<u64> {
    let groups = membership.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let folders = groups.flat_map(|(controllers, path)| match controllers {
        "" => with_parents(root, path),
        names if names.split(',').any(|name| name == "memory") => with_parents(&root.join(names), path),
        _ => Vec::new(),
    });
    folders.filter_map(|folder| used(&folder, &V2).or_else(|| used(&folder, &V1))).max()
}

fn with_parents(mount: &Path, path: &str) -> Vec<PathBuf> {
    let mut folder = mount.join(path.trim_start_matches('/'));
    let mut all = vec![folder.clone()];
    while folder != mount && folder.pop() {
        all.push(folder.clone());
    }
    all
}

/// The files of a version.
struct Files {
    limit: &'static str,
    usage: &'static str,
    /// In `memory.stat`: files in memory that nobody has used for a while, which the kernel gives up first.
    cached: &'static str,
}

const V2: Files = Files { limit: "memory.max", usage: "memory.current", cached: "inactive_file " };
const V1: Files =
    Files { limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes", cached: "total_inactive_file " };

fn used(folder: &Path, files: &Files) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    // "max" is no number: no limit. Version 1 has a number beyond all memory instead.
    let limit: u64 = read(files.limit)?.trim().parse().ok().filter(|limit| *limit > 0)?;
    let usage: u64 = read(files.usage)?.trim().parse().ok()?;
    let stat = read("memory.stat").unwrap_or_default();
    let cached = stat.lines().find_map(|line| line.strip_prefix(files.cached)?.trim().parse().ok());
    let used = usage.saturating_sub(cached.unwrap_or(0));
    u64::try_from(u128::from(used) * 100 / u128::from(limit)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)], membership: &str, expected: Option<u64>) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        assert_eq!(pressure_in(root.path(), membership), expected, "{files:?} {membership:?}");
    }

    #[test]
    fn the_nearest_limit_of_the_group_and_its_parents_counts() {
        let files = [
            ("a/b/memory.max", "1000\n"),
            ("a/b/memory.current", "500\n"),
            ("a/b/memory.stat", "anon 300\ninactive_file 200\n"),
            ("a/memory.max", "2000\n"),
            ("a/memory.current", "1800\n"),
            ("memory.max", "max\n"),
            ("memory.current", "1\n"),
        ];
        check(&files, "0::/a/b\n", Some(90));
        check(&files[..3], "0::/a/b\n", Some(30));
        check(&[("memory.max", "100"), ("memory.current", "91")], "0::/not/mounted\n", Some(91));
        check(&[("memory.max", "max"), ("memory.current", "91")], "0::/\n", None);
    }

    #[test]
    fn version_1_has_other_names() {
        let files = [
            ("memory/x/memory.limit_in_bytes", "1000\n"),
            ("memory/x/memory.usage_in_bytes", "900\n"),
            ("memory/x/memory.stat", "inactive_file 1\ntotal_inactive_file 100\n"),
        ];
        check(&files, "5:cpu:/y\n4:memory:/x\n0::/\n", Some(80));
        check(&files, "5:cpu:/x\n", None);
    }

    #[test]
    fn this_process_has_memory_and_no_more_than_is_resident() {
        let own = process::own_pid();
        let pss = proportional_bytes(own).unwrap();
        assert!(pss > 0 && pss <= process::resident_bytes(own).unwrap() * 2, "{pss}");
        assert_eq!(proportional_bytes(Pid(-1)), None);
    }
}
