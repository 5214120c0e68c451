//! `duet bench`: what speculation brings, measured in turn with plain decoding on the same verifier.
//!
//! Both services run in this process, each on a runtime, and where the system allows on processors, of its own, and talk gRPC
//! over loopback; or a verifier that runs already is asked. Every prompt is decoded plainly and with each setting, one after
//! the other and in alternating order, so that whatever else the machine does falls on both.

mod args;
mod arrivals;
mod chart;
mod machine;
mod made;
mod plots;
mod processors;
mod relay;
mod report;
mod sample;
mod services;
mod session;
mod statistics;
mod workloads;

pub(crate) use self::args::Args;

use std::io::{self, Write as _};

use anyhow::Context as _;

use self::args::Plan;
use self::machine::Machine;
use self::report::{Report, Row};
use self::services::{Target, Tested};
use self::session::Session;
use self::workloads::Workload;
use crate::runtime::Exit;

/// Prompts that an error names; the report has all.
const LISTED: usize = 20;

/// Measures and prints. Exit codes: 0 every text that should be equal was, 1 one was not, 64 a wrong command line or file, 70 no
/// measurement.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let plan = args.plan()?;
    if let Some(folder) = &plan.plots {
        plots::prepare(folder)?;
    }
    let mut machine = Machine::here();
    let measured = measure(&plan, &mut machine).await;
    let rows = measured.map_err(|error| {
        if error.is::<Exit>() {
            return error;
        }
        error.context(Exit::unable("the measurement could not be made"))
    })?;
    machine.end();
    let report = Report {
        machine: &machine,
        plan: &plan,
        rows: &rows,
    };
    let mut out = io::stdout().lock();
    if plan.json {
        writeln!(out, "{:#}", report.json())?;
    } else {
        writeln!(out, "{report}")?;
    }
    if let Some(folder) = &plan.plots {
        plots::write(folder, &rows).context(Exit::unable("the plots are not written"))?;
    }
    let mut broken: Vec<&str> = rows.iter().flat_map(Row::broken_promises).collect();
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

async fn measure(plan: &Plan, machine: &mut Machine) -> anyhow::Result<Vec<Row>> {
    let workloads = workloads::load(plan).await?;
    let mut rows = Vec::new();
    if let Some(address) = &plan.verifier {
        let session = Session::new(Tested::running(address).await?, plan)?;
        rows.extend(session.measure(&workloads).await?);
        return Ok(rows);
    }
    for name in &plan.targets {
        let target = Target::load(name, plan).await?;
        machine.runs_on(&target);
        for drafter in &plan.drafters {
            rows.extend(with_drafter(&target, drafter, &workloads, plan).await?);
        }
    }
    Ok(rows)
}

async fn with_drafter(
    target: &Target,
    drafter: &str,
    workloads: &[Workload],
    plan: &Plan,
) -> anyhow::Result<Vec<Row>> {
    let drafter = services::drafter(drafter, plan).await?;
    let mut rows = Vec::new();
    for &round_trip in &plan.round_trips {
        let tested = target.verify(&drafter, round_trip, plan).await?;
        let session = Session::new(tested, plan)?;
        let measured = session.measure(workloads).await;
        let stopped = session.stop().await;
        rows.extend(measured?);
        stopped?;
    }
    drafter.stop().await?;
    Ok(rows)
}
