//! `--metrics ADDR`: the figures of a target, as `OpenMetrics` text over HTTP, for Prometheus and its
//! like.

use std::fmt;

use anyhow::anyhow;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use tiny_http::{Header, Method, Response, Server};

use super::figures::{Kind, LENGTHS, Labels, Shared, Value};

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves figures at `address`, as `127.0.0.1:9464` or `:9464`, until the program ends.
///
/// # Errors
/// When nothing can listen there.
pub fn serve(address: &str, figures: Shared) -> anyhow::Result<()> {
    let full =
        if address.starts_with(':') { format!("0.0.0.0{address}") } else { address.to_owned() };
    let server = Server::http(&full)
        .map_err(|error| anyhow!("--metrics {address}: nothing can listen there: {error}"))?;
    let registry = registry(figures);
    std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
        for request in server.incoming_requests() {
            let is_asked = matches!(request.method(), Method::Get | Method::Head);
            let (code, text) = match request.url().split('?').next() {
                Some("/metrics") if is_asked => (200, text_of(&registry)),
                Some("/") if is_asked => (200, "aiospy: see /metrics\n".to_owned()),
                _ => (404, "not found: see /metrics\n".to_owned()),
            };
            let kind = if text.ends_with("# EOF\n") { CONTENT_TYPE } else { "text/plain" };
            let mut response = Response::from_string(text).with_status_code(code);
            if let Ok(header) = Header::from_bytes("Content-Type", kind) {
                response.add_header(header);
            }
            // Whoever asked is gone.
            let _ = request.respond(response);
        }
    })?;
    Ok(())
}

fn registry(figures: Shared) -> Registry {
    let mut registry = Registry::with_prefix("aiospy");
    registry.register_collector(Box::new(Served(figures)));
    registry
}

/// Figures as they are when they are asked for.
#[derive(Debug)]
struct Served(Shared);

impl Collector for Served {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (figure, series) in self.0.lock().all() {
            let (name, kind, about) = figure.about();
            let unit = kind.is_time().then_some(&Unit::Seconds);
            let mut metric =
                encoder.encode_descriptor(name, &format!("{about}."), unit, type_of(kind))?;
            for (labels, value) in series {
                write(&mut metric, kind, labels, value)?;
            }
        }
        Ok(())
    }
}

fn type_of(kind: Kind) -> MetricType {
    match kind {
        Kind::Gauge | Kind::GaugeSeconds => MetricType::Gauge,
        Kind::Counter | Kind::Seconds => MetricType::Counter,
        Kind::Lengths => MetricType::Histogram,
        Kind::Info => MetricType::Info,
    }
}

fn write(to: &mut MetricEncoder<'_>, kind: Kind, labels: &Labels, value: &Value) -> fmt::Result {
    if kind == Kind::Info {
        return to.encode_info(labels);
    }
    let mut to = to.encode_family(labels)?;
    match value {
        Value::Number(number) if kind == Kind::Counter => {
            let number = u64::try_from(*number).unwrap_or(0);
            to.encode_counter::<NoLabelSet, _, u64>(&number, None)
        }
        Value::Number(number) => to.encode_gauge(number),
        Value::Time(time) if kind == Kind::Seconds => {
            to.encode_counter::<NoLabelSet, _, u64>(time, None)
        }
        Value::Time(time) => to.encode_gauge(time),
        Value::Lengths(lengths) => {
            let bounds = LENGTHS.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(lengths.counts).collect();
            to.encode_histogram::<NoLabelSet>(lengths.sum, lengths.count(), &buckets, None)
        }
    }
}

fn text_of(registry: &Registry) -> String {
    let mut text = String::new();
    // Nothing that is written to memory fails.
    let _ = encode(&mut text, registry);
    text
}

#[cfg(test)]
mod tests {
    use aiospy::snapshot::{Code, Severity};

    use super::*;
    use crate::report::text::sample::finding;

    #[test]
    fn a_finding_that_went_away_is_none() {
        let figures = Shared::default();
        let registry = registry(figures.clone());
        let finding = finding(Code::Deadlock, Severity::Critical, "a circle", &[]);
        let line = "aiospy_findings{code=\"deadlock\",severity=\"critical\"} ";
        let told = || {
            let text = text_of(&registry);
            assert!(text.ends_with("# EOF\n"));
            text.lines().find_map(|it| Some(it.strip_prefix(line)?.to_owned()))
        };
        figures.lock().open([&finding, &finding].into_iter());
        assert_eq!(told().as_deref(), Some("2"));
        figures.lock().open(std::iter::empty());
        assert_eq!(told().as_deref(), Some("0"));
    }
}
