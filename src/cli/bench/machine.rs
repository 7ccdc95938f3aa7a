//! The computer that figures were measured on.

use crate::sys::cpu::cgroup_cpus;
use std::fs;

/// The computer that figures were measured on.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    /// Model of the CPU.
    pub(super) cpu: String,
    /// CPUs that this process, and so its children, may use.
    pub(super) cpus: u16,
    /// Version of the kernel.
    pub(super) kernel: String,
}

impl Machine {
    /// This one.
    pub(super) fn this() -> Self {
        let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self { cpu: model(&information), cpus: cgroup_cpus(), kernel: kernel.trim().to_owned() }
    }
}

/// The model that the kernel names; not every architecture has one.
fn model(information: &str) -> String {
    let value = |name: &str| {
        let lines = information.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned()).next()
    };
    value("model name").or_else(|| value("Model")).unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_named_where_the_kernel_knows_it() {
        assert_eq!(model("processor\t: 0\nmodel name\t: Quick 5: XT\n"), "Quick 5: XT");
        assert_eq!(model("processor : 0\nModel : Board 3\n"), "Board 3");
        assert_eq!(model(""), std::env::consts::ARCH);
    }
}
