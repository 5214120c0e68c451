//! `duet bench`: the speed-up of speculation over plain decoding, measured by turns on the same verifier.
//!
//! Both services run in this process and talk gRPC over loopback. Each has its own runtime, and its own processors where the
//! system allows. Alternatively a running verifier is asked. Every prompt is decoded plainly and with each setting, one after
//! the other and in alternating order, so that other load on the machine affects all settings alike.

mod args;
mod arrivals;
mod chart;
mod experiment;
mod generated;
mod machine;
mod measurement;
mod plots;
mod processors;
mod relay;
mod reply;
mod report;
mod services;
mod statistics;
mod task;
mod workloads;

pub(crate) use self::args::Args;

use std::io::{self, Write as _};

use anyhow::Context as _;

use self::experiment::Experiment;
use self::machine::Machine;
use self::measurement::Measurement;
use self::report::{BenchReport, ReportRow};
use self::services::{LoadedTarget, Tested};
use self::task::Workload;
use crate::runtime::Exit;

/// Most prompts that an error names; the report has all.
const LISTED: usize = 20;

/// Measures and prints. Exit codes: 0 if all texts that must be equal are, 1 if one is not, 64 for a wrong command line or file,
/// 70 if nothing could be measured.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let experiment = args.experiment()?;
    if let Some(folder) = &experiment.plots {
        plots::prepare(folder)?;
    }
    let mut machine = Machine::here();
    let measured = measure(&experiment, &mut machine).await;
    let rows = measured.map_err(|error| {
        if error.is::<Exit>() {
            return error;
        }
        error.context(Exit::unable("the measurement could not be made"))
    })?;
    machine.end();
    let report = BenchReport {
        machine: &machine,
        experiment: &experiment,
        rows: &rows,
    };
    let mut out = io::stdout().lock();
    if experiment.json {
        writeln!(out, "{:#}", report.json())?;
    } else {
        writeln!(out, "{report}")?;
    }
    if let Some(folder) = &experiment.plots {
        plots::write(folder, &rows).context(Exit::unable("the plots are not written"))?;
    }
    let mut broken: Vec<&str> = rows.iter().flat_map(ReportRow::broken_promises).collect();
    if broken.is_empty() {
        return Ok(());
    }
    broken.truncate(LISTED);
    Err(Exit::found(format!(
        "texts that should be equal differ: {}",
        broken.join(", ")
    ))
    .into())
}

async fn measure(experiment: &Experiment, machine: &mut Machine) -> anyhow::Result<Vec<ReportRow>> {
    let workloads = workloads::load(
        &experiment.workloads,
        experiment.prompts.as_deref(),
        experiment.count,
        experiment.cache.clone(),
    )
    .await?;
    let mut rows = Vec::new();
    if let Some(address) = &experiment.verifier {
        let measurement = Measurement::new(Tested::running(address).await?, experiment)?;
        rows.extend(measurement.measure(&workloads).await?);
        return Ok(rows);
    }
    for name in &experiment.targets {
        let target = LoadedTarget::load(name, experiment).await?;
        machine.runs_on(&target);
        for drafter in &experiment.drafters {
            rows.extend(with_drafter(&target, drafter, &workloads, experiment).await?);
        }
    }
    Ok(rows)
}

async fn with_drafter(
    target: &LoadedTarget,
    drafter: &str,
    workloads: &[Workload],
    experiment: &Experiment,
) -> anyhow::Result<Vec<ReportRow>> {
    let drafter = services::drafter(drafter, experiment).await?;
    let mut rows = Vec::new();
    for &round_trip in &experiment.round_trips {
        let tested = target.verify(&drafter, round_trip, experiment).await?;
        let measurement = Measurement::new(tested, experiment)?;
        let measured = measurement.measure(workloads).await;
        let stopped = measurement.stop().await;
        rows.extend(measured?);
        stopped?;
    }
    drafter.stop().await?;
    Ok(rows)
}
