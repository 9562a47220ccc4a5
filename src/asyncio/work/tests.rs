//! Frames that say what they are part of, in the memory of each version.

use super::{Label, Labels};
use crate::known::WorkKind;
use crate::known::work::Clock;
use crate::memory::Address;
use crate::python::frame::RawFrame;
use crate::python::tests::{Function, Heap, MINORS, NOWHERE, Stage, Values};

/// Where libraries are installed.
const PACKAGES: &str = "/srv/lib/python3/site-packages/";

/// A suspended frame of a function with these variables: its coroutine.
fn frame(heap: &mut Heap, file: &str, name: &str, locals: &[(&str, Address)]) -> Address {
    let names: Vec<&str> = locals.iter().map(|(name, _)| *name).collect();
    let values: Vec<Address> = locals.iter().map(|(_, value)| *value).collect();
    let code = heap.code(Function { name, file, locals: &names, ..Function::default() });
    let values = Values { locals: &values, ..Values::default() };
    let at = heap.generator("coroutine", code, 10, Stage::Suspended, values);
    let qualname = heap.str(name);
    heap.link(at.offset(heap.layout.generator.qualname), qualname);
    at
}

/// The same of a library's function.
fn of_library(heap: &mut Heap, file: &str, name: &str, locals: &[(&str, Address)]) -> Address {
    frame(heap, &format!("{PACKAGES}{file}"), name, locals)
}

/// What the frames of these coroutines say.
fn labels(heap: &Heap, chain: &[Address]) -> Option<Labels> {
    heap.read(|reader| {
        let frame = |at: &Address| reader.generator(*at).unwrap().frame.unwrap();
        let chain: Vec<RawFrame> = chain.iter().map(frame).collect();
        reader.labels(&chain).unwrap()
    })
}

fn text(label: Option<&Label>) -> String {
    label.map(|label| label.work.to_string()).unwrap_or_default()
}

/// An ASGI scope, with a secret in each private place.
fn scope(heap: &mut Heap, kind: &str, more: &[(&str, Address)]) -> Address {
    let [kind, method, path, query, host] =
        [kind, "GET", "/orders/17", "token=SECRET", "10.0.0.7"].map(|text| heap.str(text));
    let port = heap.int(51234);
    let client = heap.tuple(&[host, port]);
    let header = [heap.bytes(b"authorization"), heap.bytes(b"SECRET")];
    let header = heap.tuple(&header);
    let headers = heap.list(&[header]);
    let items = [
        ("type", kind),
        ("method", method),
        ("path", path),
        ("query_string", query),
        ("headers", headers),
        ("client", client),
    ];
    heap.namespace(&[&items, more].concat())
}

/// A class of the program's that has a method resolution order.
fn class(heap: &mut Heap, name: &str) -> Address {
    let object = heap.class("object");
    let class = heap.python_class("app", name, object);
    let mro = heap.tuple(&[class, object]);
    heap.link(class.offset(heap.layout.class.mro), mro);
    class
}

fn instance(heap: &mut Heap, name: &str, attributes: &[(&str, Address)]) -> Address {
    let class = class(heap, name);
    heap.instance(class, attributes)
}

#[test]
fn a_scope_in_any_function_says_which_request_it_is() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let route = heap.str("/orders/{order_id}");
        let route = instance(&mut heap, "APIRoute", &[("path", route)]);
        let scope = scope(&mut heap, "http", &[("route", route)]);
        let none = heap.none();
        let app = frame(&mut heap, "/srv/app.py", "app", &[("receive", none), ("scope", scope)]);
        let plain = frame(&mut heap, "/srv/app.py", "plain", &[("request", scope)]);
        assert_eq!(labels(&heap, &[plain]), None);
        let labels = labels(&heap, &[plain, app, plain]).unwrap();
        assert_eq!(text(labels.work.as_ref()), "GET /orders/{order_id}", "3.{minor}");
        let work = labels.work.unwrap().work;
        assert_eq!(work.kind, Some(WorkKind::Request));
        assert_eq!(work.path.as_deref(), Some("/orders/17"));
        assert_eq!(work.client.as_deref(), Some("10.0.0.7:51234"));
        assert_eq!(work.peer, None);
        assert_eq!(work.identity, Some(scope));
        assert!(!format!("{work:?}").contains("SECRET"));
        assert!(labels.call.is_none());
    }
}

#[test]
fn without_a_route_it_goes_by_a_function() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let endpoint = heap.function("shop.<locals>.show_order", &[]);
        let with_endpoint = scope(&mut heap, "websocket", &[("endpoint", endpoint)]);
        let plain = scope(&mut heap, "http", &[]);
        let lifespan = scope(&mut heap, "lifespan", &[]);
        let of = |heap: &mut Heap, scope| frame(heap, "/srv/app.py", "app", &[("scope", scope)]);
        let chains =
            [with_endpoint, plain, lifespan].map(|scope| of(&mut heap, scope)).map(|at| [at]);
        let texts = chains.map(|chain| labels(&heap, &chain).map(|it| text(it.work.as_ref())));
        let expected = [Some("ws show_order"), Some("GET app"), None];
        assert_eq!(texts.each_ref().map(Option::as_deref), expected, "3.{minor}");
        let library = of_library(&mut heap, "some/app.py", "app", &[("scope", plain)]);
        assert_eq!(text(labels(&heap, &[library]).unwrap().work.as_ref()), "GET (no route)");
    }
}

#[test]
fn a_variable_of_that_name_may_be_something_else() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let (number, word) = (heap.int(7), heap.str("http"));
        let empty = heap.namespace(&[]);
        let other = heap.namespace(&[("type", number)]);
        let oauth = heap.namespace(&[("type", word)]);
        for value in [number, word, empty, other, Address::NULL] {
            let app = frame(&mut heap, "/srv/app.py", "app", &[("scope", value)]);
            assert_eq!(labels(&heap, &[app]), None, "3.{minor}");
        }
        let app = frame(&mut heap, "/srv/app.py", "app", &[("scope", oauth)]);
        assert_eq!(labels(&heap, &[app]), None, "a scope has a path");
    }
}

#[test]
fn a_label_that_cannot_be_read_whole_is_none() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let scope = scope(&mut heap, "http", &[("endpoint", NOWHERE)]);
        let app = frame(&mut heap, "/srv/app.py", "app", &[("scope", scope)]);
        heap.read(|reader| {
            let frame = reader.generator(app).unwrap().frame.unwrap();
            assert!(reader.labels(&[frame]).is_err(), "3.{minor}");
        });
    }
}

#[test]
fn servers_keep_requests_and_their_beginnings() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let scope = scope(&mut heap, "http", &[]);
        let cycle = instance(&mut heap, "RequestResponseCycle", &[("scope", scope)]);
        let run = ("uvicorn/protocols/http/h11_impl.py", "run_asgi");
        let run = of_library(&mut heap, run.0, run.1, &[("self", cycle)]);
        let work = labels(&heap, &[run]).unwrap().work.unwrap().work;
        assert_eq!((work.identity, work.verb.as_deref()), (Some(scope), Some("GET")), "3.{minor}");

        let began = heap.float(1.7e9);
        let stream = instance(&mut heap, "HTTPStream", &[("start_time", began)]);
        let function = heap.function("app_send", &[]);
        let send = heap.method(function, stream);
        let handle = ("hypercorn/asyncio/task_group.py", "_handle");
        let locals = [("scope", scope), ("send", send)];
        let handle = of_library(&mut heap, handle.0, handle.1, &locals);
        let label = labels(&heap, &[handle]).unwrap().work.unwrap();
        assert_eq!(label.began, Some((Clock::Epoch, 1.7e9)));

        // aiohttp's task waits for the next request.
        let none = heap.none();
        let idle = instance(&mut heap, "RequestHandler", &[("_current_request", none)]);
        let start = of_library(&mut heap, "aiohttp/web_protocol.py", "start", &[("self", idle)]);
        assert_eq!(labels(&heap, &[start]), None);
    }
}

#[test]
fn what_a_request_asks_of_others_is_its_call() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let scope = scope(&mut heap, "http", &[]);
        let app = frame(&mut heap, "/srv/app.py", "show", &[("scope", scope)]);
        // A named tuple: the fields are in the class.
        let tuple = heap.class("tuple");
        let parts = heap.python_class("httpx._urlparse", "ParseResult", tuple);
        let [scheme, user, host, path] =
            ["http", "me:SECRET", "stock", "/stock/4"].map(|text| heap.str(text));
        let port = heap.int(8000);
        let items = heap.tuple(&[scheme, user, host, port, path]);
        let getter = heap.class("_collections._tuplegetter");
        let mut field = |index| {
            let at = heap.object(getter, 32);
            heap.word(at.offset(16), index);
            at
        };
        let fields = [field(2), field(3), field(4)];
        let dict = heap.namespace(&[("host", fields[0]), ("port", fields[1]), ("path", fields[2])]);
        heap.link(parts.offset(heap.layout.class.dict), dict);
        let mro = heap.tuple(&[parts, tuple]);
        heap.link(parts.offset(heap.layout.class.mro), mro);
        heap.link(items.offset(heap.layout.object.ob_type), parts);
        let url = instance(&mut heap, "URL", &[("_uri_reference", items)]);
        let method = heap.str("post");
        let request = instance(&mut heap, "Request", &[("method", method), ("url", url)]);
        let start = heap.float(12.5);
        let locals = [("request", request), ("start", start)];
        let send = of_library(&mut heap, "httpx/_client.py", "_send_single_request", &locals);

        let inner = frame(&mut heap, "/srv/app.py", "app", &[("scope", scope)]);
        let labels = labels(&heap, &[app, send, inner]).unwrap();
        assert_eq!(text(labels.work.as_ref()), "GET show", "3.{minor}");
        let call = labels.call.unwrap();
        assert_eq!(call.work.to_string(), "POST stock");
        assert_eq!(call.work.peer.as_deref(), Some("stock:8000"));
        assert_eq!(call.work.path.as_deref(), Some("/stock/4"));
        assert_eq!(call.began, Some((Clock::Monotonic, 12.5)));
        assert!(!format!("{call:?}").contains("SECRET"));
    }
}

#[test]
fn queries_have_no_values() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let query = heap.str("SELECT * FROM stock WHERE sku = 'SECRET' AND n > 4");
        let (host, port) = (heap.str("10.0.0.5"), heap.int(5432));
        let address = heap.tuple(&[host, port]);
        let connection = instance(&mut heap, "Connection", &[("_addr", address)]);
        let locals = [("self", connection), ("query", query)];
        let execute = of_library(&mut heap, "asyncpg/connection.py", "_do_execute", &locals);
        let call = labels(&heap, &[execute]).unwrap().call.unwrap().work;
        assert_eq!(&*call.name, "SELECT * FROM stock WHERE sku = ? AND n > ?", "3.{minor}");
        assert_eq!(call.peer.as_deref(), Some("10.0.0.5:5432"));

        let words = ["get", "session:SECRET", "SECRET"].map(|word| heap.str(word));
        let arguments = heap.tuple(&words);
        let client = instance(&mut heap, "Redis", &[]);
        let locals = [("self", client), ("args", arguments)];
        let execute = of_library(&mut heap, "redis/asyncio/client.py", "execute_command", &locals);
        let mut call = labels(&heap, &[execute]).unwrap().call.unwrap().work;
        assert_eq!(&*call.name, "GET");
        // The key is for those who ask for it.
        assert_eq!(call.path.take().as_deref(), Some("session:SECRET"));
        assert!(!serde_json::to_string(&call).unwrap().contains("SECRET"));
    }
}

#[test]
fn jobs_have_a_name_and_an_id() {
    for minor in MINORS {
        let mut heap = Heap::of(minor);
        let (name, id) = (heap.str("refresh_prices"), heap.str("0c3d"));
        let began = heap.int(1_700_000_000_123);
        let locals = [("function_name", name), ("job_id", id), ("start_ms", began)];
        let run = of_library(&mut heap, "arq/worker.py", "run_job", &locals);
        let label = labels(&heap, &[run]).unwrap().work.unwrap();
        assert_eq!(label.work.to_string(), "job refresh_prices", "3.{minor}");
        assert_eq!(label.work.id.as_deref(), Some("0c3d"));
        assert_eq!(label.began, Some((Clock::EpochMillis, 1_700_000_000_123.0)));
        // The same name in a program of its own says nothing.
        let own = frame(&mut heap, "/srv/arq/worker.py", "run_job", &locals);
        assert_eq!(labels(&heap, &[own]), None);
    }
}
