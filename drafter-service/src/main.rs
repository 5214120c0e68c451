//! The process `drafter-service`: arguments, configuration, telemetry, model, ports, service, end.

use std::process::ExitCode;

use chassis::{server, telemetry::Telemetry};
use drafter_service::{app::App, args::Args, config::Config};
use serving::process::{self, told_to_stop};

fn main() -> ExitCode {
    process::run::<Args, _, _>(serve)
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let _telemetry = Telemetry::start(
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_VERSION"),
        &config.log,
    )?;
    tracing::info!(?config, "effective configuration");
    let server = config.server.clone();
    let app = tokio::select! {
        app = App::start(config) => app?,
        () = told_to_stop() => return Ok(()),
    };
    let listener = server::bind(server.listen, "--listen").await?;
    let app = match server.admin_listen {
        Some(address) => app.with_admin(server::bind(address, "--admin-listen").await?),
        None => app,
    };
    let drained = app.serve(listener, told_to_stop()).await?;
    tracing::info!(?drained, "stopped");
    Ok(())
}
