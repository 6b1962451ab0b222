//! The machine that the figures are of: without it they mean little.

use std::{io::Write as _, path::Path, process::Command};

use serde::Serialize;

use crate::{clock::now, latency::median};

/// What was measured, and on what.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// The processor's name.
    pub(crate) processor: String,
    /// How many cores may be used.
    pub(crate) cores: usize,
    /// Which of the instructions that matter here it has.
    pub(crate) has: Vec<&'static str>,
    /// Memory, in MiB.
    pub(crate) memory_mib: u64,
    /// The kernel's version.
    pub(crate) kernel: String,
    /// A write of 4 KiB and an fdatasync where the data is, in milliseconds: the middle, and the worst of a hundred.
    pub(crate) sync_ms: (f64, f64),
    /// The compiler.
    pub(crate) compiler: String,
    /// The commit of the working tree.
    pub(crate) commit: String,
}

/// Instructions that make signatures and hashes faster: in /proc/cpuinfo, and for people.
const INSTRUCTIONS: [(&str, &str); 4] = [
    ("avx2", "AVX2"),
    ("avx512f", "AVX-512"),
    ("avx512ifma", "AVX-512 IFMA"),
    ("sha_ni", "SHA-NI"),
];

/// Writes that are timed.
const SYNCS: usize = 100;

impl Machine {
    /// This one; disks are tried in that directory.
    pub(crate) fn here(data: &Path) -> anyhow::Result<Self> {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let processors = read("/proc/cpuinfo");
        Ok(Self {
            processor: field(&processors, "model name").unwrap_or("unknown").to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            has: instructions(field(&processors, "flags").unwrap_or_default()),
            memory_mib: memory_mib(&read("/proc/meminfo")),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            sync_ms: syncs(data)?,
            compiler: said("rustc", &["--version"]),
            commit: said("git", &["describe", "--always", "--dirty", "--abbrev=12"]),
        })
    }

    /// In a few lines, for people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let Self { processor, cores, has, memory_mib, kernel, sync_ms, compiler, commit } = self;
        let gib = *memory_mib as f64 / 1024.0;
        let (usual, worst) = sync_ms;
        vec![
            format!(
                "{cores} cores of {processor} ({}), {gib:.0} GiB of memory, Linux {kernel}",
                has.join(", ")
            ),
            format!(
                "fdatasync of 4 KiB: {usual:.2} ms, at worst {worst:.1} ms; {compiler}, commit {commit}"
            ),
        ]
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

fn instructions(flags: &str) -> Vec<&'static str> {
    let has = |flag: &str| flags.split_whitespace().any(|one| one == flag);
    INSTRUCTIONS.into_iter().filter(|(flag, _)| has(flag)).map(|(_, name)| name).collect()
}

fn memory_mib(text: &str) -> u64 {
    let total = field(text, "MemTotal").and_then(|total| total.split_whitespace().next());
    total.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn syncs(data: &Path) -> anyhow::Result<(f64, f64)> {
    let path = data.join("sync");
    let mut file = std::fs::File::create(&path)?;
    let mut took = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let start = now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        took.push(start.elapsed().as_secs_f64() * 1e3);
    }
    std::fs::remove_file(path)?;
    Ok((median(&took).unwrap_or(0.0), took.into_iter().fold(0.0, f64::max)))
}

/// The first line that a program says; "unknown" where there is none.
pub(crate) fn said(program: &str, arguments: &[&str]) -> String {
    let out =
        Command::new(program).args(arguments).output().ok().filter(|out| out.status.success());
    let text = out.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
    text.lines().next().map_or_else(|| "unknown".to_owned(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read() {
        let text =
            "processor : 0\nmodel name\t: A Chip @ 2 GHz\nflags\t\t: fpu avx2 avx512f sha_ni\n";
        assert_eq!(field(text, "model name"), Some("A Chip @ 2 GHz"));
        assert_eq!(instructions(field(text, "flags").unwrap()), ["AVX2", "AVX-512", "SHA-NI"]);
        assert!(instructions("avx avx5").is_empty(), "a part of a name is not the name");
        assert_eq!(memory_mib("MemTotal:       2048000 kB\nMemFree: 1 kB\n"), 2000);
        assert_eq!(memory_mib(""), 0);
    }
}
