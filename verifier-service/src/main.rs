//! The process `verifier-service`: arguments, configuration, telemetry, model, port, service, end.

use std::process::ExitCode;

use chassis::{exit, lifecycle, server, telemetry::Telemetry};
use verifier_service::{app::App, args::Args, config::Config};

fn main() -> ExitCode {
    let args = match exit::parse::<Args>() {
        Ok(args) => args,
        Err(code) => return code,
    };
    let config = match Config::try_from(args) {
        Ok(config) => config,
        Err(error) => return exit::configuration(&error),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return exit::failure(&error),
    };
    match runtime.block_on(run(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::failure(error.as_ref()),
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
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

async fn told_to_stop() {
    match lifecycle::signal().await {
        Ok(name) => tracing::info!(name, "told to stop"),
        Err(error) => tracing::error!(%error, "cannot listen for signals"),
    }
}
