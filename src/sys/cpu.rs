//! How many CPUs this process may use.

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};

/// CPUs this process may use: its affinity, and the quotas of its cgroups, rounded up; at least 1.
pub fn cgroup_cpus() -> u16 {
    let affinity = affinity().unwrap_or(1);
    let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let quota = quota(Path::new("/sys/fs/cgroup"), &membership);
    quota.map_or(affinity, |quota| quota.min(affinity)).max(1)
}

/// CPUs in the affinity mask (sched_getaffinity(2)).
fn affinity() -> Option<u16> {
    let set = sched_getaffinity(Pid::from_raw(0)).ok()?;
    let count = (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).count();
    u16::try_from(count).ok()
}

/// The smallest quota of the cgroups named in a /proc/self/cgroup and of their parents.
///
/// In a container the named path is often not there, as the group is mounted as the root: the root is always asked.
fn quota(root: &Path, membership: &str) -> Option<u16> {
    let mut smallest: Option<u16> = None;
    for line in membership.lines() {
        // cgroups(7): `hierarchy-id:controllers:path`, with `0::path` for version 2.
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let mount = match controllers {
            "" => root.to_path_buf(),
            _ if controllers.split(',').any(|name| name == "cpu") => root.join(controllers),
            _ => continue,
        };
        for folder in with_parents(&mount, path) {
            let found = quota_v2(&folder).or_else(|| quota_v1(&folder));
            smallest = [smallest, found].into_iter().flatten().min();
        }
    }
    smallest
}

fn with_parents(mount: &Path, path: &str) -> Vec<PathBuf> {
    let mut folder = mount.join(path.trim_start_matches('/'));
    let mut all = vec![folder.clone()];
    while folder != mount && folder.pop() {
        all.push(folder.clone());
    }
    all
}

/// `cpu.max` holds "max 100000" or "150000 100000".
fn quota_v2(folder: &Path) -> Option<u16> {
    let text = fs::read_to_string(folder.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    cpus(quota.parse().ok()?, period.parse().ok()?)
}

/// `cpu.cfs_quota_us` holds -1 when there is none.
fn quota_v1(folder: &Path) -> Option<u16> {
    let read = |name| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<i64>().ok();
    let quota = u64::try_from(read("cpu.cfs_quota_us")?).ok()?;
    cpus(quota, u64::try_from(read("cpu.cfs_period_us")?).ok()?)
}

fn cpus(quota: u64, period: u64) -> Option<u16> {
    if period == 0 {
        return None;
    }
    u16::try_from(quota.div_ceil(period)).ok().map(|count| count.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cgroup file system with these files gives this quota.
    fn check(files: &[(&str, &str)], membership: &str, expected: Option<u16>) {
        let name = format!("ferricorn-cgroup-{}-{:?}", std::process::id(), std::thread::current().id());
        let root = std::env::temp_dir().join(name);
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let found = quota(&root, membership);
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(found, expected, "{files:?} {membership:?}");
    }

    #[test]
    fn the_smallest_quota_of_the_group_and_its_parents_holds() {
        let files =
            [("a/cpu.max", "250000 100000\n"), ("a/b/cpu.max", "max 100000\n"), ("cpu.max", "900000 100000")];
        check(&files, "0::/a/b\n", Some(3));
        check(&[("cpu.max", "150000 100000\n")], "0::/not/mounted/here\n", Some(2));
        check(&[("a/cpu.max", "max 100000\n")], "0::/a\n", None);
        check(&[("a/cpu.max", "1000 100000\n")], "0::/a\n", Some(1));
    }

    #[test]
    fn version_1_quotas_are_read() {
        let files =
            [("cpu,cpuacct/x/cpu.cfs_quota_us", "200000\n"), ("cpu,cpuacct/x/cpu.cfs_period_us", "100000\n")];
        check(&files, "5:memory:/x\n4:cpu,cpuacct:/x\n", Some(2));
        let files = [("cpu/x/cpu.cfs_quota_us", "-1\n"), ("cpu/x/cpu.cfs_period_us", "100000\n")];
        check(&files, "4:cpu:/x\n", None);
    }

    #[test]
    fn there_is_always_a_cpu() {
        assert!(cgroup_cpus() >= 1);
    }
}
