//! What the gateway, Postgres and the load generator take: processor time and memory, from `/proc`. Nothing elsewhere.

use std::collections::HashMap;
use std::fs;

/// Clock ticks per second in `/proc/PID/stat`: 100 on every Linux that Rust's standard library supports.
const TICKS: f64 = 100.0;

/// The processes to look at, each with all its descendants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watched {
    /// The gateway.
    pub(crate) gateway: u32,
    /// The first process of the server, parent of its backends.
    pub(crate) postgres: u32,
}

/// Seconds of processor time since the start of the processes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    /// Of the gateway.
    pub(crate) gateway: f64,
    /// Of all processes of the server.
    pub(crate) postgres: f64,
    /// Of this process.
    pub(crate) generator: f64,
}

/// Resident memory in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// `VmRSS` of the gateway.
    pub(crate) gateway: u64,
    /// Of all processes of the server, with memory that they share counted once (`Pss`).
    pub(crate) postgres: u64,
}

impl Watched {
    /// `None` where there is no `/proc`.
    pub(crate) fn cpu(self) -> Option<Cpu> {
        let all = processes()?;
        let of = |root| tree(&all, root).iter().filter_map(|pid| all.get(pid)).map(|one| one.seconds).sum();
        let own = all.get(&std::process::id())?.own_seconds;
        Some(Cpu { gateway: of(self.gateway), postgres: of(self.postgres), generator: own })
    }

    /// `None` where there is no `/proc`.
    pub(crate) fn memory(self) -> Option<Memory> {
        let all = processes()?;
        let gateway = kilobytes(&format!("/proc/{}/status", self.gateway), "VmRSS:")? * 1024;
        let postgres = tree(&all, self.postgres).iter().filter_map(|pid| proportional(*pid)).sum::<u64>() * 1024;
        Some(Memory { gateway, postgres })
    }
}

impl Cpu {
    /// What was used since `earlier`, in percent of one core.
    pub(crate) fn percent_since(&self, earlier: &Self, seconds: f64) -> Self {
        let share = |now: f64, then: f64| (now - then) / seconds.max(f64::EPSILON) * 100.0;
        Self {
            gateway: share(self.gateway, earlier.gateway),
            postgres: share(self.postgres, earlier.postgres),
            generator: share(self.generator, earlier.generator),
        }
    }
}

/// The parent of a process: the one that started it.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    stat(pid).map(|one| one.parent)
}

struct Process {
    parent: u32,
    /// With the children that have ended, so that a backend that goes away is not forgotten.
    seconds: f64,
    own_seconds: f64,
}

fn processes() -> Option<HashMap<u32, Process>> {
    let folders = fs::read_dir("/proc").ok()?;
    let pids = folders.filter_map(|folder| folder.ok()?.file_name().to_str()?.parse().ok());
    Some(pids.filter_map(|pid| Some((pid, stat(pid)?))).collect())
}

/// See `proc_pid_stat(5)`: the fields are counted behind the name, which may hold anything and ends with the last `)`.
fn stat(pid: u32) -> Option<Process> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    let own_seconds = (ticks(11) + ticks(12)) / TICKS;
    let parent = fields.get(1)?.parse().ok()?;
    Some(Process { parent, seconds: own_seconds + (ticks(13) + ticks(14)) / TICKS, own_seconds })
}

/// `root` and everything below it.
fn tree(all: &HashMap<u32, Process>, root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut looked_at = 0;
    while let Some(&parent) = found.get(looked_at) {
        found.extend(all.iter().filter(|(_, one)| one.parent == parent).map(|(pid, _)| *pid));
        looked_at += 1;
    }
    found
}

/// Shared pages are divided among those who share them. Readable for the same user and for root; else plain RSS.
fn proportional(pid: u32) -> Option<u64> {
    kilobytes(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
        .or_else(|| kilobytes(&format!("/proc/{pid}/status"), "VmRSS:"))
}

fn kilobytes(file: &str, field: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}
