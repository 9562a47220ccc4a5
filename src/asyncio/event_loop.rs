//! Event loops: their queues, and uvloop's clock.
//!
//! asyncio's own loops are Python objects. uvloop's is a C structure; libuv's cached `time` tells
//! when its iteration began, and what runs is known by the thread's stack.

use std::sync::Arc;

use crate::layout::Offset;
use crate::layout::uvloop::{HANDLE, LONGER_MUTEX, LOOP, TIMER_NODE_TIMEOUT, UV_LOOP};
use crate::memory::Address;
use crate::python::object::{Kind, MAX_ITEMS, Read, Reader, Unreadable};

/// Timers at the front of the heap that are looked at for the earliest one that is not cancelled.
const TIMERS_LOOKED_AT: u64 = 63;

/// What was read of an event loop.
#[derive(Debug, Clone)]
pub struct LoopFacts {
    /// Its address.
    pub at: Address,
    /// Its class with the module.
    pub class: Arc<str>,
    /// The `pthread_t` of the thread that runs it, by its own account.
    pub thread_ident: Option<u64>,
    /// Whether it was closed.
    pub closed: Option<bool>,
    /// Whether it is in debug mode.
    pub debug: Option<bool>,
    /// Whether its times are of the machine's monotonic clock; false where that cannot be told.
    pub has_machine_clock: bool,
    /// How many handles are ready.
    pub ready: Option<u64>,
    /// How many timers are scheduled.
    pub scheduled: Option<u64>,
    /// The earliest deadline of a timer that is not cancelled, in seconds of the loop's clock.
    pub earliest_timer: Option<f64>,
    /// The callables in the ready queue.
    pub ready_callbacks: Vec<Address>,
    /// libuv's part, for uvloop.
    pub uv: Option<UvFacts>,
    /// Parts that are there but could not be read, and why.
    pub problems: Vec<(&'static str, Unreadable)>,
}

impl LoopFacts {
    /// What was read of a part; that it could not be read is noted.
    fn noted<T>(&mut self, part: &'static str, read: Read<T>) -> Option<T> {
        read.map_err(|error| self.problems.push((part, error))).ok()
    }
}

/// What was read of libuv's loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UvFacts {
    /// The epoll descriptor it waits on.
    pub backend_fd: i32,
    /// When the current iteration began, in milliseconds of `CLOCK_MONOTONIC`.
    pub time_ms: u64,
}

impl Reader<'_> {
    /// The loop at `at`.
    ///
    /// # Errors
    /// When its class cannot be read; other parts that cannot be read are absent.
    pub fn event_loop(&self, at: Address) -> Read<LoopFacts> {
        let class = self.class_of(at)?;
        let facts = LoopFacts {
            at,
            class: self.class_name(&class),
            thread_ident: None,
            closed: None,
            debug: None,
            has_machine_clock: self.has_machine_clock(at),
            ready: None,
            scheduled: None,
            earliest_timer: None,
            ready_callbacks: Vec::new(),
            uv: None,
            problems: Vec::new(),
        };
        if class.kind == Kind::UvLoop { Ok(self.uv_loop(facts)) } else { self.py_loop(facts) }
    }

    fn py_loop(&self, mut facts: LoopFacts) -> Read<LoopFacts> {
        let names = ["_ready", "_scheduled", "_closed", "_debug", "_thread_id"];
        let [ready, scheduled, closed, debug, thread] = self.attributes_named(facts.at, names)?;
        let truth = |at: Option<Address>| at.and_then(|at| self.int(at).ok()).map(|n| n != 0);
        facts.thread_ident = thread
            .filter(|&at| self.is_kind(at, Kind::Int))
            .and_then(|at| u64::try_from(self.int(at).ok()?).ok());
        facts.closed = truth(closed);
        facts.debug = truth(debug);
        let ready = ready.map(|ready| self.deque(ready, MAX_ITEMS));
        if let Some(handles) = ready.and_then(|ready| facts.noted("ready queue", ready)) {
            facts.ready = Some(handles.len() as u64);
            let callbacks = self.handle_callbacks(&handles);
            facts.ready_callbacks = facts.noted("ready queue", callbacks).unwrap_or_default();
        }
        if let Some(scheduled) = scheduled {
            let count = self.size(scheduled, MAX_ITEMS, "list of timers");
            let timers = count.and_then(|count| Ok((count, self.earliest_timer(scheduled)?)));
            if let Some((count, earliest)) = facts.noted("timers", timers) {
                facts.scheduled = Some(count);
                facts.earliest_timer = earliest;
            }
        }
        Ok(facts)
    }

    /// The descriptors that one of asyncio's own loops watches, in the order in which they were
    /// registered.
    pub fn watched_descriptors(&self, at: Address) -> Option<Vec<i32>> {
        let selector = self.attribute(at, "_selector").ok()??;
        let keys = self.dict(self.attribute(selector, "_fd_to_key").ok()??, MAX_ITEMS).ok()?;
        self.memory.prefetch(keys.iter().map(|&(fd, _)| (fd, 32)));
        keys.into_iter().map(|(fd, _)| self.small_int(fd)).collect()
    }

    /// The descriptors by which a loop is woken from within: by other threads, and for signals.
    /// `None` for a loop of another kind.
    pub fn own_descriptors(&self, at: Address) -> Option<Vec<i32>> {
        if !self.is_kind(at, Kind::UvLoop) {
            let socket = self.attribute(at, "_ssock").ok()??;
            return Some(vec![self.socket_fd(socket)?]);
        }
        let uv = self.pointer(at.offset(LOOP.uvloop)).ok()??;
        let fds = [UV_LOOP.async_fd, UV_LOOP.signal_pipe];
        let fds = fds.iter().filter_map(|&offset| self.memory.i32(self.in_uv(uv, offset)?).ok());
        let sockets = LOOP.ssock.iter();
        let mut sockets =
            sockets.filter_map(|&offset| self.pointer(at.offset(offset)).ok().flatten());
        let socket = sockets.find_map(|socket| self.socket_fd(socket));
        Some(fds.chain(socket).collect())
    }

    /// What a loop calls next, and the arguments of these calls.
    pub fn ready_parts(&self, at: Address) -> Vec<Address> {
        let is_uv = self.is_kind(at, Kind::UvLoop);
        let ready = if is_uv {
            self.pointer(at.offset(LOOP.ready)).ok().flatten()
        } else {
            self.attribute(at, "_ready").ok().flatten()
        };
        let handles = ready.and_then(|ready| self.deque(ready, MAX_ITEMS).ok()).unwrap_or_default();
        let parts = |handle: Address| {
            if is_uv {
                let fields = [HANDLE.arg1, HANDLE.arg2];
                return fields.map(|at| self.pointer(handle.offset(at)).ok().flatten());
            }
            self.attributes_named(handle, ["_callback", "_args"]).unwrap_or_default()
        };
        handles.into_iter().flat_map(parts).flatten().collect()
    }

    /// The callables of `asyncio.events.Handle` objects.
    fn handle_callbacks(&self, handles: &[Address]) -> Read<Vec<Address>> {
        self.memory.prefetch(handles.iter().map(|at| (*at, 96)));
        let callbacks = handles.iter().map(|&at| self.attribute(at, "_callback"));
        Ok(callbacks.collect::<Read<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// The earliest deadline in a heap of timers, of those that were not cancelled.
    fn earliest_timer(&self, heap: Address) -> Read<Option<f64>> {
        let timers = self.list(heap, TIMERS_LOOKED_AT)?.into_iter();
        let deadlines: Vec<_> = timers.map(|at| self.timer_deadline(at)).collect::<Read<_>>()?;
        Ok(deadlines.into_iter().flatten().min_by(f64::total_cmp))
    }

    /// When a `TimerHandle` is due, unless it was cancelled.
    fn timer_deadline(&self, timer: Address) -> Read<Option<f64>> {
        let [when, cancelled] = self.attributes_named(timer, ["_when", "_cancelled"])?;
        let is_cancelled = cancelled.is_some_and(|at| self.int(at) == Ok(1));
        Ok(if is_cancelled { None } else { when.and_then(|when| self.float(when)) })
    }

    /// The value of a `float` or `int`.
    pub fn float(&self, at: Address) -> Option<f64> {
        match self.kind_of(at).ok()? {
            Kind::Float => self.memory.f64(at.offset(self.layout.small.float_value)).ok(),
            #[expect(clippy::cast_precision_loss, reason = "seconds since the machine started")]
            Kind::Int => self.int(at).ok().map(|n| n as f64),
            _ => None,
        }
        .filter(|value| value.is_finite())
    }

    fn uv_loop(&self, mut facts: LoopFacts) -> LoopFacts {
        let at = facts.at;
        // The libuv part points back at the object: else this uvloop has another layout.
        let uv = self
            .pointer(at.offset(LOOP.uvloop))
            .ok()
            .flatten()
            .filter(|uv| self.pointer(uv.offset(UV_LOOP.data)) == Ok(Some(at)));
        let Some(uv) = uv else { return facts };
        facts.thread_ident =
            self.memory.u64(at.offset(LOOP.thread_id)).ok().filter(|&ident| ident != 0);
        facts.closed = self.memory.i32(at.offset(LOOP.closed)).ok().map(|n| n != 0);
        facts.debug = self.memory.i32(at.offset(LOOP.debug)).ok().map(|n| n != 0);
        if let Ok(Some(ready)) = self.pointer(at.offset(LOOP.ready))
            && let Some(handles) = facts.noted("ready queue", self.deque(ready, MAX_ITEMS))
        {
            facts.ready = Some(handles.len() as u64);
            self.memory.prefetch(handles.iter().map(|at| (*at, 96)));
            facts.ready_callbacks = handles
                .into_iter()
                .filter(|&at| self.is_kind(at, Kind::UvHandle))
                .filter(|at| self.memory.i32(at.offset(HANDLE.cb_type)) == Ok(1))
                .filter_map(|at| self.pointer(at.offset(HANDLE.arg1)).ok().flatten())
                .collect();
        }
        facts.scheduled = self
            .uv_timers(at)
            .and_then(|set| self.memory.u64(set.offset(self.layout.set.used)).ok());
        let heap = self.in_uv(uv, UV_LOOP.timer_heap);
        let first = heap.and_then(|heap| self.pointer(heap).ok().flatten());
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since the machine started")]
        let deadline = first
            .and_then(|node| self.memory.u64(node.offset(TIMER_NODE_TIMEOUT)).ok())
            .map(|ms| ms as f64 / 1000.0);
        facts.earliest_timer = deadline;
        let backend_fd = self.memory.i32(uv.offset(UV_LOOP.backend_fd)).ok();
        let time = self.in_uv(uv, UV_LOOP.time);
        let time_ms = time.and_then(|time| self.memory.u64(time).ok());
        facts.uv =
            backend_fd.zip(time_ms).map(|(backend_fd, time_ms)| UvFacts { backend_fd, time_ms });
        facts
    }

    /// A field of a `uv_loop_t` behind its mutex, whose length the machine and its C library choose.
    fn in_uv(&self, uv: Address, field: Offset) -> Option<Address> {
        let leads_back =
            |longer: &Offset| self.pointer(uv.offset(UV_LOOP.async_loop + longer)) == Ok(Some(uv));
        Some(uv.offset(field + [0, LONGER_MUTEX].into_iter().find(leads_back)?))
    }

    /// libuv's time of the current iteration of the loop at `at`, as it is now; `None` for other
    /// loops.
    pub fn uv_time(&self, at: Address) -> Option<u64> {
        let time = self.uv_time_at(at)?;
        self.memory.forget(time, 8);
        self.memory.u64(time).ok()
    }

    /// Where that time is.
    pub fn uv_time_at(&self, at: Address) -> Option<Address> {
        let is_uv = self.is_kind(at, Kind::UvLoop);
        self.in_uv(self.pointer(at.offset(LOOP.uvloop)).ok().filter(|_| is_uv)??, UV_LOOP.time)
    }

    /// The set of timers of uvloop's loop.
    fn uv_timers(&self, at: Address) -> Option<Address> {
        let is_timers = |set: &Address| {
            self.is_kind(*set, Kind::Set)
                && self.set(*set).is_ok_and(|timers| {
                    timers.first().is_none_or(|&at| self.is_kind(at, Kind::UvTimerHandle))
                })
        };
        let fields = LOOP.timers.iter();
        let mut sets = fields.filter_map(|&offset| self.pointer(at.offset(offset)).ok().flatten());
        sets.find(is_timers)
    }

    /// The handles of all timers of a loop.
    pub fn timers(&self, at: Address) -> Vec<Address> {
        let timers = if self.is_kind(at, Kind::UvLoop) {
            self.uv_timers(at).and_then(|set| self.set(set).ok())
        } else {
            let list = self.attribute(at, "_scheduled").ok().flatten();
            list.and_then(|list| self.list(list, MAX_ITEMS).ok())
        };
        timers.unwrap_or_default()
    }

    /// A handle's callback in words.
    pub fn handle_name(&self, handle: Address) -> Option<String> {
        let callback = self.attribute(handle, "_callback").ok()??;
        self.callable_name(callback)
    }

    /// The task whose step a handle is.
    pub fn handle_task(&self, handle: Address) -> Option<Address> {
        self.stepped_task(self.attribute(handle, "_callback").ok()??)
    }
}
