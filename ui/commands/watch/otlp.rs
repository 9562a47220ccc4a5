//! `--otlp URL`: findings as log records and the figures of `--metrics` as metrics, to an
//! `OpenTelemetry` collector by OTLP over HTTP.
//!
//! What is sent is what findings and figures say of the program: places, routes, kinds and numbers,
//! never paths, parameters or values. The watched process is the resource.

mod messages;
mod sender;

use std::sync::Arc;

use aiospy::snapshot::Process;
use aiospy::watch::News;
use aiospy::watch::sampler::Sample;
use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::resource::EnvResourceDetector;

use self::sender::{Sender, Source};
use super::figures::Shared;
use crate::commands::options::Watching;

const SERVICE_NAME: &str = "service.name";

/// Sends what is told of all processes that are watched.
#[derive(Debug)]
pub struct Exporter {
    sender: Arc<Sender>,
    service: Option<String>,
}

/// One process that things are told of.
#[derive(Debug)]
pub struct Origin {
    sender: Arc<Sender>,
    service: Option<String>,
    figures: Shared,
    /// Once it was attached to.
    source: Option<Arc<Source>>,
}

impl Exporter {
    /// One that sends to the collector at `url`.
    ///
    /// # Errors
    /// When there can be no thread for it.
    pub fn new(url: &str, options: &Watching) -> anyhow::Result<Self> {
        let sender = Sender::start(url, options.interval)?;
        Ok(Self { sender: Arc::new(sender), service: options.otlp_service.clone() })
    }

    /// A process with these figures.
    pub fn origin(&self, figures: &Shared) -> Origin {
        Origin {
            sender: Arc::clone(&self.sender),
            service: self.service.clone(),
            figures: figures.clone(),
            source: None,
        }
    }

    /// Sends what still waits, for a moment.
    pub fn finish(&self) {
        self.sender.finish();
    }
}

impl Origin {
    /// Takes in what is new; its figures have it already.
    pub fn note(&mut self, news: &News<'_>) {
        if let Sample::Attached(process) = news.sample {
            let resource = resource(process, self.service.as_deref());
            if let Some(source) = &self.source {
                // It has replaced its program.
                source.set_resource(resource);
            } else {
                let source = Source::new(process.pid, resource, self.figures.clone());
                self.source = Some(self.sender.add(source));
            }
        }
        let Some(source) = &self.source else { return };
        for record in news.events.iter().filter_map(|it| messages::record(it, source.pid)) {
            self.sender.send(source, record);
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Some(source) = &self.source {
            source.end();
        }
    }
}

/// What a process is, and where. What the environment says goes before what is seen: whoever set it
/// knows better.
fn resource(process: &Process, service: Option<&str>) -> Resource {
    let container = process.container.as_ref();
    let own_host = || {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
        Some(name.trim().to_owned())
    };
    let host = match container {
        Some(container) => container.hostname.clone(),
        None => own_host(),
    };
    let of_container = |field: fn(&aiospy::snapshot::Container) -> &Option<String>| {
        container.and_then(|it| field(it).clone())
    };
    let seen = [
        ("process.runtime.name", process.implementation.clone()),
        ("process.runtime.version", process.python.clone()),
        ("host.name", host),
        ("container.id", of_container(|it| &it.id)),
        ("container.runtime.name", of_container(|it| &it.runtime)),
        ("k8s.container.name", of_container(|it| &it.name)),
        ("k8s.pod.uid", of_container(|it| &it.pod_uid)),
    ];
    let seen = seen.into_iter().filter_map(|(name, value)| Some(KeyValue::new(name, value?)));
    let given = service.map(str::to_owned);
    let given = given.or_else(|| std::env::var("OTEL_SERVICE_NAME").ok());
    let given = given.filter(|name| !name.is_empty()).map(|it| KeyValue::new(SERVICE_NAME, it));
    let all = opentelemetry_sdk::Resource::builder_empty()
        .with_attribute(KeyValue::new("process.pid", i64::from(process.pid)))
        .with_attributes(seen)
        .with_detector(Box::new(EnvResourceDetector::new()))
        .with_attributes(given);
    let attributes = ResourceAttributesWithSchema::from(&all.build()).attributes.0;
    Resource { attributes, ..Resource::default() }
}

#[cfg(test)]
mod tests {
    use aiospy::snapshot::Container;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    use super::*;

    #[test]
    fn what_is_not_known_of_a_process_is_not_said() {
        let told = |process: &Process| {
            let resource = resource(process, Some("shop"));
            let mut told: Vec<String> = resource
                .attributes
                .into_iter()
                .map(|it| match it.value.unwrap().value.unwrap() {
                    Value::StringValue(text) => format!("{}={text}", it.key),
                    Value::IntValue(number) => format!("{}:{number}", it.key),
                    other => panic!("{other:?}"),
                })
                .collect();
            told.sort();
            told
        };
        let mut process = Process { pid: 7, ..Process::default() };
        process.container =
            Some(Container { pod_uid: Some("u".to_owned()), ..Container::default() });
        // No host name: ours is not that of the container.
        assert_eq!(told(&process), ["k8s.pod.uid=u", "process.pid:7", "service.name=shop"]);
        process.container = None;
        process.python = Some("3.12.1".to_owned());
        let told = told(&process);
        assert!(told[0].starts_with("host.name="), "{told:?}");
        assert_eq!(
            told[1..],
            ["process.pid:7", "process.runtime.version=3.12.1", "service.name=shop"]
        );
    }
}
