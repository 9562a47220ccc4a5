"""A collector for `aiospy watch --otlp`, which looks at all that it is sent.

    otlp_receive.py AIOSPY PROGRAM...

Run by scripts/check-otlp with an interpreter that has OpenTelemetry's own messages. PROGRAM is
tests/programs/exported.py.
"""

import contextlib
import datetime
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request

from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.metrics.v1 import metrics_pb2

PATIENCE = 120  # seconds for each thing that has to come
ENDS = 8  # seconds in which a watch that was interrupted has to end: a request alone may take 10
CUMULATIVE = metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE
SEVERITIES = {"info": 9, "warning": 13, "critical": 17}
# What there is of the program, and which of it is a time.
KINDS = {
    "sum": {"samples", "samples_missed", "own_cpu", "loop_samples", "loop_blocks", "loop_blocked", "requests_slow",
            "findings_opened"},
    "histogram": {"loop_ready"},
    "gauge": {"up", "loop_late", "loop_is_blocked", "tasks", "tasks_waiting", "requests", "requests_oldest",
              "executor_threads", "executor_queued", "pool_connections", "pool_waiting", "findings"},
}
TIMES = {"own_cpu", "loop_ready", "loop_late", "loop_blocked", "requests_oldest"}
SECRET = b"SECRET"


def pairs(attributes):
    found = {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
    assert len(found) == len(attributes), attributes
    return found


class Heard:
    """What comes from other threads, all of it."""

    def __init__(self):
        self.all, self.changed = [], threading.Condition()

    def __call__(self, one):
        with self.changed:
            self.all.append(one)
            self.changed.notify_all()

    def until(self, what, is_it):
        """The first that is it, when it has come."""
        def found():
            for one in self.all:
                if isinstance(one, BaseException):
                    raise one
                if is_it(one):
                    return (one,)
            return None
        with self.changed:
            came = self.changed.wait_for(found, PATIENCE)
        assert came, "%s did not come; of %d the last are %s" % (what, len(self.all), self.all[-3:])
        return came[0]

    def listen(self, stream, change=lambda line: line):
        def run():
            for line in stream:
                self(change(line))
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread


# --- The collector ------------------------------------------------------------------

class Collector(http.server.ThreadingHTTPServer):
    """Hears records as (resource, record), and pushes of figures as (figures before, message, figures
    after), where the figures are those of --metrics at the same time."""
    daemon_threads = True

    def __init__(self, port, scrape=lambda: None):
        self.records, self.pushes = Heard(), Heard()
        self.scrape, self.before = scrape, None
        super().__init__(("127.0.0.1", port), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        # In a thread of its own: who waits is told what is wrong with a request.
        self.records(sys.exc_info()[1])
        self.pushes(sys.exc_info()[1])

    def take(self, message):
        if isinstance(message, logs.ExportLogsServiceRequest):
            for of in message.resource_logs:
                for scope in of.scope_logs:
                    check_scope(scope.scope)
                    for record in scope.log_records:
                        self.records((pairs(of.resource.attributes), record))
            return
        after = self.scrape()
        self.pushes((self.before, message, after))
        self.before = after


def check_scope(scope):
    assert scope.name == "aiospy" and re.match(r"\d+\.\d+\.\d+", scope.version), scope


class Handler(http.server.BaseHTTPRequestHandler):
    kinds = {
        "/v1/logs": (logs.ExportLogsServiceRequest, logs.ExportLogsServiceResponse),
        "/v1/metrics": (metrics.ExportMetricsServiceRequest, metrics.ExportMetricsServiceResponse),
    }

    def do_POST(self):
        assert self.headers["Content-Type"] == "application/x-protobuf", self.headers
        assert self.headers["User-Agent"].startswith("aiospy/"), self.headers
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert SECRET not in body and SECRET not in self.headers.as_bytes(), body
        message, answer = self.kinds[self.path]
        self.server.take(message.FromString(body))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.end_headers()
        self.wfile.write(answer().SerializeToString())

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def collecting(port, **options):
    collector = Collector(port, **options)
    try:
        yield collector
    finally:
        collector.shutdown()
        collector.server_close()


@contextlib.contextmanager
def hanging():
    """A collector that takes what it is sent and never answers; its port, and what tells that it was
    sent something."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        heard, kept = Heard(), []

        def run():
            while True:
                kept.append(server.accept()[0])
                heard(kept[-1].recv(1))
        threading.Thread(target=run, daemon=True).start()
        yield server.getsockname()[1], heard


# --- What is watched, and who watches -------------------------------------------------

def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Target:
    def __init__(self, program):
        self.child = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.child.stdout.readline() == "READY\n"
        self.pid = self.child.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()

    def say(self, line):
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()


class Watch:
    """`aiospy watch`, with the events and the notes that it writes."""

    def __init__(self, tool, port, *arguments):
        command = [tool, "watch", "--json", "--interval", "1s", "--slower", "100ms",
                   "--otlp", "http://127.0.0.1:%d/" % port, *arguments]
        environment = dict(
            os.environ, OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test,service.name=other")
        self.child = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        self.events, self.notes = Heard(), Heard()
        self.readers = [self.events.listen(self.child.stdout, json.loads), self.notes.listen(self.child.stderr)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()

    def interrupt(self):
        self.child.send_signal(signal.SIGINT)
        assert self.child.wait(ENDS) == 0, self.notes.all
        for reader in self.readers:
            reader.join()

    def findings(self):
        return [event for event in self.events.all if event["event"].startswith("finding-")]


def is_event(what, code):
    return lambda event: event["event"] == "finding-" + what and event["finding"]["code"] == code


def is_record(what, code):
    def is_it(heard):
        record = heard[1]
        return (record.event_name == "aiospy.finding." + what
                and pairs(record.attributes)["aiospy.finding.code"] == code)
    return is_it


# --- What was sent --------------------------------------------------------------------

def scraped(port):
    """The figures of --metrics: {(name, labels): value}."""
    with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % port, timeout=PATIENCE) as answer:
        text = answer.read().decode()
    assert SECRET not in text.encode()
    found = {}
    for line in text.splitlines():
        said = re.fullmatch(r"(aiospy_\w+)(?:\{(.*)\})? (\S+)", line)
        if said and said[1] != "aiospy_target_info":
            labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', said[2] or ""))
            found[key(said[1], labels)] = float(said[3])
    return found


def key(name, labels):
    bound = {"le": float(labels["le"])} if "le" in labels else {}
    return name, frozenset(dict(labels, **bound).items())


def figures(of):
    """The same of a resource's metrics; all of them have the kind and the unit that they have to have."""
    found, names = {}, {kind: set() for kind in KINDS}
    for scope in of.scope_metrics:
        check_scope(scope.scope)
        for metric in scope.metrics:
            prefix, _, name = metric.name.partition(".")
            assert prefix == "aiospy" and metric.description, metric
            assert metric.unit == ("s" if name in TIMES else ""), metric
            kind = metric.WhichOneof("data")
            data = getattr(metric, kind)
            names[kind].add(name)
            if kind != "gauge":
                assert data.aggregation_temporality == CUMULATIVE, metric
            if kind == "sum":
                assert data.is_monotonic, metric
            full = "aiospy_" + name + "_seconds" * (metric.unit == "s")
            for point in data.data_points:
                assert 0 < point.start_time_unix_nano <= point.time_unix_nano, metric
                labels = pairs(point.attributes)
                if kind == "histogram":
                    assert point.count == sum(point.bucket_counts), metric
                    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1, metric
                    found[key(full + "_sum", labels)] = point.sum
                    found[key(full + "_count", labels)] = point.count
                    count = 0
                    for bound, more in zip([*point.explicit_bounds, "inf"], point.bucket_counts):
                        count += more
                        found[key(full + "_bucket", dict(labels, le=bound))] = count
                else:
                    suffix = "_total" * (kind == "sum")
                    found[key(full + suffix, labels)] = getattr(point, point.WhichOneof("value"))
    return found, names


def grows(name):
    return name.endswith(("_total", "_sum", "_count", "_bucket"))


def gauges(figures):
    return {one: value for one, value in figures.items() if not grows(one[0])}


def check_pushes(pushes, settled, target):
    """Each is between the figures before it and after it; those from `settled` on are equal to both, where
    these are equal."""
    starts, equal = set(), []
    for number, (before, message, after) in enumerate(pushes):
        of, = message.resource_metrics
        check_resource(pairs(of.resource.attributes), target)
        starts.update(point.start_time_unix_nano for scope in of.scope_metrics for metric in scope.metrics
                      for point in getattr(metric, metric.WhichOneof("data")).data_points)
        found, names = figures(of)
        for one, value in found.items():
            if grows(one[0]):
                assert (before or {}).get(one, 0) <= value <= after[one], (one, before, value, after)
        if number >= settled and gauges(before) == gauges(after):
            assert gauges(found) == gauges(after), (found, after)
            assert set(found) == set(after), set(found) ^ set(after)
            assert names == KINDS, {kind: names[kind] ^ KINDS[kind] for kind in KINDS}
            equal.append(found)
    assert len(starts) == 1, starts
    found = equal[-1]
    for name, labels, value in [
            ("aiospy_up", {}, 1), ("aiospy_pool_waiting", {"pool": "httpx's pool"}, 1),
            ("aiospy_pool_connections", {"pool": "httpx's pool", "what": "limit"}, 1),
            ("aiospy_executor_threads", {"executor": "reports", "state": "busy"}, 1),
            ("aiospy_executor_queued", {"executor": "reports"}, 1),
            ("aiospy_requests", {"route": "GET /orders/{number}"}, 1),
            ("aiospy_requests", {"route": "GET /reports/{number}"}, 2),
            ("aiospy_requests_slow_total", {"route": "GET /reports/{number}"}, 2),
            ("aiospy_findings", {"code": "loop-blocked", "severity": "critical"}, 0)]:
        assert found.get(key(name, labels)) == value, (name, labels, value, found)
    blocked = [value for (name, labels), value in found.items() if name == "aiospy_loop_blocked_seconds_total"
               and re.search(r"/exported\.py:\d+ block$", dict(labels)["place"])]
    assert blocked and blocked[0] > 0.1, found
    return len(found)


def check_resource(resource, target):
    version = subprocess.run(["/proc/%d/exe" % target.pid, "-c", "import platform; print(platform.python_version())"],
                             stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    expected = {
        "service.name": "shop", "deployment.environment.name": "test", "process.pid": target.pid,
        "process.runtime.name": "cpython", "process.runtime.version": version, "host.name": socket.gethostname()}
    optional = {"container.id", "container.runtime.name", "k8s.container.name", "k8s.pod.uid"}
    assert {name: value for name, value in resource.items() if name not in optional} == expected, resource


def check_record(resource, record, event, target):
    """It says what the event says, and no more."""
    check_resource(resource, target)
    what, finding = event["event"], event["finding"]
    assert record.event_name == "aiospy." + what.replace("-", "."), (record, event)
    assert record.body.string_value == finding["title"], (record, event)
    severity = "info" if what == "finding-closed" else finding["severity"]
    assert (record.severity_text, record.severity_number) == (severity, SEVERITIES[severity]), (record, event)
    at = datetime.datetime.fromisoformat(event["at"].replace("Z", "+00:00")).timestamp()
    assert abs(record.time_unix_nano / 1e9 - at) < 0.002, (record, event)
    assert record.observed_time_unix_nano >= record.time_unix_nano, record
    expected = {"process.pid": target.pid, "aiospy.finding.number": event["number"]}
    for name in ["code", "key", "severity"]:
        expected["aiospy.finding." + name] = finding[name]
    if "severity_before" in event:
        expected["aiospy.finding.severity_before"] = event["severity_before"]
    found = pairs(record.attributes)
    if "since" in finding:
        assert abs(found.pop("aiospy.finding.since_ms") - finding["since"]["ms"]) < 1, (record, event)
        expected["aiospy.finding.since_bound"] = finding["since"]["bound"]
    if "place" in finding:
        place = finding["place"]
        expected.update({"code.function.name": place["function"], "code.file.path": place["file"],
                         "code.line.number": place["line"]})
    assert found == expected, (found, expected)


# --- What is tried --------------------------------------------------------------------

def all_arrives_also_after_an_outage(tool, program):
    port, served = free_port(), free_port()
    options = ["--metrics", "127.0.0.1:%d" % served, "--otlp-service", "shop"]
    with Target(program) as target, Watch(tool, port, *options, target.pid) as watch:
        watch.notes.until("the outage", lambda line: "could not reach http://127.0.0.1:%d/v1/" % port in line)
        watch.events.until("a finding", is_event("opened", "pool-exhausted"))
        with collecting(port, scrape=lambda: scraped(served)) as collector:
            collector.records.until("an old finding", is_record("opened", "pool-exhausted"))
            target.say("block")
            collector.records.until("a finding", is_record("opened", "loop-blocked"))
            target.say("free")
            collector.records.until("its end", is_record("closed", "loop-blocked"))
            pushes = collector.pushes
            settled = len(pushes.all) + 1
            pushes.until("figures", lambda _: len(pushes.all) >= settled + 3)
            watch.interrupt()
        events = watch.findings()
        records = collector.records.all
        assert len(records) == len(events), (len(records), events)
        for (resource, record), event in zip(records, events):
            check_record(resource, record, event, target)
        series = check_pushes(pushes.all, settled, target)
        assert len([line for line in watch.notes.all if "--otlp" in line]) == 1, watch.notes.all
    print("%d records, %d times %d series" % (len(records), len(pushes.all), series))


def a_collector_that_hangs_holds_nothing_up(tool, program):
    with hanging() as (port, asked), Target(program) as target, Watch(tool, port, target.pid) as watch:
        asked.until("a request", lambda byte: byte == b"P")
        target.say("block")
        watch.events.until("a finding", is_event("opened", "loop-blocked"))
        target.say("free")
        watch.events.until("its end", is_event("closed", "loop-blocked"))
        watch.interrupt()
        lost = "--otlp: the collector did not acknowledge %d log records" % len(watch.findings())
        assert [line for line in watch.notes.all if lost in line], (lost, watch.notes.all)


def each_of_several_is_a_resource(tool, program):
    def ups(push):
        return {pairs(of.resource.attributes)["process.pid"]: figures(of)[0][key("aiospy_up", {})]
                for of in push[1].resource_metrics}
    port = free_port()
    with collecting(port) as collector, Target(program) as one, Target(program) as other:
        with Watch(tool, port, one.pid, other.pid) as watch:
            both = collector.pushes.until("figures of both", lambda push: ups(push) == {one.pid: 1, other.pid: 1})
            services = [pairs(of.resource.attributes)["service.name"] for of in both[1].resource_metrics]
            assert services == ["other"] * 2, services
            other.child.stdin.close()
            collector.pushes.until("the end of one", lambda push: ups(push) == {one.pid: 1, other.pid: 0})
            count = len(collector.pushes.all)
            collector.pushes.until("figures of the other", lambda push: ups(push) == {one.pid: 1}
                                   and len(collector.pushes.all) > count)
            watch.interrupt()
            assert not [line for line in watch.notes.all if "--otlp" in line], watch.notes.all


def main():
    tool, *program = sys.argv[1:]
    for trial in [all_arrives_also_after_an_outage, a_collector_that_hangs_holds_nothing_up,
                  each_of_several_is_a_resource]:
        trial(tool, program)
        print("ok   " + trial.__name__.replace("_", " "), flush=True)


if __name__ == "__main__":
    main()
