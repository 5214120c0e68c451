//! Arguments of the HTTP port.

/// The HTTP port.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "HTTP")]
pub struct HttpArgs {
    /// Origin of pages that browsers let use the API, such as `https://example.org`, or * for any; may be repeated, or several with commas [default: none]
    #[arg(
        long,
        env = "DUET_CORS_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    pub cors_origin: Vec<String>,

    /// Name of this server in requests, beside localhost and addresses, or * for any; may be repeated, or several with commas [default: none on a loopback address, any elsewhere]
    #[arg(
        long,
        env = "DUET_ALLOWED_HOST",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub allowed_host: Vec<String>,

    /// Serve /metrics on the HTTP port, too
    #[arg(long, env = "DUET_HTTP_METRICS")]
    pub http_metrics: bool,

    /// Report the load by vLLM's names, too, for routers that know no others
    #[arg(long, env = "DUET_VLLM_METRICS")]
    pub vllm_metrics: bool,
}
