//! The process `verifier-service`: arguments, configuration, telemetry, model, ports, service, end.

use std::process::ExitCode;

use chassis::{server, telemetry::Telemetry};
use serving::process::{self, told_to_stop};
use verifier_service::{app::App, args::Args, config::Config};

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
    let (server, http) = (config.server.clone(), config.http);
    let app = tokio::select! {
        app = App::start(config) => app?,
        () = told_to_stop() => return Ok(()),
    };
    let listener = server::bind(server.listen, "--listen").await?;
    let app = match http {
        Some(address) => app.with_http(server::bind(address, "--http").await?),
        None => app,
    };
    let app = match server.admin_listen {
        Some(address) => app.with_admin(server::bind(address, "--admin-listen").await?),
        None => app,
    };
    let drained = app.serve(listener, told_to_stop()).await?;
    tracing::info!(?drained, "stopped");
    Ok(())
}
