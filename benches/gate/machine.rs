//! What the figures were measured on. Absolute figures mean nothing without it.

use std::fs;
use std::thread::available_parallelism;

use super::database::today;

/// Day, processor, memory, system and Postgres, as far as they can be known.
pub(crate) fn describe(postgres: &str) -> String {
    let cores = available_parallelism().map_or(0, usize::from);
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_else(|| "unknown".to_owned());
    let system = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let build = if cfg!(debug_assertions) { "DEBUG BUILD: the figures mean nothing" } else { "release build" };
    format!(
        "Waxseal {}, {build}, {}\n{cores} cores, {processor}, memory {memory}, {} {}\n{postgres}",
        env!("CARGO_PKG_VERSION"),
        today(),
        std::env::consts::OS,
        system.trim()
    )
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
