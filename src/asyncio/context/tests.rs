//! Contexts of tasks with variables of each library, in the memory of each version.

use std::sync::Arc;

use super::{ContextFacts, TraceFacts};
use crate::known::Tracer;
use crate::memory::Address;
use crate::python::tests::{Heap, MINORS, NOWHERE};

const TRACE: i128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const DIGITS: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: i128 = 0xb7ad_6b71_6920_3331;

/// A task in a context with these variables.
fn task(heap: &mut Heap, variables: &[(&str, Address)]) -> Address {
    let mut items = Vec::new();
    for ((name, value), hash) in variables.iter().zip(1..) {
        items.push((hash, heap.variable(name), *value));
    }
    let context = heap.context(&items);
    task_in(heap, context)
}

fn task_in(heap: &mut Heap, context: Address) -> Address {
    let task = heap.task();
    let fields = heap.layout.task;
    let future = heap.future();
    let coroutine = heap.awaits(future);
    let name = heap.str("Task-1");
    heap.link(task.offset(fields.name), name);
    heap.link(task.offset(fields.coro), coroutine);
    heap.link(task.offset(fields.fut_waiter), future);
    heap.link(task.offset(fields.context), context);
    task
}

fn read(heap: &Heap, tasks: &[Address]) -> Vec<Option<Arc<ContextFacts>>> {
    heap.read(|reader| {
        let read = reader.read_tasks(tasks, false);
        assert!(read.unread.is_empty() && read.tasks.len() == tasks.len(), "{:?}", read.unread);
        read.tasks.into_iter().map(|task| task.context).collect()
    })
}

fn facts(heap: &Heap, task: Address) -> Option<Arc<ContextFacts>> {
    read(heap, &[task]).remove(0)
}

fn instance(heap: &mut Heap, module: &str, name: &str, attributes: &[(&str, Address)]) -> Address {
    let object = heap.class("object");
    let class = heap.python_class(module, name, object);
    let mro = heap.tuple(&[class, object]);
    heap.link(class.offset(heap.layout.class.mro), mro);
    heap.instance(class, attributes)
}

/// A dictionary of a class that a library has made from `dict`.
fn dict_of(heap: &mut Heap, module: &str, name: &str, items: &[(&str, Address)]) -> Address {
    let dict = heap.namespace(items);
    let base = heap.class("dict");
    // `Py_TPFLAGS_DICT_SUBCLASS` is not asked for: the base says it.
    let class = heap.python_class(module, name, base);
    heap.link(dict.offset(heap.layout.object.ob_type), class);
    dict
}

fn opentelemetry(heap: &mut Heap, trace: i128, more: &[(&str, Address)]) -> Address {
    let ids = [heap.int(trace), heap.int(SPAN), heap.bool(true)];
    let context = heap.tuple(&ids);
    let secret = heap.str("token=SECRET");
    let attributes = [&[("_context", context), ("_attributes", secret)], more].concat();
    let span = instance(heap, "opentelemetry.sdk.trace", "_Span", &attributes);
    let baggage = heap.str("SECRET");
    let items = [("baggage-7f", baggage), ("current-span-51cb", span)];
    dict_of(heap, "opentelemetry.context.context", "Context", &items)
}

#[allow(clippy::unnecessary_wraps, reason = "as the facts have it")]
fn trace(tracer: Tracer, trace_id: &str, span_id: &str) -> Option<TraceFacts> {
    let (trace_id, span_id) = (trace_id.into(), Some(span_id.into()));
    Some(TraceFacts { trace_id, span_id, tracer, has_ended: false, is_own: true })
}

#[test]
fn opentelemetry_has_a_span() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let none = heap.none();
        let open = opentelemetry(&mut heap, TRACE, &[("_end_time", none)]);
        let end = heap.int(1_700_000_000_000_000_000);
        let ended = opentelemetry(&mut heap, TRACE, &[("_end_time", end)]);
        let remote = opentelemetry(&mut heap, 7, &[]);
        let invalid = opentelemetry(&mut heap, 0, &[]);
        let unknown = opentelemetry(&mut heap, TRACE, &[("_end_time", NOWHERE)]);
        let tasks = [open, ended, remote, invalid, unknown]
            .map(|value| task(&mut heap, &[("current_context", value)]));
        let found = read(&heap, &tasks);
        let traces: Vec<_> =
            found.iter().map(|facts| facts.as_ref().unwrap().trace.clone()).collect();
        let expected = trace(Tracer::Opentelemetry, DIGITS, "b7ad6b7169203331");
        assert_eq!(traces[0], expected, "3.{minor}");
        let ended = TraceFacts { has_ended: true, ..expected.unwrap() };
        assert_eq!(traces[1].as_ref(), Some(&ended));
        assert_eq!(&*traces[2].as_ref().unwrap().trace_id, "00000000000000000000000000000007");
        assert_eq!(traces[3..], [None, None], "3.{minor}");
        assert!(!format!("{found:?}").contains("SECRET"));
    }
}

#[test]
fn a_name_alone_proves_nothing() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let [trace_id, span_id] = [TRACE, SPAN].map(|id| heap.int(id));
        let context = heap.tuple(&[trace_id, span_id]);
        let span = instance(&mut heap, "app", "Span", &[("_context", context)]);
        let own = heap.namespace(&[("current-span-1", span)]);
        let items = [("_span", span), ("trace_id", trace_id)];
        let scope = instance(&mut heap, "app.scope", "Scope", &items);
        let number = heap.int(17);
        let mail = heap.str("somebody@example.org");
        let blank = heap.str("a b");
        let long = heap.str(&"x".repeat(200));
        let tasks = [
            ("current_context", own),
            ("current_scope", scope),
            ("datadog_contextvar", scope),
            ("correlation_id", number),
            ("request_id", mail),
            ("structlog_request_id", blank),
            ("correlation_id", long),
        ]
        .map(|variable| task(&mut heap, &[variable]));
        for (facts, at) in read(&heap, &tasks).into_iter().zip(0..) {
            let facts = facts.unwrap();
            assert_eq!((&facts.trace, &facts.request_id), (&None, &None), "{at} in 3.{minor}");
            assert!(facts.others.is_empty(), "a known variable is none of the program's");
        }
    }
}

#[test]
fn spans_of_ddtrace_count_until_they_end() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let [trace_id, span_id, short] = [TRACE, SPAN, 17].map(|id| heap.int(id));
        let (none, end) = (heap.none(), heap.int(12));
        let span = |heap: &mut Heap, trace: Address, ended: bool, parent: Address| {
            let duration = if ended { end } else { none };
            let attributes = [
                ("trace_id", trace),
                ("span_id", span_id),
                ("duration_ns", duration),
                ("_parent", parent),
            ];
            instance(heap, "ddtrace._trace.span", "Span", &attributes)
        };
        let open = span(&mut heap, trace_id, false, none);
        let inner = span(&mut heap, trace_id, true, open);
        let inmost = span(&mut heap, trace_id, true, inner);
        let over = span(&mut heap, trace_id, true, none);
        let of_64_bits = span(&mut heap, short, false, none);
        let ring = span(&mut heap, trace_id, true, NOWHERE);
        heap.replace(NOWHERE, ring);
        let items = [("trace_id", trace_id), ("span_id", none)];
        let remote = instance(&mut heap, "ddtrace._trace.context", "Context", &items);
        let tasks = [open, inmost, over, of_64_bits, ring, remote]
            .map(|value| task(&mut heap, &[("datadog_contextvar", value)]));
        let found = read(&heap, &tasks);
        let traces: Vec<_> = found.iter().map(|it| it.as_ref().unwrap().trace.clone()).collect();
        let span = SPAN.to_string();
        let expected = trace(Tracer::Ddtrace, DIGITS, &span);
        assert_eq!(traces[..2], [expected.clone(), expected.clone()], "3.{minor}");
        assert_eq!(traces[2], None);
        assert_eq!(traces[3], trace(Tracer::Ddtrace, "17", &span));
        assert_eq!(traces[4], None, "a ring ends");
        let remote = TraceFacts { span_id: None, ..expected.unwrap() };
        assert_eq!(traces[5], Some(remote));
    }
}

#[test]
fn sentry_has_a_span_or_what_it_passes_on() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let none = heap.none();
        let [one, two, span] = [DIGITS, "00f067aa0ba902b700f067aa0ba902b7", "b7ad6b7169203331"]
            .map(|text| heap.str(text));
        let [applied, not_applied] = [true, false].map(|value| heap.bool(value));
        let object = |heap: &mut Heap, module, name, trace, span| {
            let items = [("_trace_id", trace), ("_span_id", span), ("timestamp", none)];
            instance(heap, module, name, &items)
        };
        let (tracing, utils) = ("sentry_sdk.tracing", "sentry_sdk.tracing_utils");
        let spanned = object(&mut heap, tracing, "Span", one, span);
        let nameless = object(&mut heap, tracing, "Span", none, none);
        let passed_on = object(&mut heap, utils, "PropagationContext", two, none);
        let scope = |heap: &mut Heap, span, passed_on| {
            let items = [("_span", span), ("_propagation_context", passed_on)];
            instance(heap, "sentry_sdk.scope", "Scope", &items)
        };
        let with_span = scope(&mut heap, spanned, passed_on);
        let without = scope(&mut heap, none, passed_on);
        let with_nameless = scope(&mut heap, nameless, passed_on);
        let empty = scope(&mut heap, none, none);
        let isolation = ("isolation_scope", without);
        let tasks = [
            vec![isolation, ("current_scope", with_span)],
            vec![isolation, ("current_scope", empty)],
            vec![isolation],
            // Its span has no id yet, and will have another one than the scope's.
            vec![isolation, ("current_scope", with_nameless)],
            vec![isolation, ("sentry_asgi_middleware_applied", applied)],
            vec![isolation, ("sentry_asgi_middleware_applied", not_applied)],
        ]
        .map(|variables| task(&mut heap, &variables));
        let found = read(&heap, &tasks);
        let ids: Vec<_> = found
            .iter()
            .map(|it| {
                let trace = it.as_ref().unwrap().trace.as_ref()?;
                Some((&*trace.trace_id, trace.span_id.as_deref(), trace.is_own))
            })
            .collect();
        let passed_on = |is_own| Some(("00f067aa0ba902b700f067aa0ba902b7", None, is_own));
        let (shared, own) = (passed_on(false), passed_on(true));
        let spanned = Some((DIGITS, Some("b7ad6b7169203331"), false));
        let expected = [spanned, shared, shared, None, own, shared];
        assert_eq!(ids, expected, "3.{minor}");
    }
}

#[test]
fn what_programs_bind_to_their_logs() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let [id, trace_id, span_id, user] =
            ["3f9ac2d0", DIGITS, "b7ad6b7169203331", "SECRET"].map(|text| heap.str(text));
        let ellipsis = heap.class("ellipsis");
        let unbound = heap.object(ellipsis, 16);
        let structlog = [
            ("structlog_request_id", id),
            ("structlog_user", user),
            ("structlog_span_id", span_id),
            ("structlog_trace_id", trace_id),
        ];
        let bound = heap.namespace(&[("request_id", id), ("trace_id", trace_id), ("user", user)]);
        let tasks = [
            structlog.to_vec(),
            vec![("structlog_request_id", unbound)],
            vec![("loguru_context", bound)],
            vec![("correlation_id", id)],
        ]
        .map(|variables| task(&mut heap, &variables));
        let found: Vec<_> = read(&heap, &tasks).into_iter().map(Option::unwrap).collect();
        assert_eq!(found[0].trace, trace(Tracer::Structlog, DIGITS, "b7ad6b7169203331"));
        let names: Vec<&str> = found[0].others.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["structlog_user"], "3.{minor}");
        let loguru = found[2].trace.as_ref().unwrap();
        assert_eq!((&*loguru.trace_id, loguru.tracer), (DIGITS, Tracer::Loguru));
        let ids: Vec<_> = found.iter().map(|facts| facts.request_id.as_deref()).collect();
        assert_eq!(ids, [Some("3f9ac2d0"), None, Some("3f9ac2d0"), Some("3f9ac2d0")]);
        assert!(!format!("{found:?}").contains("SECRET"));
    }
}

#[test]
fn the_first_tracer_counts_and_names_are_sorted_and_capped() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let none = heap.none();
        let open = opentelemetry(&mut heap, TRACE, &[]);
        let text = heap.str(DIGITS);
        let items = [("_trace_id", text), ("_span_id", none)];
        let passed_on = instance(&mut heap, "sentry_sdk.tracing_utils", "P", &items);
        let scope = instance(
            &mut heap,
            "sentry_sdk.scope",
            "Scope",
            &[("_propagation_context", passed_on)],
        );
        let own: Vec<String> = (0..70).rev().map(|number| format!("own_{number:02}")).collect();
        let mut variables: Vec<(&str, Address)> = own.iter().map(|name| (&**name, none)).collect();
        let known =
            [("current_scope", scope), ("current_context", open), ("decimal_context", none)];
        variables.extend(known);
        let task = task(&mut heap, &variables);
        let facts = facts(&heap, task).unwrap();
        assert_eq!(facts.trace.as_ref().unwrap().tracer, Tracer::Opentelemetry, "3.{minor}");
        assert_eq!((facts.others.len(), facts.left_out), (64, 6));
        assert_eq!((&*facts.others[0].0, facts.others[0].1), ("own_00", none));
    }
}

#[test]
fn tasks_with_the_same_variables_have_the_same_facts() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let (variable, value) = (heap.variable("tenant"), heap.str("acme"));
        let root = heap.tree_node(&[(1, variable, value)], 0);
        let tree = heap.tree(root, 1);
        let empty = heap.tree_node(&[], 0);
        let empty = heap.tree(empty, 0);
        let damaged = heap.tree(root, 2);
        let tasks = [tree, tree, empty, damaged].map(|tree| {
            let context = heap.context_of(tree);
            task_in(&mut heap, context)
        });
        let without = task_in(&mut heap, Address::NULL);
        let elsewhere = task_in(&mut heap, NOWHERE);
        let found = read(&heap, &[&tasks[..], &[without, elsewhere]].concat());
        let [Some(one), Some(other)] = &found[..2] else { panic!("{found:?}") };
        assert!(Arc::ptr_eq(one, other) && one.tree == tree, "3.{minor}");
        assert!(found[2..].iter().all(Option::is_none), "{found:?}");
    }
}

#[test]
fn a_task_that_does_not_hold_still_has_no_context() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let value = heap.str("acme");
        let at = task(&mut heap, &[("tenant", value)]);
        // Its chain ends at another future than it is parked on.
        let other = heap.future();
        heap.link(at.offset(heap.layout.task.fut_waiter), other);
        assert_eq!(facts(&heap, at), None, "3.{minor}");
    }
}
