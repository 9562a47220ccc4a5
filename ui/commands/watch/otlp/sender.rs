//! What is to be sent waits in a queue with a limit, and a thread sends it: a collector that is slow
//! or gone never holds up watching.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use ureq::Agent;
use ureq::http::header::{CONTENT_TYPE, RETRY_AFTER};

use super::messages;
use crate::commands::watch::figures::{Figure, Labels, Shared};
use crate::io::output::note;

/// Records that wait; those beyond are dropped, and counted.
const MAX_WAITING: usize = 2048;
/// Records in one request.
const MAX_BATCH: usize = 512;
/// Processes whose figures are in one request, some 30 KB each.
const MAX_TOGETHER: usize = 50;
/// Processes that have ended and whose last figures wait.
const MAX_ENDED: usize = 1000;
/// How often it is looked for something to send.
const EVERY: Duration = Duration::from_secs(1);
/// The longest pause after failures, and the longest that a collector may ask for.
const LONGEST: Duration = Duration::from_secs(60);
const LONGEST_ASKED: Duration = Duration::from_secs(300);
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long all that still waits may take at the end.
const AT_END: Duration = Duration::from_millis(1500);
/// Bytes of an answer that are read.
const MAX_ANSWER: u64 = 64 << 10;

/// A process that things are told of.
#[derive(Debug)]
pub struct Source {
    /// Its id.
    pub pid: i32,
    resource: Mutex<Resource>,
    figures: Shared,
    is_over: AtomicBool,
}

impl Source {
    /// A process, with what is known of it.
    pub fn new(pid: i32, resource: Resource, figures: Shared) -> Self {
        Self { pid, resource: Mutex::new(resource), figures, is_over: AtomicBool::new(false) }
    }

    /// It is another than it was.
    pub fn set_resource(&self, resource: Resource) {
        *self.resource.lock().unwrap_or_else(PoisonError::into_inner) = resource;
    }

    /// Nothing more is told of it.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn resource(&self) -> Resource {
        self.resource.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count_dropped(&self, records: u64) {
        self.figures.lock().add(Figure::OtlpDropped, Labels::new(), records);
    }
}

type Record = (Arc<Source>, LogRecord);
type Say = Box<dyn Fn(&dyn fmt::Display) + Send>;

/// Sends records and figures.
#[derive(Debug)]
pub struct Sender {
    line: Arc<Line>,
}

/// What waits, for whoever brings it and the thread that sends it.
#[derive(Debug, Default)]
struct Line {
    state: Mutex<State>,
    /// It is to end, or has.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Record>,
    /// Records that the thread has taken and not got rid of yet.
    in_hand: usize,
    /// Records that are given up.
    lost: u64,
    sources: Vec<Arc<Source>>,
    ends_by: Option<Instant>,
    has_ended: bool,
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for so long, but not when it is to end; gives by when.
    fn wait(&self, pause: Duration) -> Option<Instant> {
        let goes_on = |state: &mut State| state.ends_by.is_none();
        let waited = self.changed.wait_timeout_while(self.state(), pause, goes_on);
        waited.unwrap_or_else(PoisonError::into_inner).0.ends_by
    }

    fn take(&self) -> Vec<Record> {
        let mut state = self.state();
        let some = state.waiting.len().min(MAX_BATCH);
        state.in_hand = some;
        state.waiting.drain(..some).collect()
    }

    /// Those that the thread has taken are gone, so many of them for good.
    fn settle(&self, lost: u64) {
        let mut state = self.state();
        state.in_hand = 0;
        state.lost += lost;
    }
}

impl Sender {
    /// One to the collector at `url`, which gets figures every so often.
    ///
    /// # Errors
    /// When there can be no thread for it.
    pub fn start(url: &str, every: Duration) -> anyhow::Result<Self> {
        let line = Arc::<Line>::default();
        let serving = Serving::new(Arc::clone(&line), url, every, Box::new(|what| note(what)));
        std::thread::Builder::new().name("otlp".to_owned()).spawn(move || serving.run())?;
        Ok(Self { line })
    }

    /// Sends the figures of a process from now on.
    pub fn add(&self, source: Source) -> Arc<Source> {
        let source = Arc::new(source);
        let mut state = self.line.state();
        if state.sources.len() >= MAX_ENDED {
            state.sources.retain(|it| !it.is_over());
        }
        state.sources.push(Arc::clone(&source));
        source
    }

    /// Sends a record of a process, or drops it if too many wait.
    pub fn send(&self, source: &Arc<Source>, record: LogRecord) {
        let mut state = self.line.state();
        if state.waiting.len() < MAX_WAITING {
            state.waiting.push_back((Arc::clone(source), record));
            return;
        }
        state.lost += 1;
        drop(state);
        source.count_dropped(1);
    }

    /// Waits for a moment until all is sent, and says what was not.
    pub fn finish(&self) {
        let mut state = self.line.state();
        state.ends_by = Some(Instant::now() + AT_END);
        self.line.changed.notify_all();
        let goes_on = |state: &mut State| !state.has_ended;
        let waited = self.line.changed.wait_timeout_while(state, AT_END, goes_on);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let left = u64::try_from(state.waiting.len() + state.in_hand).unwrap_or(u64::MAX);
        let lost = state.lost.saturating_add(left);
        drop(state);
        if lost > 0 {
            note(format_args!("--otlp: the collector did not acknowledge {lost} log records"));
        }
    }
}

/// What became of a request.
#[derive(Debug, PartialEq)]
enum Sent {
    /// It was taken; the answer.
    Taken(Vec<u8>),
    /// It may be taken later, after what the collector asks for.
    Later(Option<Duration>, String),
    /// It will never be.
    Refused(String),
}

/// The thread that sends.
struct Serving {
    line: Arc<Line>,
    agent: Agent,
    logs: String,
    metrics: String,
    every: Duration,
    /// What it is at.
    batch: Vec<Record>,
    pause: Pause,
    figures_at: Instant,
    trouble: Trouble,
}

/// What went wrong is said once.
struct Trouble {
    say: Say,
    said_outage: bool,
    said_refusal: bool,
}

impl Trouble {
    fn outage(&mut self, why: &str) {
        if !std::mem::replace(&mut self.said_outage, true) {
            (self.say)(&format_args!("--otlp: {why}; trying again"));
        }
    }

    fn refusal(&mut self, why: &str) {
        if !std::mem::replace(&mut self.said_refusal, true) {
            (self.say)(&format_args!("--otlp: {why}; what it refuses is dropped"));
        }
    }
}

/// How long it waits until it sends again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pause(Duration);

impl Pause {
    /// Longer each time it fails, and for as long as the collector asks for.
    fn after_failure(self, asked: Option<Duration>) -> Self {
        let asked = asked.unwrap_or_default().min(LONGEST_ASKED);
        Self((self.0 * 2).min(LONGEST).max(asked))
    }
}

impl Serving {
    fn new(line: Arc<Line>, url: &str, every: Duration, say: Say) -> Self {
        // A collector closes connections that are idle, and one for each request costs little.
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(0)
            .proxy(None)
            .user_agent(concat!("aiospy/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self {
            line,
            agent,
            logs: format!("{url}/v1/logs"),
            metrics: format!("{url}/v1/metrics"),
            every,
            batch: Vec::new(),
            pause: Pause(EVERY),
            figures_at: Instant::now() + every,
            trouble: Trouble { say, said_outage: false, said_refusal: false },
        }
    }

    fn run(mut self) {
        loop {
            let ends_by = self.line.wait(self.pause.0);
            let done = self.send_records(ends_by).and_then(|()| self.send_figures(ends_by));
            if ends_by.is_some() {
                break;
            }
            self.pause = match done {
                Ok(()) => Pause(EVERY),
                Err(asked) => self.pause.after_failure(asked),
            };
        }
        self.line.state().has_ended = true;
        self.line.changed.notify_all();
    }

    /// Sends what waits; if it has to be tried later, after how long the collector asks for.
    fn send_records(&mut self, ends_by: Option<Instant>) -> Result<(), Option<Duration>> {
        loop {
            if self.batch.is_empty() {
                self.batch = self.line.take();
            }
            if self.batch.is_empty() {
                return Ok(());
            }
            let all = u64::try_from(self.batch.len()).unwrap_or(u64::MAX);
            let lost = match self.post(&self.logs, &request(&self.batch).encode_to_vec(), ends_by) {
                Sent::Taken(answer) => rejected(&answer).min(all),
                Sent::Later(asked, why) => {
                    self.trouble.outage(&why);
                    return Err(asked);
                }
                Sent::Refused(why) => {
                    self.trouble.refusal(&why);
                    all
                }
            };
            if lost > 0 && lost < all {
                self.trouble.refusal(&format!("{} took {} of {all}", self.logs, all - lost));
            }
            self.settle(lost);
        }
    }

    /// Forgets what it is at, so many of which are lost.
    fn settle(&mut self, lost: u64) {
        self.line.settle(lost);
        let batch = std::mem::take(&mut self.batch);
        let of_one = |source: &Arc<Source>| batch.iter().all(|(it, _)| Arc::ptr_eq(it, source));
        if lost == u64::try_from(batch.len()).unwrap_or(u64::MAX) {
            for (source, _) in &batch {
                source.count_dropped(1);
            }
        } else if let Some((source, _)) = batch.first().filter(|it| lost > 0 && of_one(&it.0)) {
            // Of several the collector does not say whose they were.
            source.count_dropped(lost);
        }
    }

    /// Sends the figures, if it is time for them.
    fn send_figures(&mut self, ends_by: Option<Instant>) -> Result<(), Option<Duration>> {
        if ends_by.is_none() && Instant::now() < self.figures_at {
            return Ok(());
        }
        let sources = self.line.state().sources.clone();
        for some in sources.chunks(MAX_TOGETHER) {
            let last: Vec<&Arc<Source>> = some.iter().filter(|it| it.is_over()).collect();
            let of = |it: &Arc<Source>| messages::metrics(it.resource(), &it.figures.lock());
            let request =
                ExportMetricsServiceRequest { resource_metrics: some.iter().map(of).collect() };
            match self.post(&self.metrics, &request.encode_to_vec(), ends_by) {
                Sent::Taken(_) => {}
                Sent::Later(asked, why) => {
                    self.trouble.outage(&why);
                    return Err(asked);
                }
                Sent::Refused(why) => self.trouble.refusal(&why),
            }
            let is_done = |it: &Arc<Source>| last.iter().any(|last| Arc::ptr_eq(it, last));
            self.line.state().sources.retain(|it| !is_done(it));
        }
        self.figures_at = Instant::now() + self.every;
        Ok(())
    }

    fn post(&self, url: &str, body: &[u8], ends_by: Option<Instant>) -> Sent {
        let left = ends_by.map(|by| by.saturating_duration_since(Instant::now()));
        let timeout = left.unwrap_or(TIMEOUT).min(TIMEOUT);
        if timeout.is_zero() {
            return Sent::Later(None, format!("no time is left for {url}"));
        }
        let request = self.agent.post(url).config().timeout_global(Some(timeout)).build();
        let mut answer = match request.header(CONTENT_TYPE, "application/x-protobuf").send(body) {
            Ok(answer) => answer,
            Err(ureq::Error::Io(error)) => {
                return Sent::Later(None, format!("could not reach {url}: {error}"));
            }
            Err(error) => return Sent::Later(None, format!("could not reach {url}: {error}")),
        };
        let status = answer.status();
        let why = || format!("{url} answered {status}");
        match status.as_u16() {
            // Nobody waits for an answer that does not come to its end.
            200..300 => Sent::Taken(
                answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec().unwrap_or_default(),
            ),
            // What the protocol says is to be tried again.
            429 | 502 | 503 | 504 => {
                let asked = answer.headers().get(RETRY_AFTER).and_then(|it| it.to_str().ok());
                let asked = asked.and_then(|it| it.parse().ok()).map(Duration::from_secs);
                Sent::Later(asked, why())
            }
            _ => Sent::Refused(why()),
        }
    }
}

fn request(batch: &[Record]) -> ExportLogsServiceRequest {
    let mut by_source: Vec<(&Arc<Source>, Vec<LogRecord>)> = Vec::new();
    for (source, record) in batch {
        match by_source.iter_mut().find(|(it, _)| Arc::ptr_eq(it, source)) {
            Some((_, records)) => records.push(record.clone()),
            None => by_source.push((source, vec![record.clone()])),
        }
    }
    let logs = by_source.into_iter().map(|(it, records)| messages::logs(it.resource(), records));
    ExportLogsServiceRequest { resource_logs: logs.collect() }
}

/// How many records a collector has not taken of those that it was sent.
fn rejected(answer: &[u8]) -> u64 {
    let answer = ExportLogsServiceResponse::decode(answer).unwrap_or_default();
    let rejected = answer.partial_success.map_or(0, |it| it.rejected_log_records);
    u64::try_from(rejected).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::sync::mpsc::{Receiver, channel};
    use std::thread::JoinHandle;

    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsPartialSuccess;
    use tiny_http::{Header, Response, Server};

    use super::*;
    use crate::commands::watch::figures::Value;

    type Answer = Response<Cursor<Vec<u8>>>;
    /// The path and the body of each request.
    type Got = Vec<(String, Vec<u8>)>;

    fn answer(status: u16, body: Vec<u8>) -> Answer {
        Response::from_data(body).with_status_code(status)
    }

    /// A collector that gives these answers, with what it was sent.
    fn collector(answers: Vec<Answer>) -> (String, JoinHandle<Got>) {
        let server = Server::http("127.0.0.1:0").unwrap();
        let url = format!("http://{}", server.server_addr().to_ip().unwrap());
        let serve = move || {
            let got = answers.into_iter().map(|answer| {
                let mut request = server.recv_timeout(TIMEOUT).unwrap().unwrap();
                let mut body = Vec::new();
                request.as_reader().read_to_end(&mut body).unwrap();
                let path = request.url().to_owned();
                request.respond(answer).unwrap();
                (path, body)
            });
            got.collect()
        };
        (url, std::thread::spawn(serve))
    }

    fn source() -> Source {
        Source::new(7, Resource::default(), Shared::default())
    }

    fn numbered(number: u64) -> LogRecord {
        LogRecord { time_unix_nano: number, ..LogRecord::default() }
    }

    fn dropped(source: &Source) -> i64 {
        let figures = source.figures.lock();
        let series = figures.all().find(|(figure, _)| *figure == Figure::OtlpDropped);
        match series.and_then(|(_, series)| series.get(&Labels::new())) {
            Some(Value::Number(number)) => *number,
            _ => 0,
        }
    }

    /// One without a thread of its own, and what it says.
    fn serving(url: &str) -> (Sender, Serving, Receiver<String>) {
        let line = Arc::<Line>::default();
        let (sender, said) = channel();
        let say = move |what: &dyn fmt::Display| sender.send(what.to_string()).unwrap();
        let serving = Serving::new(Arc::clone(&line), url, EVERY, Box::new(say));
        (Sender { line }, serving, said)
    }

    #[test]
    fn what_waits_is_sent_at_the_end_in_its_order_and_the_figures_last() {
        let answers = (0..3).map(|_| answer(200, Vec::new())).collect();
        let (url, got) = collector(answers);
        let (sender, serving, _) = serving(&url);
        let source = sender.add(source());
        let all = u64::try_from(MAX_BATCH).unwrap() + 88;
        (0..all).for_each(|number| sender.send(&source, numbered(number)));
        source.end();
        sender.line.state().ends_by = Some(Instant::now() + TIMEOUT);
        serving.run();
        assert!(sender.line.state().has_ended);
        let got = got.join().unwrap();
        let paths: Vec<&str> = got.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["/v1/logs", "/v1/logs", "/v1/metrics"]);
        let numbers: Vec<u64> = got[..2]
            .iter()
            .flat_map(|(_, body)| {
                let request = ExportLogsServiceRequest::decode(&body[..]).unwrap();
                let scopes = request.resource_logs.into_iter().flat_map(|it| it.scope_logs);
                scopes.flat_map(|it| it.log_records).map(|it| it.time_unix_nano)
            })
            .collect();
        assert!(numbers.into_iter().eq(0..all));
        let figures = ExportMetricsServiceRequest::decode(&got[2].1[..]).unwrap();
        assert_eq!(figures.resource_metrics.len(), 1);
        assert_eq!(dropped(&source), 0);
        // It has ended, and its last figures are sent.
        assert_eq!(sender.line.state().sources.len(), 0);
    }

    #[test]
    fn what_there_is_no_room_for_is_dropped_and_counted() {
        let (sender, _, _) = serving("http://127.0.0.1:1");
        let source = sender.add(source());
        let most = u64::try_from(MAX_WAITING).unwrap();
        (0..most + 3).for_each(|number| sender.send(&source, numbered(number)));
        assert_eq!(dropped(&source), 3);
        let state = sender.line.state();
        assert_eq!((state.waiting.len(), state.lost), (MAX_WAITING, 3));
        assert_eq!(state.waiting[0].1.time_unix_nano, 0);
    }

    #[test]
    fn what_may_be_taken_later_is_kept_and_what_is_refused_is_dropped_and_counted() {
        let wait = Header::from_bytes("Retry-After", "7").unwrap();
        let partial = ExportLogsServiceResponse {
            partial_success: Some(ExportLogsPartialSuccess {
                rejected_log_records: 1,
                error_message: String::new(),
            }),
        };
        let (url, got) = collector(vec![
            answer(503, Vec::new()).with_header(wait),
            answer(429, Vec::new()),
            answer(200, partial.encode_to_vec()),
            answer(400, Vec::new()),
            answer(404, Vec::new()),
        ]);
        let (sender, mut serving, said) = serving(&url);
        let source = sender.add(source());
        for number in 0..3 {
            sender.send(&source, numbered(number));
        }
        assert_eq!(serving.send_records(None), Err(Some(Duration::from_secs(7))));
        assert_eq!(sender.line.state().in_hand, 3);
        assert_eq!(serving.send_records(None), Err(None));
        assert_eq!((serving.send_records(None), dropped(&source)), (Ok(()), 1));
        for number in 3..5 {
            sender.send(&source, numbered(number));
        }
        assert_eq!((serving.send_records(None), dropped(&source)), (Ok(()), 3));
        serving.figures_at = Instant::now();
        assert_eq!(serving.send_figures(None), Ok(()));
        assert_eq!(sender.line.state().lost, 3);
        let got = got.join().unwrap();
        assert_eq!(got[0], got[1]);
        assert_eq!(got[0], got[2]);
        drop(serving);
        let said: Vec<String> = said.iter().collect();
        assert_eq!(
            said,
            [
                format!("--otlp: {url}/v1/logs answered 503 Service Unavailable; trying again"),
                format!("--otlp: {url}/v1/logs took 2 of 3; what it refuses is dropped"),
            ]
        );
    }

    #[test]
    fn one_that_cannot_be_reached_is_said_once_and_tried_less_and_less_often() {
        // It was free a moment ago, and nobody listens there.
        let (url, got) = collector(Vec::new());
        got.join().unwrap();
        let (sender, mut serving, said) = serving(&url);
        let source = sender.add(source());
        sender.send(&source, numbered(1));
        for _ in 0..2 {
            assert_eq!(serving.send_records(None), Err(None));
        }
        assert_eq!(serving.send_records(Some(Instant::now())), Err(None));
        assert_eq!((sender.line.state().in_hand, dropped(&source)), (1, 0));
        drop(serving);
        let said: Vec<String> = said.iter().collect();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with(&format!("--otlp: could not reach {url}/v1/logs: ")));

        let mut pauses = vec![Pause(EVERY)];
        for _ in 0..7 {
            pauses.push(pauses[pauses.len() - 1].after_failure(None));
        }
        let seconds: Vec<u64> = pauses.iter().map(|it| it.0.as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        let asked = |seconds| Pause(EVERY).after_failure(Some(Duration::from_secs(seconds))).0;
        assert_eq!([asked(1), asked(9)].map(|it| it.as_secs()), [2, 9]);
        assert_eq!(asked(u64::MAX), LONGEST_ASKED);
    }
}
