"""Servers for the end-to-end tests, and what it takes to talk to them byte by byte.

HADAL_SIM_SERVER, which CMake sets, is the whole server around a simulated engine: its text is
random and its steps take as long as they are told.
"""

import collections
import dataclasses
import json
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import time
import urllib.request

from conftest import TOKENIZER, make_checkpoint

# Far above what anything takes, on a machine that is busy with much else.
PATIENCE = 60


def wait_until(condition, what: str):
    """Waits until `condition()` is true, and returns what it gave."""
    deadline = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def wait_for(get, expected):
    """Waits until `get()` gives `expected`: requests are counted and logged behind their answer."""
    deadline = time.monotonic() + PATIENCE
    while get() != expected and time.monotonic() < deadline:
        time.sleep(0.01)
    assert get() == expected


@dataclasses.dataclass
class Reply:
    """One response, as its bytes came."""

    status: int
    headers: dict[str, list[str]]  # by lower-case name
    body: bytes

    def header(self, name: str) -> str | None:
        values = self.headers.get(name, [])
        assert len(values) <= 1, (name, values)
        return values[0] if values else None

    def json(self):
        assert self.header("content-type") == "application/json", self
        return json.loads(self.body)


class Connection:
    """A socket and the responses on it, of which it reads no byte too many."""

    def __init__(self, port: int):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.bytes = b""

    def close(self):
        self.socket.close()

    def send(self, data: bytes):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before the end: the response says why

    def end_sending(self):
        self.socket.shutdown(socket.SHUT_WR)

    def is_at_end(self) -> bool:
        """Whether the server has closed the connection, with nothing left to read. Waits for it."""
        return self.bytes == b"" and not self._receive()

    def _receive(self) -> bool:
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        self.bytes += data
        return data != b""

    def _take(self, num_bytes: int) -> bytes:
        while len(self.bytes) < num_bytes:
            assert self._receive(), f"the connection ended within a response: {self.bytes!r}"
        taken, self.bytes = self.bytes[:num_bytes], self.bytes[num_bytes:]
        return taken

    def _take_line(self) -> str:
        while b"\r\n" not in self.bytes:
            assert self._receive(), f"the connection ended within a response: {self.bytes!r}"
        return self._take(self.bytes.index(b"\r\n") + 2)[:-2].decode("ascii")

    def _take_chunks(self) -> bytes:
        body = b""
        while size := int(self._take_line(), 16):
            body += self._take(size)
            assert self._take(2) == b"\r\n"
        assert self._take_line() == ""
        return body

    def read(self, method: str = "GET") -> Reply:
        version, status, _ = self._take_line().split(" ", 2)
        assert version == "HTTP/1.1"
        headers = collections.defaultdict(list)
        while line := self._take_line():
            name, value = line.split(": ", 1)
            headers[name.lower()].append(value)
        reply = Reply(int(status), dict(headers), b"")
        if method == "HEAD" or reply.status in (204, 304):
            return reply
        if reply.header("transfer-encoding") == "chunked":
            reply.body = self._take_chunks()
        else:
            reply.body = self._take(int(reply.header("content-length")))
        return reply


def request(method: str, path: str, body: bytes = b"", headers: tuple = (),
            content_type: str | None = "application/json") -> bytes:
    """A request as it should be, whatever is in it. `headers` are lines."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
        if content_type is not None:
            lines.append(f"Content-Type: {content_type}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def post(path: str, body, headers: tuple = ()) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return request("POST", path, data, headers)


_SERIES = re.compile(r'^(\w+)(?:\{(.*)\})? (\S+)$')
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """One scrape."""

    def __init__(self, text: str):
        self.text = text
        self.series: dict[tuple, float] = {}
        for line in text.splitlines():
            if not line.startswith("#"):
                name, labels, value = _SERIES.match(line).groups()
                key = (name, *sorted(_LABEL.findall(labels or "")))
                assert key not in self.series, line
                self.series[key] = float(value)

    def of(self, name: str, **labels) -> float:
        """The sum of all series of this name with these labels."""
        wanted = set(labels.items())
        found = [value for key, value in self.series.items()
                 if key[0] == name and wanted <= set(key[1:])]
        return sum(found)

    def counts(self) -> collections.Counter:
        """Requests by route and code, but for scrapes."""
        counts = collections.Counter()
        for (name, *labels), value in self.series.items():
            if name == "hadal_requests_total" and value:
                labels = dict(labels)
                if labels["route"] == "metrics":
                    continue
                counts[labels["route"], labels["code"]] += int(value)
        return counts


class Server:
    """A process that serves, and its log."""

    def __init__(self, command: list, folder: pathlib.Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.log_file = folder / "log"
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen([os.fspath(part) for part in command],
                                            stdout=subprocess.PIPE, stderr=log)
        self.port, self.ops_port = 0, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self) -> int:
        """Ends it as an operator would; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def read_line(self) -> str:
        """The next line of its standard output."""
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline().decode() if ready else ""
        assert line, self.log_file.read_text(errors="replace")
        return line

    def log(self) -> list[dict]:
        lines = self.log_file.read_bytes().split(b"\n")
        return [json.loads(line) for line in lines[:-1]]

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def metrics(self) -> Metrics:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ops_port}/metrics",
                                    timeout=PATIENCE) as response:
            return Metrics(response.read().decode())

    def connect(self) -> Connection:
        return Connection(self.port)

    def send(self, data: bytes) -> Reply:
        """One request on a connection of its own."""
        connection = self.connect()
        try:
            connection.send(data)
            return connection.read(data.split(b" ", 1)[0].decode())
        finally:
            connection.close()

    def call(self, path: str, body) -> dict:
        """The answer to a request that must succeed."""
        reply = self.send(post(path, body))
        assert reply.status == 200, reply
        return reply.json()

    def is_idle(self) -> bool:
        metrics = self.metrics()
        return not any(metrics.of(name) for name in (
            "hadal_requests_running", "hadal_requests_waiting", "hadal_streams_open",
            "hadal_inflight_bytes", "hadal_queue_prefill_tokens", "hadal_kv_usage_ratio"))


def write_config(folder: pathlib.Path, config: dict) -> pathlib.Path:
    """A configuration file on free ports that ends without delay; `config` says what is else."""
    whole = {"http": {"port": 0}, "operations": {"port": 0, "drain_grace": 0}}
    for section, values in config.items():
        whole.setdefault(section, {}).update(values)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "config.yaml"
    file.write_text(json.dumps(whole))  # JSON is YAML
    return file


def start_sim(folder: pathlib.Path, config: dict, **simulation) -> Server:
    """A simulated server; `simulation` are its own NAME=NUMBERs."""
    numbers = {"fixed_us": 100, "per_token_us": 0, **simulation}
    server = Server([os.environ["HADAL_SIM_SERVER"], write_config(folder, config), TOKENIZER,
                     *(f"{name}={number}" for name, number in numbers.items())], folder)
    word, port, ops_port, grpc_port = server.read_line().split()
    assert word == "serving"
    server.port, server.ops_port, server.grpc_port = int(port), int(ops_port), int(grpc_port)
    return server


def make_v31(folder: pathlib.Path) -> pathlib.Path:
    """A small random checkpoint with the format and the tokens of DeepSeek-V3.1."""
    model = make_checkpoint(folder, "--shape", "tiny-v3", "--tokenizer", TOKENIZER)
    text = (model / "tokenizer.json").read_text()
    for old, new in (("<｜place▁holder▁no▁798｜>", "<think>"),
                     ("<｜place▁holder▁no▁799｜>", "</think>")):
        assert old in text
        text = text.replace(old, new)
    (model / "tokenizer.json").write_text(text)
    config = json.loads((model / "tokenizer_config.json").read_text())
    # Enough to be known by.
    config["chat_template"] = "{{ thinking }} <｜User｜> <｜Assistant｜> <think> </think>"
    (model / "tokenizer_config.json").write_text(json.dumps(config))
    return model


_SERVING = re.compile(r"serving (.*) on https?://.*?:(\d+); probes and metrics on http://.*?:(\d+)")


def start_program(folder: pathlib.Path, config: dict, *flags) -> Server:
    """`hadal serve`; `config` and `flags` name the model."""
    server = Server([os.environ["HADAL_PROGRAM"], "serve", "--config",
                     write_config(folder, config), *flags], folder)

    def ports():
        assert server.process.poll() is None, server.log_file.read_text(errors="replace")
        return _SERVING.search(server.log_file.read_text(errors="replace"))

    match = wait_until(ports, "serving")
    server.port, server.ops_port = int(match[2]), int(match[3])
    return server
