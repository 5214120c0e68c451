//! The machine that the numbers were measured on.

use std::fs;

use serde_json::{Value, json};

use super::processors::Assignment;
use super::services::LoadedTarget;

/// The machine, its load before and after, and the processors used.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cores: usize,
    features: Vec<&'static str>,
    os: String,
    /// Mean load over 1, 5 and 15 minutes; none where the system does not report it.
    load_at_start: Option<[f64; 3]>,
    load_at_end: Option<[f64; 3]>,
    kernels: Option<String>,
    processors: Option<Assignment>,
}

impl Machine {
    /// This machine, as it is now.
    pub(super) fn here() -> Self {
        Self {
            cpu: cpu().unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            features: features(),
            os: os(),
            load_at_start: load(),
            load_at_end: None,
            kernels: None,
            processors: None,
        }
    }

    /// Records the kernels and processors of a loaded target.
    pub(super) fn runs_on(&mut self, target: &LoadedTarget) {
        self.kernels = Some(target.kernels().to_owned());
        self.processors = target.processors().cloned();
    }

    /// Records the load at the end.
    pub(super) fn end(&mut self) {
        self.load_at_end = load();
    }

    /// The machine as `--json` prints it.
    pub(super) fn json(&self) -> Value {
        let processors = self.processors.as_ref();
        json!({
            "cpu": self.cpu,
            "cores": self.cores,
            "features": self.features,
            "kernels": self.kernels,
            "os": self.os,
            "duet": env!("CARGO_PKG_VERSION"),
            "debug_build": cfg!(debug_assertions),
            "load_at_start": self.load_at_start,
            "load_at_end": self.load_at_end,
            "verifier_processors": processors.map(|assigned| &assigned.verifier),
            "drafter_processors": processors.map(|assigned| &assigned.drafter),
        })
    }

    /// One line for the table.
    pub(super) fn line(&self) -> String {
        let load = |load: Option<[f64; 3]>| {
            load.map_or_else(|| "unknown".to_owned(), |load| format!("{:.2}", load[0]))
        };
        let pinned = match &self.processors {
            Some(Assignment { verifier, drafter }) => {
                format!("verifier on processors {verifier:?}, drafter on {drafter:?}")
            }
            None => "services not pinned".to_owned(),
        };
        format!(
            "{}, {} cores, {}; {pinned}; load {} at the start, {} at the end; duet {}{}",
            self.cpu,
            self.cores,
            self.os,
            load(self.load_at_start),
            load(self.load_at_end),
            env!("CARGO_PKG_VERSION"),
            if cfg!(debug_assertions) {
                ", a DEBUG build"
            } else {
                ""
            },
        )
    }
}

fn cpu() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn os() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let name = name.map_or(std::env::consts::OS, |name| name.trim_matches('"'));
    let (kernel, arch) = (kernel.trim(), std::env::consts::ARCH);
    if kernel.is_empty() {
        format!("{name}, {arch}")
    } else {
        format!("{name}, Linux {kernel}, {arch}")
    }
}

fn load() -> Option<[f64; 3]> {
    parse_load(&fs::read_to_string("/proc/loadavg").ok()?)
}

fn parse_load(text: &str) -> Option<[f64; 3]> {
    let mut means = text.split_whitespace().map_while(|word| word.parse().ok());
    Some([means.next()?, means.next()?, means.next()?])
}

/// Instruction sets that kernels ask for, and closely related ones.
#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    let all = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("f16c", is_x86_feature_detected!("f16c")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bw", is_x86_feature_detected!("avx512bw")),
        ("avx512vl", is_x86_feature_detected!("avx512vl")),
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
        ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
    ];
    let there = all.into_iter().filter(|(_, is_there)| *is_there);
    there.map(|(name, _)| name).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> Vec<&'static str> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_the_first_three_numbers() {
        let parsed = parse_load("0.20 1.10 1.65 2/345 6789\n").unwrap();
        assert_eq!(
            parsed.map(|mean| (mean * 100.0).round() as u32),
            [20, 110, 165]
        );
        assert_eq!(parse_load("0.20 none"), None);
    }

    #[test]
    fn machine_reports_its_processor_system_and_load() {
        let mut machine = Machine::here();
        machine.end();
        let json = machine.json();
        for field in ["cpu", "os", "duet"] {
            assert!(!json[field].as_str().unwrap().is_empty(), "{json:#}");
        }
        assert!(json["cores"].as_u64().unwrap() >= 1);
        if cfg!(target_os = "linux") {
            assert_eq!(json["load_at_start"].as_array().unwrap().len(), 3);
            assert_eq!(json["load_at_end"].as_array().unwrap().len(), 3);
        }
        assert!(machine.line().contains(&machine.cpu));
    }
}
