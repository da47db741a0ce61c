// SPDX-License-Identifier: AGPL-3.0-or-later
//! What this machine offers: CPU, the cores and memory this process may use, and what limits them.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Facts about the machine; `None` is "not known here".
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: Cpu,
    pub(crate) memory: Memory,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Cpu {
    pub(crate) brand: Option<String>,
    pub(crate) arch: &'static str,
    /// Those that kernels are, or could be, written for.
    pub(crate) features: Vec<String>,
    /// Logical CPUs that are online.
    pub(crate) online: Option<usize>,
    /// Those this process may run on, as the system lists them.
    pub(crate) affinity: Option<String>,
    /// Cores they belong to: fewer where a core runs two threads.
    pub(crate) cores: Option<usize>,
    /// CPUs' worth of time a cgroup grants.
    pub(crate) quota: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Memory {
    pub(crate) total_bytes: Option<u64>,
    pub(crate) available_bytes: Option<u64>,
    /// Limit of a cgroup.
    pub(crate) limit_bytes: Option<u64>,
}

/// Threads to use, and why so many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Threads {
    pub(crate) count: usize,
    pub(crate) why: &'static str,
}

/// Most memory that this process has held, file pages included, where the system tells.
pub(crate) fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The flag wins over the pipeline's cap, which is at most that: no more than all CPUs are used for it. Without either, all
/// cores that this process may use.
pub(crate) fn threads(flag: Option<u32>, cap: Option<u32>) -> Threads {
    let (count, why) = match (flag, cap) {
        (Some(n), _) => (n as usize, "--threads"),
        (None, Some(n)) => {
            let there = std::thread::available_parallelism().map_or(1, usize::from);
            ((n as usize).min(there), "device_profile.caps.cpu_threads")
        }
        // The standard library looks at affinity and at the CPU quota of cgroup v1 and v2.
        (None, None) => match (std::thread::available_parallelism(), Machine::read().cpu.cores) {
            // A second thread of a core finds its multipliers and its cache busy.
            (Ok(n), Some(cores)) if cores < n.get() => {
                (cores, "one for each core this process may use")
            }
            (Ok(n), _) => (n.get(), "all CPUs this process may use (affinity and cgroup quota)"),
            (Err(_), _) => (1, "the system does not tell how many CPUs there are"),
        },
    };
    Threads { count: count.max(1), why }
}

/// The numbers of a list such as `0-3,8`; none for anything else.
fn numbers(list: &str) -> Option<Vec<u32>> {
    /// More CPUs than any system has: a list that is nonsense stays short.
    const MAX: u32 = 1 << 16;
    let mut all = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if last >= MAX {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all)
}

/// Features shown, as Linux spells them.
const FEATURES: &[&str] = &[
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx_vnni",
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "amx_int8",
    "asimd",
    "asimddp",
    "i8mm",
    "sve",
];

impl Machine {
    /// This machine.
    pub(crate) fn read() -> Self {
        Self::read_under(Path::new("/"))
    }

    /// The machine whose `/proc` and `/sys` are under `root`.
    fn read_under(root: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let cpuinfo = read("proc/cpuinfo");
        let meminfo = read("proc/meminfo");
        let status = read("proc/self/status");
        let cgroups = Cgroups { root, list: read("proc/self/cgroup") };
        let kib = |key| {
            let number = field(&meminfo, key)?.split_whitespace().next()?;
            number.parse::<u64>().ok()?.checked_mul(1024)
        };
        let brand = ["model name", "Model", "Hardware", "cpu model"];
        let device_tree = read("proc/device-tree/model");
        let flags: Vec<&str> = ["flags", "Features"]
            .iter()
            .find_map(|key| field(&cpuinfo, key))
            .map_or_else(Vec::new, |list| list.split_whitespace().collect());
        let affinity = field(&status, "Cpus_allowed_list");
        let cores = affinity.and_then(numbers).and_then(|cpus| {
            let siblings = |cpu: &u32| {
                let folder = format!("sys/devices/system/cpu/cpu{cpu}/topology");
                let text = fs::read_to_string(root.join(folder).join("thread_siblings_list"));
                text.ok().filter(|list| !list.trim().is_empty())
            };
            let cores: Option<HashSet<String>> = cpus.iter().map(siblings).collect();
            cores.map(|cores| cores.len()).filter(|&cores| cores > 0)
        });
        let online = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
        Self {
            cpu: Cpu {
                brand: brand
                    .iter()
                    .find_map(|key| field(&cpuinfo, key))
                    .or_else(|| Some(device_tree.trim_matches(['\0', '\n', ' '])))
                    .filter(|brand| !brand.is_empty())
                    .map(str::to_owned),
                arch: std::env::consts::ARCH,
                features: FEATURES
                    .iter()
                    .filter(|known| flags.contains(*known))
                    .map(|known| (*known).to_owned())
                    .collect(),
                online: (online > 0).then_some(online),
                affinity: affinity.map(str::to_owned),
                cores,
                quota: cgroups.quota(),
            },
            memory: Memory {
                total_bytes: kib("MemTotal"),
                available_bytes: kib("MemAvailable"),
                limit_bytes: cgroups.memory(),
            },
        }
    }
}

/// The value of the first `key : value` line.
fn field<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim())
    })
}

/// Control groups of this process, both versions.
struct Cgroups<'a> {
    root: &'a Path,
    /// `/proc/self/cgroup`.
    list: String,
}

impl Cgroups<'_> {
    /// The smallest CPU quota on the way up, in CPUs.
    fn quota(&self) -> Option<f64> {
        let v2 = self.folders("").into_iter().filter_map(|dir| {
            let text = fs::read_to_string(dir.join("cpu.max")).ok()?;
            let mut words = text.split_whitespace();
            share(words.next()?, words.next()?)
        });
        let v1 = self.folders("cpu").into_iter().filter_map(|dir| {
            let read = |name| fs::read_to_string(dir.join(name)).ok();
            share(read("cpu.cfs_quota_us")?.trim(), read("cpu.cfs_period_us")?.trim())
        });
        v2.chain(v1).min_by(f64::total_cmp)
    }

    /// The smallest memory limit on the way up, in bytes.
    fn memory(&self) -> Option<u64> {
        /// Version 1 writes "no limit" as the largest multiple of the page size.
        const NO_LIMIT: u64 = 1 << 60;
        let limit = |dir: PathBuf, name| {
            let text = fs::read_to_string(dir.join(name)).ok()?;
            text.trim().parse::<u64>().ok().filter(|bytes| *bytes < NO_LIMIT)
        };
        let v2 = self.folders("").into_iter().filter_map(|dir| limit(dir, "memory.max"));
        let v1 = self.folders("memory").into_iter();
        v2.chain(v1.filter_map(|dir| limit(dir, "memory.limit_in_bytes"))).min()
    }

    /// Folders of this process's group and of those above it, where a controller (`""` for version
    /// 2) is mounted. In a container the listed path may not be visible: then the mount itself.
    fn folders(&self, controller: &str) -> Vec<PathBuf> {
        let Some((names, path)) = self.list.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (names, path) = rest.split_once(':')?;
            names.split(',').any(|name| name == controller).then_some((names, path))
        }) else {
            return Vec::new();
        };
        let mounts: &[&str] =
            if controller.is_empty() { &["", "unified"] } else { &[controller, names] };
        let path = path.trim_start_matches('/');
        let path = if path.split('/').any(|part| part == "..") { "" } else { path };
        let mut out = Vec::new();
        for mount in mounts {
            let base = self.root.join("sys/fs/cgroup").join(mount);
            out.extend(Path::new(path).ancestors().map(|above| base.join(above)));
        }
        out
    }
}

/// `quota / period`, unless there is no quota (`max` or -1).
fn share(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> Machine {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Machine::read_under(dir.path())
    }

    #[test]
    fn cpu_and_memory_are_read() {
        let got = machine(&[
            (
                "proc/cpuinfo",
                "processor\t: 0\nmodel name\t: Some CPU @ 2GHz\nflags\t\t: fpu avx2 fma avx512_vnni\nprocessor\t: 1\n",
            ),
            ("proc/meminfo", "MemTotal:        2048 kB\nMemAvailable:    1024 kB\n"),
            ("proc/self/status", "Name:\tx\nCpus_allowed_list:\t0-1\n"),
        ]);
        assert_eq!(got.cpu.brand.as_deref(), Some("Some CPU @ 2GHz"));
        assert_eq!(got.cpu.features, ["avx2", "fma", "avx512_vnni"]);
        assert_eq!((got.cpu.online, got.cpu.affinity.as_deref()), (Some(2), Some("0-1")));
        assert_eq!(got.memory.total_bytes, Some(2 << 20));
        assert_eq!((got.cpu.quota, got.memory.limit_bytes), (None, None));
    }

    #[test]
    fn version_2_limits_are_the_smallest_on_the_way_up() {
        let got = machine(&[
            ("proc/self/cgroup", "0::/slice/unit\n"),
            ("sys/fs/cgroup/slice/unit/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/slice/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/slice/unit/memory.max", "1073741824\n"),
            ("sys/fs/cgroup/slice/memory.max", "max\n"),
        ]);
        assert_eq!(got.cpu.quota, Some(1.5));
        assert_eq!(got.memory.limit_bytes, Some(1 << 30));
    }

    #[test]
    fn version_1_limits_count_where_the_path_is_hidden_by_a_container() {
        let got = machine(&[
            ("proc/self/cgroup", "4:memory:/docker/abc\n3:cpu,cpuacct:/../x\n0::/\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n"),
            ("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        assert_eq!(got.cpu.quota, Some(0.5));
        assert_eq!(got.memory.limit_bytes, Some(512 << 20));
    }

    #[test]
    fn two_threads_of_a_core_count_once_and_only_where_the_process_may_run() {
        let siblings = |cpu, list| (format!("sys/devices/system/cpu/cpu{cpu}/topology"), list);
        let cores = |affinity: &str, lists: &[(String, &str)]| {
            let mut files = vec![("proc/self/status".to_owned(), affinity)];
            files.extend(lists.iter().map(|(f, l)| (format!("{f}/thread_siblings_list"), *l)));
            let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
            machine(&files).cpu.cores
        };
        let lists = [(0, "0,4\n"), (1, "1,5\n"), (4, "0,4\n"), (5, "1,5\n")];
        let lists = lists.map(|(cpu, list)| siblings(cpu, list));
        assert_eq!(cores("Cpus_allowed_list:\t0-1,4-5\n", &lists), Some(2));
        assert_eq!(cores("Cpus_allowed_list:\t0,4\n", &lists), Some(1));
        // One that is not described, and lists that are none.
        assert_eq!(cores("Cpus_allowed_list:\t0-2\n", &lists), None);
        for list in ["", "x", "3-", "0-4294967295", "5-1"] {
            assert_eq!(cores(&format!("Cpus_allowed_list:\t{list}\n"), &lists), None, "{list}");
        }
    }

    #[test]
    fn nothing_to_read_is_nothing_known() {
        let got = machine(&[]);
        assert_eq!((got.cpu.brand, got.cpu.online, got.memory.total_bytes), (None, None, None));
        assert_eq!(threads(Some(3), Some(2)).count, 3);
        assert_eq!(threads(None, Some(2)).why, "device_profile.caps.cpu_threads");
        assert!(threads(None, None).count >= 1);
    }
}
