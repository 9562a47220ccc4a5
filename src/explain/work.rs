//! What tasks work for, in the snapshot's words: since when, and for whom those work that have no
//! request of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use super::context::note_ids;
use crate::asyncio::{ContextFacts, Label, Labels, NO_ROUTE, Reading};
use crate::known::work::Clock;
use crate::memory::Address;
use crate::snapshot::{Age, Source, Task, Work, WorkKind};

/// Tasks that wait for one another, from one with a request on.
const MAX_DEPTH: usize = 64;

/// Tells a task what its frames say of its work.
pub(crate) fn note(
    task: &mut Task,
    labels: Labels,
    context: Option<&ContextFacts>,
    reading: &Reading,
) {
    let with_age = |label: Label| {
        let since = label.began.and_then(|began| age(began, reading));
        Work { since, ..label.work }
    };
    task.work = labels.work.map(|label| {
        let context = context.filter(|_| label.is_all);
        let mut work = with_age(label);
        if let Some(context) = context {
            note_ids(&mut work, context);
        }
        Arc::new(work)
    });
    task.call = labels.call.map(|label| Arc::new(with_age(label)));
}

/// How long it has been since that.
fn age((clock, began): (Clock, f64), reading: &Reading) -> Option<Age> {
    let epoch = reading.wall_clock.as_duration().as_secs_f64();
    let passed = match clock {
        Clock::Monotonic => reading.now? - began,
        Clock::Epoch => epoch - began,
        Clock::EpochMillis => epoch - began / 1e3,
    };
    let passed = Duration::try_from_secs_f64(passed).ok()?;
    Some(Age::exact(passed, Source::Frame))
}

/// Says of calls without a beginning of their own when their connection has last sent something.
pub(crate) fn note_sent(tasks: &mut [Task]) {
    for task in tasks {
        let tcp = task.waiting_on.as_ref().and_then(|waiting| waiting.tcp());
        let sent = tcp.and_then(|tcp| tcp.last_sent);
        if let Some(call) = &mut task.call
            && call.since.is_none()
            && let Some(sent) = sent
        {
            Arc::make_mut(call).since = Some(Age::at_least(sent, Source::Connection));
        }
    }
}

/// Says of requests without a beginning of their own for how long their connection has brought
/// nothing more: they came with it, or before.
pub(crate) fn note_heard(
    tasks: &mut [Task],
    heard_from: impl FnOnce(&[Arc<str>]) -> BTreeMap<Arc<str>, Duration>,
) {
    let is_wanted = |work: &Work| work.kind == Some(WorkKind::Request) && work.since.is_none();
    let works = tasks.iter().filter_map(|task| task.work.as_ref());
    let clients = works.filter(|work| is_wanted(work)).filter_map(|work| work.client.clone());
    let clients: Vec<Arc<str>> = clients.collect::<BTreeSet<_>>().into_iter().collect();
    if clients.is_empty() {
        return;
    }
    let heard = heard_from(&clients);
    for work in tasks.iter_mut().filter_map(|task| task.work.as_mut()) {
        let heard = work.client.as_ref().and_then(|client| heard.get(client));
        if let Some(&heard) = heard.filter(|_| is_wanted(work)) {
            Arc::make_mut(work).since = Some(Age::at_least(heard, Source::Connection));
        }
    }
}

/// Tells all tasks that work for a request what only one of them may know: its route, who asked, when it
/// began, and its ids.
pub(crate) fn share(tasks: &mut [Task]) {
    let is_routed = |work: &Work| &*work.name != NO_ROUTE;
    let complete = |work: &mut Work, other: &Work| {
        if !is_routed(work) {
            work.name = Arc::clone(&other.name);
        }
        work.verb = work.verb.take().or_else(|| other.verb.clone());
        work.client = work.client.take().or_else(|| other.client.clone());
        work.since = work.since.or(other.since);
    };
    // Most have one task, and nothing to tell it.
    let mut seen = FxHashSet::default();
    let several = tasks.iter().filter_map(|task| task.work.as_ref()?.identity);
    let several: FxHashSet<Address> = several.filter(|&identity| !seen.insert(identity)).collect();
    let of_several = |work: &Work| work.identity.filter(|identity| several.contains(identity));
    let works = || {
        let works = tasks.iter().filter_map(|task| task.work.as_ref());
        works.filter_map(|work| Some((of_several(work)?, work)))
    };
    let traces = agreed(works().map(|(identity, work)| (identity, work.trace.as_ref())));
    let ids = agreed(works().map(|(identity, work)| (identity, work.id.as_ref())));
    let mut known: FxHashMap<Address, Work> = FxHashMap::default();
    for (identity, work) in works() {
        complete(known.entry(identity).or_insert_with(|| Work::clone(work)), work);
    }
    for work in tasks.iter_mut().filter_map(|task| task.work.as_mut()) {
        let Some(identity) = of_several(work) else { continue };
        let is_whole =
            is_routed(work) && work.verb.is_some() && work.client.is_some() && work.since.is_some();
        if let Some(known) = known.get(&identity).filter(|_| !is_whole) {
            complete(Arc::make_mut(work), known);
        }
        if let Some(Some(trace)) = traces.get(&identity).filter(|_| work.trace.is_none()) {
            Arc::make_mut(work).trace = Some(Arc::clone(trace));
        }
        if let Some(Some(id)) = ids.get(&identity).filter(|_| work.id.is_none()) {
            Arc::make_mut(work).id = Some(Arc::clone(id));
        }
    }
}

/// What is said of each; nothing where two say different things.
fn agreed<'w>(
    said: impl Iterator<Item = (Address, Option<&'w Arc<str>>)>,
) -> FxHashMap<Address, Option<Arc<str>>> {
    let mut all: FxHashMap<Address, Option<Arc<str>>> = FxHashMap::default();
    for (identity, text) in said {
        let Some(text) = text else { continue };
        let known = all.entry(identity).or_insert_with(|| Some(Arc::clone(text)));
        known.take_if(|known| known != text);
    }
    all
}

/// Gives tasks the work of those that wait for them, where these agree. Of those in doubt it is not
/// known for certain who waits for whom.
pub(crate) fn inherit(tasks: &mut [Task], in_doubt: &FxHashSet<Address>) {
    let is_without = |task: &Task| task.work.is_none() && !in_doubt.contains(&task.id);
    if tasks.iter().all(|task| task.work.is_none()) || !tasks.iter().any(is_without) {
        return;
    }
    let places: FxHashMap<Address, usize> =
        tasks.iter().enumerate().map(|(i, task)| (task.id, i)).collect();
    let mut awaiters: Vec<Vec<usize>> = tasks
        .iter()
        .map(|task| task.awaited_by.iter().filter_map(|at| places.get(at).copied()).collect())
        .collect();
    for (i, task) in tasks.iter().enumerate() {
        let others = task.waiting_on.as_ref().and_then(|waiting| waiting.others());
        for other in others.iter().flat_map(|others| &others.tasks) {
            if let Some(of) = places.get(other).and_then(|&other| awaiters.get_mut(other))
                && !of.contains(&i)
            {
                of.push(i);
            }
        }
    }
    let mut heirs = Heirs { awaiters: &awaiters, in_doubt, found: vec![None; tasks.len()] };
    let found: Vec<Option<Arc<Work>>> =
        (0..tasks.len()).map(|i| heirs.work_of(tasks, i, 0)).collect();
    let mut copies: FxHashMap<*const Work, Arc<Work>> = FxHashMap::default();
    for (task, work) in tasks.iter_mut().zip(found) {
        if let Some(work) = work.filter(|_| is_without(task)) {
            let copy = copies.entry(Arc::as_ptr(&work));
            let copy =
                copy.or_insert_with(|| Arc::new(Work { is_inherited: true, ..Work::clone(&work) }));
            task.work = Some(Arc::clone(copy));
        }
    }
}

/// What has been found out of whom each task works for.
struct Heirs<'a> {
    awaiters: &'a [Vec<usize>],
    in_doubt: &'a FxHashSet<Address>,
    found: Vec<Option<Found>>,
}

#[derive(Clone)]
enum Found {
    /// It is being looked for.
    Pending,
    Known(Option<Arc<Work>>),
}

impl Heirs<'_> {
    fn work_of(&mut self, tasks: &[Task], i: usize, depth: usize) -> Option<Arc<Work>> {
        let task = tasks.get(i)?;
        if self.in_doubt.contains(&task.id) {
            return None;
        }
        if task.work.is_some() {
            return task.work.clone();
        }
        match self.found.get(i)? {
            Some(Found::Known(work)) => return work.clone(),
            Some(Found::Pending) => return None,
            None if depth > MAX_DEPTH => return None,
            None => {}
        }
        *self.found.get_mut(i)? = Some(Found::Pending);
        let awaiters = self.awaiters;
        let mut works = awaiters.get(i)?.iter().map(|&by| self.work_of(tasks, by, depth + 1));
        let first = works.next().flatten();
        let work = first
            .filter(|first| works.all(|other| other.is_some_and(|other| is_same(first, &other))));
        *self.found.get_mut(i)? = Some(Found::Known(work.clone()));
        work
    }
}

/// Whether two tasks work for the same.
fn is_same(one: &Arc<Work>, other: &Arc<Work>) -> bool {
    Arc::ptr_eq(one, other) || one.identity.is_some() && one.identity == other.identity
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asyncio::TraceFacts;
    use crate::known::Tracer;
    use crate::snapshot::{Descriptor, Socket, Tcp, Wait, Waiting};

    fn task(id: u64, awaited_by: &[u64]) -> Task {
        let awaited_by = awaited_by.iter().map(|&at| Address(at)).collect();
        Task { id: Address(id), awaited_by, ..Task::default() }
    }

    fn request(id: u64) -> Task {
        let identity = Some(Address(id + 1000));
        let work = Work { kind: Some(WorkKind::Request), identity, ..Work::default() };
        Task { work: Some(Arc::new(work)), ..task(id, &[]) }
    }

    /// For which request each task works, its own first.
    fn identities(tasks: &mut [Task]) -> Vec<Option<u64>> {
        inherit(tasks, &FxHashSet::from_iter([Address(99)]));
        let identity = |task: &Task| Some(task.work.as_ref()?.identity?.0 - 1000);
        tasks.iter().map(identity).collect()
    }

    #[test]
    fn a_request_has_its_route_in_all_its_tasks() {
        let called = |id: u64, request: u64, name: &str| {
            let work =
                Work { name: name.into(), identity: Some(Address(request)), ..Work::default() };
            Task { work: Some(Arc::new(work)), ..task(id, &[]) }
        };
        let mut tasks =
            [called(1, 7, NO_ROUTE), called(2, 7, "/orders/{id}"), called(3, 8, NO_ROUTE)];
        share(&mut tasks);
        let names = tasks.each_ref().map(|task| task.work.as_ref().unwrap().name.to_string());
        assert_eq!(names, ["/orders/{id}", "/orders/{id}", NO_ROUTE]);
    }

    #[test]
    fn a_request_is_at_least_as_old_as_the_last_byte_of_its_connection() {
        let seconds = Duration::from_secs;
        let of = |id: u64, kind, client: Option<&str>, since| {
            let client = client.map(Arc::from);
            let work = Work { kind: Some(kind), client, since, ..Work::default() };
            let work = Work { identity: Some(Address(id)), ..work };
            Task { work: Some(Arc::new(work)), ..task(id, &[]) }
        };
        let known = Some(Age::exact(seconds(9), Source::Frame));
        let (here, there) = (Some("10.0.0.7:51123"), Some("10.0.0.7:51124"));
        let mut tasks = [
            of(1, WorkKind::Request, here, None),
            of(1, WorkKind::Request, None, None),
            of(2, WorkKind::Request, here, known),
            of(3, WorkKind::Websocket, here, None),
            of(4, WorkKind::Request, there, None),
        ];
        note_heard(&mut tasks, |peers| {
            assert_eq!(
                peers.iter().map(|peer| &**peer).collect::<Vec<_>>(),
                ["10.0.0.7:51123", "10.0.0.7:51124"]
            );
            BTreeMap::from([(Arc::from("10.0.0.7:51123"), seconds(4))])
        });
        share(&mut tasks);
        let heard = Some(Age::at_least(seconds(4), Source::Connection));
        let works = tasks.map(|task| task.work.unwrap());
        let since = works.each_ref().map(|work| work.since);
        assert_eq!(since, [heard, heard, known, None, None]);
        // The other task of the first request is told who asked, too.
        assert_eq!(
            works.each_ref().map(|work| work.client.as_deref()),
            [here, here, here, here, there]
        );
    }

    #[test]
    fn a_request_has_its_ids_in_all_its_tasks() {
        let said = |id: u64, request: u64, trace: Option<&str>| {
            let trace = trace.map(Arc::from);
            let work = Work { trace, identity: Some(Address(request)), ..Work::default() };
            Task { work: Some(Arc::new(work)), ..task(id, &[]) }
        };
        let mut tasks = [
            said(1, 7, None),
            said(2, 7, Some("0af7")),
            // Two of one request that say different things; one of nobody else.
            said(3, 8, Some("a")),
            said(4, 8, Some("b")),
            said(5, 8, None),
            said(6, 9, None),
        ];
        share(&mut tasks);
        let traces = tasks.each_ref().map(|task| task.work.as_ref().unwrap().trace.as_deref());
        assert_eq!(traces, [Some("0af7"), Some("0af7"), Some("a"), Some("b"), None, None]);
    }

    #[test]
    fn only_what_a_task_lives_for_has_the_ids_of_its_context() {
        let trace = |has_ended, is_own| TraceFacts {
            trace_id: "0af7".into(),
            span_id: None,
            tracer: Tracer::Sentry,
            has_ended,
            is_own,
        };
        let ids = |kind, trace, id: Option<&str>| {
            let request_id = Some("r-17".into());
            let context =
                ContextFacts { trace: Some(trace), request_id, ..ContextFacts::default() };
            let id = id.map(Arc::from);
            let mut work = Work { kind: Some(kind), id, ..Work::default() };
            note_ids(&mut work, &context);
            [work.trace, work.id].map(|id| id.as_deref().unwrap_or_default().to_owned())
        };
        let request = WorkKind::Request;
        assert_eq!(ids(request, trace(false, true), None), ["0af7", "r-17"]);
        assert_eq!(ids(request, trace(true, true), None), ["", "r-17"]);
        assert_eq!(ids(request, trace(false, false), None), ["", "r-17"]);
        assert_eq!(ids(WorkKind::Job, trace(false, true), Some("0c3d")), ["0af7", "0c3d"]);
        assert_eq!(ids(WorkKind::Job, trace(false, true), None), ["0af7", ""]);
    }

    #[test]
    fn children_work_for_whom_their_parents_work() {
        let mut tasks = [task(4, &[3]), request(1), task(3, &[1]), task(5, &[])];
        assert_eq!(identities(&mut tasks), [Some(1), Some(1), Some(1), None]);
        assert!(tasks[0].work.as_ref().unwrap().is_inherited);
        assert!(!tasks[1].work.as_ref().unwrap().is_inherited);
        let [one, other] = [&tasks[0], &tasks[2]].map(|task| task.work.as_ref().unwrap());
        assert!(Arc::ptr_eq(one, other));
    }

    #[test]
    fn a_call_is_as_old_as_what_its_connection_has_sent() {
        let seconds = Duration::from_secs;
        let tcp = Tcp { last_sent: Some(seconds(4)), ..Tcp::default() };
        let socket = Socket {
            protocol: "tcp",
            local: None,
            remote: None,
            state: None,
            receive_queue: None,
            send_queue: None,
            tcp: Some(tcp),
            is_watched: None,
            is_accepted: false,
            client: None,
        };
        let wait = |socket: &Socket| {
            let socket = Some(Box::new(socket.clone()));
            let wait = Wait::Socket(Descriptor { socket, ..Descriptor::default() });
            Some(Box::new(Waiting::from(wait)))
        };
        let call = |since| Some(Arc::new(Work { since, ..Work::default() }));
        let known = Some(Age::exact(seconds(9), Source::Frame));
        let mut tasks = [
            Task { call: call(None), waiting_on: wait(&socket), ..task(1, &[]) },
            Task { call: call(known), waiting_on: wait(&socket), ..task(2, &[]) },
            Task { call: call(None), ..task(3, &[]) },
        ];
        note_sent(&mut tasks);
        let since = tasks.map(|task| task.call.unwrap().since);
        let sent = Some(Age::at_least(seconds(4), Source::Connection));
        assert_eq!(since, [sent, known, None]);
    }

    #[test]
    fn what_several_wait_for_is_nobodys() {
        // Of two requests; of a request and of something that is for no request.
        let mut tasks = [request(1), request(2), task(3, &[1, 2]), task(4, &[]), task(5, &[1, 4])];
        assert_eq!(identities(&mut tasks), [Some(1), Some(2), None, None, None]);
    }

    #[test]
    fn tasks_that_wait_for_each_other_end_it() {
        let mut tasks = [task(1, &[2]), task(2, &[1]), request(3)];
        assert_eq!(identities(&mut tasks), [None, None, Some(3)]);
    }

    #[test]
    fn those_in_doubt_inherit_nothing_and_hand_nothing_on() {
        let mut tasks = [request(1), task(99, &[1]), task(3, &[99]), request(99), task(4, &[1])];
        assert_eq!(identities(&mut tasks), [Some(1), None, None, Some(99), Some(1)]);
    }
}
