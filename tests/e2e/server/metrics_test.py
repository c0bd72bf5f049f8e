"""What the server says of itself, as a real Prometheus reads it: true, steady, and bounded."""

import collections
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request

import pytest
from serving import PATIENCE, Connection, Metrics, post, request, start_sim, wait_for, wait_until

CHAT = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "seed": 1}
CHAT_PATH, COMPLETION_PATH = "/v1/chat/completions", "/v1/completions"


@pytest.fixture
def server(tmp_path):
    with start_sim(tmp_path / "server", {}) as started:
        yield started
        assert started.stop() == 0


def run(command: list, **options) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False, **options)


# ---- Prometheus


class Prometheus:
    """A Prometheus of its own that scrapes one server each second."""

    def __init__(self, folder, ops_port: int):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.config = folder / "prometheus.json"
        self.config.write_text(json.dumps({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [{"job_name": "hadal",
                                "static_configs": [{"targets": [f"127.0.0.1:{ops_port}"]}]}]}))
        with (folder / "prometheus.log").open("wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={self.config}", f"--storage.tsdb.path={folder}/data",
                 f"--web.listen-address=127.0.0.1:{self.port}"],
                stdout=log, stderr=log, env={**os.environ, "GOMAXPROCS": "1"})

    def get(self, path: str) -> bytes:
        url = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(url, timeout=PATIENCE) as reply:
            return reply.read()

    def is_ready(self) -> bool:
        try:
            return b"Ready" in self.get("/-/ready")
        except (urllib.error.URLError, ConnectionError):
            return False

    def query(self, expression: str) -> list[dict]:
        answer = json.loads(self.get("/api/v1/query?" +
                                     urllib.parse.urlencode({"query": expression})))
        assert answer["status"] == "success"
        return answer["data"]["result"]

    def value(self, expression: str) -> float | None:
        """The one value of an expression; None while there is none."""
        result = self.query(expression)
        assert len(result) <= 1, result
        return float(result[0]["value"][1]) if result else None


@pytest.fixture
def prometheus(server, tmp_path):
    if shutil.which("prometheus") is None:
        pytest.skip("./dev setup installs prometheus")
    started = Prometheus(tmp_path, server.ops_port)
    try:
        wait_until(started.is_ready, "Prometheus")
        yield started
    finally:
        started.process.terminate()
        started.process.wait(PATIENCE)


def test_prometheus_sees_what_happened(server, prometheus):
    assert run(["promtool", "check", "config", prometheus.config]).returncode == 0
    wait_for(lambda: prometheus.value('up{job="hadal"}'), 1)
    for i in range(20):
        server.call(CHAT_PATH, {**CHAT, "seed": i})
    server.call(COMPLETION_PATH, {"prompt": ["a", "b"], "n": 2, "max_tokens": 3})
    assert server.send(post(CHAT_PATH, {"messages": []})).status == 400
    assert server.send(request("GET", "/nothing")).status == 404
    expected = {
        'sum(hadal_requests_total{route="chat_completions", code="200"})': 20,
        'sum(hadal_requests_total{route="completions", finish_reason="length"})': 1,
        'sum(hadal_requests_total{code=~"4.."})': 2,
        'sum(hadal_requests_total{code=~"5.."})': 0,
        'sum(hadal_generation_tokens_total{phase="content"})': 20 * 5 + 4 * 3,
        'hadal_requests_rejected_total{reason="invalid"}': 1,
        "hadal_time_to_first_token_seconds_count": 22,
        "hadal_request_duration_seconds_count": 22,
        "hadal_inter_token_latency_seconds_count": 20 * 4 + 4 * 2,
        "sum(hadal_request_generation_tokens_sum)": 112,
        "hadal_requests_running": 0, "hadal_requests_waiting": 0, "hadal_streams_open": 0,
        "hadal_inflight_bytes": 0, "hadal_kv_usage_ratio": 0, "hadal_queue_prefill_tokens": 0,
        'hadal_kv_blocks{state="used"}': 0, "sum(hadal_kv_blocks)": 8192,
        "hadal_max_requests": 128, "count(hadal_build_info)": 1, "hadal_step_failures_total": 0,
        "count(hadal_requests_total) > 20 < bool 1000": 1,
    }
    for expression, value in expected.items():
        wait_for(lambda: prometheus.value(expression), value)
    # What dashboards and alerts are made of has values, in the bounds of what can be.
    for expression, most in {
            "histogram_quantile(0.99, sum by (le) (hadal_time_to_first_token_seconds_bucket))": 60,
            "hadal_request_duration_seconds_sum / hadal_request_duration_seconds_count": 60,
            "hadal_engine_last_step_age_seconds": 600,
            "max(scrape_duration_seconds)": 1,
            "scrape_samples_scraped": 2000,
            'time() - process_start_time_seconds{job="hadal"}': 600}.items():
        value = prometheus.value(expression)
        assert value is not None and 0 < value < most, expression


def test_prometheus_sees_the_end(server, prometheus):
    wait_for(lambda: prometheus.value('up{job="hadal"}'), 1)
    assert server.stop() == 0
    wait_for(lambda: prometheus.value('up{job="hadal"}'), 0)


def test_promtool_finds_nothing_to_criticise(server):
    server.call(CHAT_PATH, CHAT)
    result = run(["promtool", "check", "metrics"], input=server.metrics().text.encode())
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


# ---- the text itself


def types_of(metrics: Metrics) -> dict[str, str]:
    return dict(re.findall(r"^# TYPE (\w+) (\w+)$", metrics.text, re.MULTILINE))


def check_histograms(metrics: Metrics):
    buckets = collections.defaultdict(list)
    for (name, *labels), value in metrics.series.items():
        if name.endswith("_bucket"):
            rest = tuple(label for label in labels if label[0] != "le")
            buckets[name.removesuffix("_bucket"), rest].append((float(dict(labels)["le"]), value))
    assert len(buckets) >= 10
    for (name, labels), values in buckets.items():
        counts = [count for _, count in sorted(values)]
        assert counts == sorted(counts), name
        count = metrics.series[(f"{name}_count", *labels)]
        assert sorted(values)[-1] == (float("inf"), count), name


def test_counters_only_grow_while_histograms_add_up(server):
    stop = threading.Event()

    def load():
        while not stop.is_set():
            server.call(CHAT_PATH, CHAT)
            server.send(post(CHAT_PATH, {"messages": 1}))

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    before = server.metrics()
    for _ in range(30):
        now = server.metrics()
        types = types_of(now)
        for key, value in before.series.items():
            family = re.sub(r"_(bucket|count|sum)$", "", key[0])
            if types.get(key[0]) == "counter" or types.get(family) == "histogram":
                assert now.series[key] >= value, key
        check_histograms(now)
        before = now
    stop.set()
    for thread in threads:
        thread.join()
    wait_until(server.is_idle, "idle")
    assert server.metrics().of("hadal_kv_blocks", state="used") == 0


def test_histograms_count_every_request_once(server):
    for max_tokens in (1, 2, 5):
        server.call(CHAT_PATH, {**CHAT, "max_tokens": max_tokens})
    server.call(CHAT_PATH, {**CHAT, "n": 3})
    stream = server.send(post(CHAT_PATH, {**CHAT, "stream": True}))
    assert stream.body.endswith(b"data: [DONE]\n\n")
    metrics = server.metrics()
    for name in ("time_to_first_token_seconds", "request_duration_seconds", "queue_time_seconds",
                 "prefill_time_seconds", "decode_time_seconds", "request_prompt_tokens",
                 "request_generation_tokens"):
        assert metrics.of(f"hadal_{name}_count") == 5, name
    assert metrics.of("hadal_request_generation_tokens_sum") == 1 + 2 + 5 + 3 * 5 + 5
    assert metrics.of("hadal_time_per_output_token_seconds_count") == 4  # one had no gap
    assert metrics.of("hadal_generation_tokens_total", phase="content") == 28
    assert metrics.of("hadal_sampled_tokens_total") >= 28


BOGUS = ["model-{}", "x\n{}", 'quote"{}', "\u2028{}", "back\\slash{}"]


def bogus_requests(i: int) -> list[bytes]:
    """What a client can choose, chosen anew for each i."""
    name = BOGUS[i % len(BOGUS)].format(i)
    return [post(CHAT_PATH, {**CHAT, "model": name}),
            post(CHAT_PATH, {**CHAT, "max_tokens": 1, "user": name, "cache_salt": name,
                             "metadata": {str(i): name}, "service_tier": name},
                 (f"x-request-id: id-{i}", f"User-Agent: agent-{i}",
                  f"X-Forwarded-For: 10.0.0.{i}")),
            post(CHAT_PATH, {**CHAT, f"field-{i}": 1}), request("GET", f"/path-{i}"),
            request("GET", f"/v1/models/model-{i}"), request(f"METHOD{i}", "/v1/models"),
            post("/tokenize", {"prompt": "x", "model": name}),
            request("GET", "/v1/models", headers=(f"Authorization: Bearer key-{i}",))]


def test_clients_cannot_add_series(server):
    connection = server.connect()

    def send_all(numbers: range):
        for i in numbers:
            for data in bogus_requests(i):
                connection.send(data)
                connection.read()

    send_all(range(5))
    server.metrics()  # which counts itself, once it was answered
    wait_for(lambda: server.metrics().of("hadal_requests_total", route="metrics") > 0, True)
    before = server.metrics()
    send_all(range(5, 1005))
    connection.close()
    after = server.metrics()
    assert set(after.series) == set(before.series)
    assert "model-77" not in after.text and "agent" not in after.text


def test_labels_are_of_closed_sets(server):
    server.call(CHAT_PATH, CHAT)
    names, values = set(), collections.defaultdict(set)
    for (name, *labels) in server.metrics().series:
        assert name.startswith(("hadal_", "process_")), name
        for label, value in labels:
            names.add(label)
            values[label].add(value)
    assert names <= {"model", "route", "code", "finish_reason", "reason", "phase", "state", "kind",
                     "source", "le", "version", "dtype", "block_size", "num_blocks", "layer",
                     "expert", "op", "implementation", "position"}, names
    assert values["model"] == {"sim"}
    assert values["code"] <= {"200", "204", "other", *(str(code) for code in range(400, 506))}


# ---- the listener for operations


def test_probes_and_metrics_are_all_there_is(server):
    def send(data: bytes):
        connection = Connection(server.ops_port)
        connection.send(data)
        reply = connection.read(data.split(b" ")[0].decode())
        connection.close()
        return reply

    for path in ("/livez", "/readyz", "/startupz"):
        reply = send(request("GET", path))
        assert reply.status == 200 and reply.header("content-type").startswith("text/plain"), path
        assert reply.header("cache-control") == "no-store"
    assert b"\n" in send(request("GET", "/readyz?verbose")).body
    metrics = send(request("GET", "/metrics"))
    assert metrics.header("content-type") == "text/plain; version=0.0.4; charset=utf-8"
    assert send(request("HEAD", "/metrics")).status == 200
    for path in ("/", "/v1/models", "/v1/chat/completions", "/metrics/", "//metrics", "/Metrics"):
        assert send(request("GET", path)).status == 404, path
    for method in ("POST", "PUT", "DELETE"):
        reply = send(request(method, "/metrics"))
        assert (reply.status, reply.header("allow")) == (405, "GET")
    foreign = request("GET", "/metrics").replace(b"localhost", b"evil.example")
    assert send(foreign).status == 403
    assert send(request("GET", "/metrics", headers=("Origin: http://evil.example",))).status == 403
    assert server.send(request("GET", "/metrics")).status == 404  # not where the clients are
