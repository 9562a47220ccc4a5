//! Figures and findings in the words of OTLP.

use aiospy::snapshot::{Bound, Severity};
use aiospy::watch::monitor::Event;
use jiff::Timestamp;
use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::Attributes;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::commands::watch::figures::{Figure, Figures, Kind, LENGTHS, Labels, Series, Value};
use crate::commands::watch::lines;
use crate::report::text::findings::word;

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// What an event about a finding of a process is as a log record; of others there is none.
pub fn record(event: &Event, pid: i32) -> Option<LogRecord> {
    let (what, tracked) = match event {
        Event::Opened(tracked) => ("opened", tracked),
        Event::Updated(tracked) => ("updated", tracked),
        Event::Closed(tracked) => ("closed", tracked),
        _ => return None,
    };
    let finding = &tracked.finding;
    let is_over = matches!(event, Event::Closed(_));
    // What is over is no alarm, nor what is known.
    let severity = if is_over || finding.is_allowed { Severity::Info } else { finding.severity };
    let title = if is_over { lines::title_when_over(tracked) } else { finding.title.to_string() };
    let pid = finding.pid.unwrap_or(pid);
    let mut attributes = vec![
        KeyValue::new("aiospy.finding.code", finding.code.as_str()),
        KeyValue::new("aiospy.finding.key", finding.key.clone()),
        KeyValue::new("aiospy.finding.severity", word(finding.severity).1),
        KeyValue::new("aiospy.finding.number", whole(tracked.number)),
        KeyValue::new("process.pid", i64::from(pid)),
    ];
    if finding.is_allowed {
        attributes.push(KeyValue::new("aiospy.finding.allowed", true));
    }
    if let Some(was) = tracked.was {
        attributes.push(KeyValue::new("aiospy.finding.severity_before", word(was).1));
    }
    if let Some(since) = finding.since {
        let bound = if since.bound == Bound::Exact { "exact" } else { "at-least" };
        let ms = since.time.as_secs_f64() * 1000.0;
        attributes.push(KeyValue::new("aiospy.finding.since_ms", ms));
        attributes.push(KeyValue::new("aiospy.finding.since_bound", bound));
    }
    if let Some(place) = &finding.place {
        attributes.push(KeyValue::new("code.function.name", place.function.to_string()));
        attributes.push(KeyValue::new("code.file.path", place.file.to_string()));
        let line = place.line.map(|line| KeyValue::new("code.line.number", i64::from(line)));
        attributes.extend(line);
    }
    Some(LogRecord {
        time_unix_nano: nanos(tracked.seen_at),
        observed_time_unix_nano: nanos(Timestamp::now()),
        severity_number: number(severity) as i32,
        severity_text: word(severity).1.to_owned(),
        body: Some(AnyValue { value: Some(any_value::Value::StringValue(title)) }),
        attributes: Attributes::from(attributes).0,
        event_name: format!("aiospy.finding.{what}"),
        ..LogRecord::default()
    })
}

fn number(severity: Severity) -> SeverityNumber {
    match severity {
        Severity::Info => SeverityNumber::Info,
        Severity::Warning => SeverityNumber::Warn,
        Severity::Critical => SeverityNumber::Error,
    }
}

/// Records of one process.
pub fn logs(resource: Resource, log_records: Vec<LogRecord>) -> ResourceLogs {
    let scope_logs = vec![ScopeLogs { scope: Some(scope()), log_records, ..ScopeLogs::default() }];
    ResourceLogs { resource: Some(resource), scope_logs, ..ResourceLogs::default() }
}

/// The figures of one process, as they are now.
pub fn metrics(resource: Resource, figures: &Figures) -> ResourceMetrics {
    let times = Times { since: nanos(figures.since()), now: nanos(Timestamp::now()) };
    let metrics = figures.all().filter_map(|(figure, series)| metric(figure, series, times));
    let scope_metrics = vec![ScopeMetrics {
        scope: Some(scope()),
        metrics: metrics.collect(),
        ..ScopeMetrics::default()
    }];
    ResourceMetrics { resource: Some(resource), scope_metrics, ..ResourceMetrics::default() }
}

#[derive(Clone, Copy)]
struct Times {
    since: u64,
    now: u64,
}

fn metric(figure: Figure, series: &Series, times: Times) -> Option<Metric> {
    let (name, kind, about) = figure.about();
    let numbers = || series.iter().filter_map(|(labels, value)| number_at(labels, value, times));
    let data = match kind {
        Kind::Gauge | Kind::GaugeSeconds => Data::Gauge(Gauge { data_points: numbers().collect() }),
        Kind::Counter | Kind::Seconds => Data::Sum(Sum {
            data_points: numbers().collect(),
            aggregation_temporality: CUMULATIVE,
            is_monotonic: true,
        }),
        Kind::Lengths => {
            let points = series.iter().filter_map(|(labels, value)| lengths(labels, value, times));
            Data::Histogram(Histogram {
                data_points: points.collect(),
                aggregation_temporality: CUMULATIVE,
            })
        }
        // The resource says it.
        Kind::Info => return None,
    };
    Some(Metric {
        name: format!("aiospy.{name}"),
        description: about.to_owned(),
        unit: if kind.is_time() { "s".to_owned() } else { String::new() },
        data: Some(data),
        ..Metric::default()
    })
}

fn number_at(labels: &Labels, value: &Value, times: Times) -> Option<NumberDataPoint> {
    let value = match value {
        Value::Number(number) => number_data_point::Value::AsInt(*number),
        Value::Time(time) => number_data_point::Value::AsDouble(*time),
        Value::Lengths(_) => return None,
    };
    Some(NumberDataPoint {
        attributes: attributes(labels),
        start_time_unix_nano: times.since,
        time_unix_nano: times.now,
        value: Some(value),
        ..NumberDataPoint::default()
    })
}

fn lengths(labels: &Labels, value: &Value, times: Times) -> Option<HistogramDataPoint> {
    let Value::Lengths(lengths) = value else { return None };
    Some(HistogramDataPoint {
        attributes: attributes(labels),
        start_time_unix_nano: times.since,
        time_unix_nano: times.now,
        count: lengths.count(),
        sum: Some(lengths.sum),
        bucket_counts: lengths.counts.to_vec(),
        explicit_bounds: LENGTHS.to_vec(),
        ..HistogramDataPoint::default()
    })
}

fn attributes(labels: &Labels) -> Vec<opentelemetry_proto::tonic::common::v1::KeyValue> {
    let pairs = labels.iter().map(|(name, value)| KeyValue::new(*name, value.clone()));
    Attributes::from(pairs).0
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "aiospy".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond()).unwrap_or(0)
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use aiospy::snapshot::{Code, Interval};
    use aiospy::watch::monitor::{Monitor, Settings};
    use aiospy::watch::sampler::Sample;
    use opentelemetry_proto::tonic::common::v1;

    use super::*;
    use crate::report::text::sample::{bank, finding};

    fn told(attributes: &[v1::KeyValue]) -> Vec<String> {
        let told = attributes.iter().map(|it| match it.value.as_ref().unwrap().value.as_ref() {
            Some(any_value::Value::StringValue(text)) => format!("{}={text}", it.key),
            Some(any_value::Value::IntValue(number)) => format!("{}:{number}", it.key),
            Some(any_value::Value::DoubleValue(number)) => format!("{}:{number:?}", it.key),
            other => panic!("{other:?}"),
        });
        told.collect()
    }

    #[test]
    fn a_finding_is_a_record_when_it_comes_and_when_it_is_over() {
        let mut monitor = Monitor::new(Settings::default());
        let mut records = Vec::new();
        for number in 0..6 {
            let mut snapshot = bank();
            let time = Duration::from_millis(300) * number;
            snapshot.taken_at = Timestamp::UNIX_EPOCH + time;
            snapshot.during = Interval::at(time);
            if number > 1 {
                snapshot.tasks.clear();
            }
            let events = monitor.take(&mut Sample::Whole(Arc::new(snapshot)));
            records.extend(events.iter().filter_map(|event| record(event, 7)));
        }
        let title = |it: &LogRecord| match it.body.clone().unwrap().value {
            Some(any_value::Value::StringValue(title)) => title,
            other => panic!("{other:?}"),
        };
        let brief = |it: &LogRecord| (it.event_name.clone(), it.severity_number, title(it));
        let deadlock = |what: &str, severity: SeverityNumber, title: &str| {
            (format!("aiospy.finding.{what}"), severity as i32, title.to_owned())
        };
        let of = |code: &str| {
            let code = format!("aiospy.finding.code={code}");
            let records = records.iter();
            records.filter(|it| told(&it.attributes)[0] == code).collect::<Vec<_>>()
        };
        let deadlocks = of("deadlock");
        assert_eq!(
            deadlocks.iter().map(|it| brief(it)).collect::<Vec<_>>(),
            [
                deadlock(
                    "opened",
                    SeverityNumber::Error,
                    "2 tasks are deadlocked: ada-to-bob and bob-to-ada hold what the other wants",
                ),
                deadlock(
                    "closed",
                    SeverityNumber::Info,
                    "2 tasks were deadlocked: ada-to-bob and bob-to-ada held what the other wanted",
                ),
            ]
        );
        let place = [
            "code.function.name=transfer",
            "code.file.path=/srv/bank/transfer.py",
            "code.line.number:41",
        ];
        for it in &deadlocks {
            assert_eq!(it.time_unix_nano, 300_000_000);
            assert!(it.observed_time_unix_nano > it.time_unix_nano);
            let what = [
                "aiospy.finding.code=deadlock",
                "aiospy.finding.key=deadlock/transfer.py:transfer",
                "aiospy.finding.severity=critical",
                "aiospy.finding.number:1",
                "process.pid:7",
            ];
            assert_eq!(told(&it.attributes), [&what[..], &place].concat());
        }
        let convoy = told(&of("lock-convoy")[0].attributes);
        let since = ["aiospy.finding.since_ms:300.0", "aiospy.finding.since_bound=at-least"];
        assert_eq!(convoy[5..], [&since[..], &place].concat());
    }

    #[test]
    fn each_kind_of_figure_has_its_shape() {
        let mut figures = Figures::default();
        let found = finding(Code::Deadlock, Severity::Critical, "a cycle", &[]);
        figures.open([&found].into_iter());
        let sent = metrics(Resource::default(), &figures);
        let sent = sent.scope_metrics.into_iter().flat_map(|it| it.metrics).map(|it| {
            let (kind, points) = match it.data.unwrap() {
                Data::Gauge(gauge) => ("gauge", gauge.data_points),
                Data::Sum(sum) => {
                    assert!(sum.is_monotonic);
                    assert_eq!(sum.aggregation_temporality, CUMULATIVE);
                    ("sum", sum.data_points)
                }
                other => panic!("{other:?}"),
            };
            assert!(points.iter().all(|it| it.start_time_unix_nano <= it.time_unix_nano));
            let values = points.into_iter().map(|it| (told(&it.attributes), it.value.unwrap()));
            (it.name, it.unit, kind, values.collect::<Vec<_>>())
        });
        let expected = |name: &str, unit: &str, kind, labels: &[&str], value| {
            let labels = labels.iter().map(|it| (*it).to_owned()).collect();
            (format!("aiospy.{name}"), unit.to_owned(), kind, vec![(labels, value)])
        };
        let whole = number_data_point::Value::AsInt;
        let labels = ["code=deadlock", "severity=critical"];
        assert_eq!(
            sent.collect::<Vec<_>>(),
            [
                expected("up", "", "gauge", &[], whole(0)),
                expected("samples_missed", "", "sum", &[], whole(0)),
                expected("own_cpu", "s", "sum", &[], number_data_point::Value::AsDouble(0.0)),
                expected("findings", "", "gauge", &labels, whole(1)),
            ]
        );
    }
}
