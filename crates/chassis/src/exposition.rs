//! Metrics as text over HTTP, in the format that the scraper asks for.
//!
//! `prometheus-client` writes `OpenMetrics` alone. Prometheus's own format, which every scraper and `promtool` read, differs in
//! little: a family has the name of its samples, nothing declares a unit, and there is no kind of metric for information.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ACCEPT, CONTENT_TYPE, VARY},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::registry::Registry;

use crate::metrics;

/// Media type of `OpenMetrics`.
const OPEN_METRICS: &str = "application/openmetrics-text";
/// Media type of Prometheus's text, and ranges that include it.
const PLAIN: [&str; 3] = ["text/plain", "text/*", "*/*"];

/// Format of metrics as text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Format {
    /// Prometheus's own, version 0.0.4.
    Prometheus,
    OpenMetrics,
}

/// `GET /metrics` of this registry.
pub fn route(registry: Arc<Registry>) -> Router {
    Router::new().route("/metrics", get(scrape).with_state(registry))
}

async fn scrape(State(registry): State<Arc<Registry>>, headers: HeaderMap) -> Response {
    let format = Format::asked_for(&headers);
    let text = match (metrics::encode(&registry), format) {
        (Ok(text), Format::OpenMetrics) => text,
        (Ok(text), Format::Prometheus) => prometheus(&text),
        (Err(error), _) => {
            return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
        }
    };
    let kind = HeaderValue::from_static(format.content_type());
    let headers = [
        (CONTENT_TYPE, kind),
        (VARY, HeaderValue::from_static("accept")),
    ];
    (headers, text).into_response()
}

impl Format {
    /// The format that the scraper prefers; Prometheus's own where it does not care.
    fn asked_for(headers: &HeaderMap) -> Self {
        let values = headers.get_all(ACCEPT).into_iter();
        let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        let ranges = || values.iter().flat_map(|value| value.split(','));
        let best = |media: &[&str]| ranges().map(|range| quality(range, media)).max();
        let open = best(&[OPEN_METRICS]).unwrap_or(0);
        if open > 0 && open >= best(&PLAIN).unwrap_or(0) {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => metrics::CONTENT_TYPE,
        }
    }
}

/// Thousandths of the quality that a range of an `Accept` header gives one of these media types.
fn quality(range: &str, media: &[&str]) -> u32 {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    if !media.iter().any(|media| media.eq_ignore_ascii_case(name)) {
        return 0;
    }
    let given = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
    (given.unwrap_or(1.0).clamp(0.0, 1.0) * 1000.0) as u32
}

/// The same metrics in Prometheus's own format.
fn prometheus(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    // `HELP` comes before `TYPE`, which decides about the name in both.
    let mut help = "";
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(_), about) => help = about.unwrap_or_default(),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", kind),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    _ => ("", kind),
                };
                for (word, rest) in [("HELP", help), ("TYPE", kind)] {
                    text.extend(["# ", word, " ", name, suffix, " ", rest, "\n"]);
                }
            }
            (Some("#"), ..) => {}
            _ => text.extend([line, "\n"]),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(accept: &[&'static str]) -> Format {
        let value = |text: &&'static str| (ACCEPT, HeaderValue::from_static(text));
        Format::asked_for(&accept.iter().map(value).collect())
    }

    #[test]
    fn format_is_the_one_that_the_scraper_prefers() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,\
            application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for accept in [
            &[prometheus_2][..],
            &["application/openmetrics-text"],
            &["text/plain;q=0.5", "Application/OpenMetrics-Text; q=0.5"],
        ] {
            assert_eq!(asked(accept), Format::OpenMetrics, "{accept:?}");
        }
        for accept in [
            &[][..],
            &["*/*"],
            &["text/plain;version=0.0.4"],
            &["text/plain, application/openmetrics-text;q=0.9"],
            &["application/openmetrics-text;q=0"],
            &["application/json"],
        ] {
            assert_eq!(asked(accept), Format::Prometheus, "{accept:?}");
        }
    }

    #[test]
    fn families_of_prometheus_have_the_names_of_their_samples() {
        let open_metrics = "\
            # HELP duet_build The process that is scraped.\n\
            # TYPE duet_build info\n\
            duet_build_info{service=\"a b\"} 1\n\
            # HELP duet_rounds Rounds.\n\
            # TYPE duet_rounds counter\n\
            duet_rounds_total 1\n\
            # HELP duet_queue_seconds Waiting.\n\
            # TYPE duet_queue_seconds histogram\n\
            # UNIT duet_queue_seconds seconds\n\
            duet_queue_seconds_sum 0.25\n\
            # EOF\n";
        let expected = "\
            # HELP duet_build_info The process that is scraped.\n\
            # TYPE duet_build_info gauge\n\
            duet_build_info{service=\"a b\"} 1\n\
            # HELP duet_rounds_total Rounds.\n\
            # TYPE duet_rounds_total counter\n\
            duet_rounds_total 1\n\
            # HELP duet_queue_seconds Waiting.\n\
            # TYPE duet_queue_seconds histogram\n\
            duet_queue_seconds_sum 0.25\n";
        assert_eq!(prometheus(open_metrics), expected);
    }
}
