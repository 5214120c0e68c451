//! Flags of a model's engine, to be flattened into a service's own arguments, and the options that they stand for.

use std::str::FromStr as _;

use inference::engine::{DeviceChoice, EngineOptions};

use crate::range::{OutOfRange, within};

/// Device, limits and cache of a model's engine.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Model")]
pub struct EngineArgs {
    /// Where the model runs: cpu, cuda, cuda:N, metal or metal:N
    #[arg(
        long,
        env = "DUET_DEVICE",
        value_name = "DEVICE",
        default_value = "cpu"
    )]
    pub device: String,

    /// Threads that compute [default: one for each processor]
    #[arg(long, env = "DUET_THREADS", value_name = "COUNT")]
    pub threads: Option<usize>,

    /// Positions that one session may hold, prompt included; the model's own limit where that is smaller [default: the model's own, as
    /// far as half the memory reaches for all sessions, and 8192 at least]
    #[arg(long, env = "DUET_CONTEXT", value_name = "TOKENS")]
    pub context: Option<usize>,

    /// Rows of one forward pass, all sessions together
    #[arg(
        long,
        env = "DUET_BATCH_ROWS",
        value_name = "ROWS",
        default_value_t = 128
    )]
    pub batch_rows: usize,

    /// Memory for the KV cache of earlier prompts, so that a prefix that prompts share is computed once; 0: none
    #[arg(
        long,
        env = "DUET_PREFIX_CACHE",
        value_name = "MIB",
        default_value_t = 256
    )]
    pub prefix_cache: u64,

    /// Passes that may wait for the model's thread; at least twice --max-sessions
    #[arg(long, env = "DUET_QUEUE", value_name = "COUNT", default_value_t = 64)]
    pub queue: usize,
}

impl EngineArgs {
    /// Options of an engine for this number of sessions at once, whose passes have at least `least_rows` rows.
    pub fn options(&self, sessions: usize, least_rows: usize) -> Result<EngineOptions, OutOfRange> {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.unwrap_or_else(processors);
        within("--threads", threads, 1..=1024)?;
        if let Some(context) = self.context {
            within("--context", context, 2..=1 << 24)?;
        }
        within("--batch-rows", self.batch_rows, least_rows..=1 << 16)?;
        within("--prefix-cache", self.prefix_cache, 0..=1 << 24)?;
        within("--queue", self.queue, 2 * sessions..=1 << 20)?;
        Ok(EngineOptions {
            threads,
            max_sessions: sessions,
            queue: self.queue,
            max_batch_rows: self.batch_rows,
            context: self.context,
            prefix_cache: self.prefix_cache << 20,
            device: device(&self.device)?,
        })
    }
}

fn device(name: &str) -> Result<DeviceChoice, OutOfRange> {
    let (kind, number) = name.split_once(':').unwrap_or((name, "0"));
    match (kind, usize::from_str(number)) {
        ("cpu", _) if name == "cpu" => Ok(DeviceChoice::Cpu),
        ("cuda", Ok(number)) => Ok(DeviceChoice::Cuda(number)),
        ("metal", Ok(number)) => Ok(DeviceChoice::Metal(number)),
        _ => {
            let expected = "cpu, cuda, cuda:N, metal or metal:N";
            Err(OutOfRange::new("--device", name, expected))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Process {
        #[command(flatten)]
        engine: EngineArgs,
    }

    fn options(flags: &[&str]) -> Result<EngineOptions, OutOfRange> {
        let args = Process::try_parse_from(["process"].iter().chain(flags)).unwrap();
        args.engine.options(32, 2)
    }

    #[test]
    fn devices_are_named_by_kind_and_number() {
        for (name, device) in [
            ("cpu", DeviceChoice::Cpu),
            ("cuda", DeviceChoice::Cuda(0)),
            ("cuda:3", DeviceChoice::Cuda(3)),
            ("metal:1", DeviceChoice::Metal(1)),
        ] {
            assert_eq!(options(&["--device", name]).unwrap().device, device);
        }
    }

    #[test]
    fn prefix_cache_is_counted_in_mebibytes() {
        let options = options(&["--prefix-cache", "3"]).unwrap();
        assert_eq!(options.prefix_cache, 3 << 20);
    }

    #[test]
    fn values_out_of_range_are_refused_by_flag() {
        for (flag, value) in [
            ("--threads", "0"),
            ("--context", "1"),
            ("--batch-rows", "1"),
            ("--prefix-cache", "16777217"),
            ("--queue", "63"),
            ("--device", "tpu"),
            ("--device", "cpu:1"),
            ("--device", "cuda:x"),
        ] {
            assert_eq!(options(&[flag, value]).unwrap_err().flag, flag, "{value}");
        }
    }
}
