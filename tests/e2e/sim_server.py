"""The whole server around a simulated engine, and a load for it: what tests of reliability share.

The programs come from the environment, which CMake sets: HADAL_SIM_SERVER and HADAL_SSE_LOAD.
"""

import contextlib
import http.client
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOKENIZER = ROOT / "tests" / "data" / "deepseek-v3-tokenizer"
LONG = os.environ.get("HADAL_LONG_TESTS") == "1"  # loads and times as the contract has them
SANITIZED = os.environ.get("HADAL_SANITIZED") == "1"  # several times slower, and much larger

# Client and server each have a file descriptor for every stream.
_, _hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (_hard_limit, _hard_limit))


def yaml_of(config: dict) -> str:
    """Sections of keys as YAML, of which JSON is a part."""
    return "".join(f"{section}: {json.dumps(keys)}\n" for section, keys in config.items())


def merged(config: dict, changes: dict) -> dict:
    return {
        section: {**config.get(section, {}), **changes.get(section, {})}
        for section in {**config, **changes}
    }


class SimServer:
    """A running server. `simulation` is what the simulated engine takes, `config` the keys of the
    server's configuration that are not as below."""

    CONFIG = {
        "http": {"port": 0, "max_connections": 20000, "max_connections_per_address": 0},
        "operations": {"port": 0, "log_level": "warning", "drain_grace": 0.1},
    }

    def __init__(self, config: dict, **simulation):
        self.folder = tempfile.TemporaryDirectory()
        path = pathlib.Path(self.folder.name) / "config.yaml"
        path.write_text(yaml_of(merged(self.CONFIG, config)))
        command = [os.environ["HADAL_SIM_SERVER"], path, TOKENIZER]
        command += [f"{name}={value}" for name, value in simulation.items()]
        self.error_file = open(pathlib.Path(self.folder.name) / "stderr", "w+b")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.error_file)
        words = self.process.stdout.readline().split()
        assert words and words[0] == b"serving", self.errors()
        self.port, self.operations_port = int(words[1]), int(words[2])
        self.may_end = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        is_running = self.process.poll() is None
        if is_running:
            self.process.kill()
        code = self.process.wait()
        errors = self.errors()
        self.process.stdout.close()
        self.error_file.close()
        self.folder.cleanup()
        assert is_running or self.may_end, (code, errors)

    def errors(self) -> str:
        self.error_file.flush()
        self.error_file.seek(0)
        return self.error_file.read().decode(errors="replace")

    def signal(self) -> float:
        """Sends SIGTERM; when that was."""
        self.process.send_signal(signal.SIGTERM)
        return time.monotonic()

    def exit_code(self, timeout: float) -> int:
        """Waits for the end, which a test expects."""
        self.may_end = True
        return self.process.wait(timeout)

    # What can be seen from outside.

    def probe(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.operations_port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def metrics(self) -> dict[str, float]:
        """Samples by their names with labels, but for the model's."""
        status, text = self.probe("/metrics")
        assert status == 200
        samples = {}
        for line in text.splitlines():
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                name = re.sub(r'model="sim",?', "", name).replace(",}", "}").replace("{}", "")
                samples[name] = float(value)
        return samples

    def metric_sum(self, name: str, *labels: str) -> float:
        """Of all series of that name with all of these labels, written name="value"."""
        return sum(
            value
            for sample, value in self.metrics().items()
            if sample.split("{")[0] == name and all(label in sample for label in labels)
        )

    def rss_bytes(self) -> int:
        pages = pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * resource.getpagesize()

    def num_file_descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu_seconds(self) -> float:
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def unsent_bytes(self) -> int:
        """What the kernel holds for clients of the server."""
        total = 0
        for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
            words = line.split()
            if int(words[1].split(":")[1], 16) == self.port:
                total += int(words[4].split(":")[0], 16)
        return total

    def kv_blocks_used(self) -> float:
        return self.metrics()['hadal_kv_blocks{state="used"}']

    def wait_until_idle(self, timeout: float) -> float:
        """Until no stream is open and no block in use; how long that took."""

        def is_idle() -> bool:
            metrics = self.metrics()
            names = ("hadal_requests_running", "hadal_requests_waiting", "hadal_streams_open")
            used = metrics['hadal_kv_blocks{state="used"}']
            return used == 0 and all(metrics[name] == 0 for name in names)

        return wait_until(is_idle, timeout)

    # Clients.

    def chat(self, **fields) -> tuple[int, dict[str, str], dict]:
        """One chat that is not streamed: status, headers, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("POST", "/v1/chat/completions", **chat_request(**fields))
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return response.status, headers, json.loads(response.read())

    def stream(self, **fields) -> "Stream":
        return Stream(self.port, **fields)

    def load(self, **settings) -> dict:
        """Streams as hadal-sse-load makes and measures them."""
        return self.begin_load(**settings).result()

    def begin_load(self, **settings) -> "LoadInProgress":
        return LoadInProgress(self.port, **settings)


def chat_request(**fields) -> dict:
    message = {"role": "user", "content": fields.pop("content", "Tell me.")}
    body = {"model": "sim", "messages": [message], "ignore_eos": True, **fields}
    return {"body": json.dumps(body), "headers": {"Content-Type": "application/json"}}


class LoadInProgress:
    def __init__(self, port: int, **settings):
        command = [os.environ["HADAL_SSE_LOAD"], str(port)]
        command += [f"{name}={value}" for name, value in settings.items()]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)

    def is_running(self) -> bool:
        return self.process.poll() is None

    def result(self, timeout: float = 300) -> dict:
        output, _ = self.process.communicate(timeout=timeout)
        assert self.process.returncode == 0
        return json.loads(output)


class Stream:
    """A streamed chat, read as it comes."""

    def __init__(self, port: int, **fields):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        request = chat_request(stream=True, **fields)
        self.connection.request("POST", "/v1/chat/completions", **request)
        self.response = None

    def begin(self) -> int:
        """Waits for the response's head; its status."""
        self.response = self.connection.getresponse()
        return self.response.status

    def events(self):
        """What follows "data: ", one event after the other."""
        while line := self.response.readline():
            if line.startswith(b"data: "):
                yield line[len("data: ") :].decode().rstrip("\n")

    def reset(self):
        """Breaks off without a word."""
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        self.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()

    def close(self):
        self.connection.close()


def wait_until(condition, timeout: float) -> float:
    """How long it took until `condition()` was true; it must be within `timeout` seconds."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() < begin + timeout, "it did not happen in time"
        time.sleep(0.01)
    return time.monotonic() - begin


class Watch:
    """Calls `look` every so many seconds on a thread of its own and keeps what it said."""

    def __init__(self, look, interval: float = 0.02):
        self.values = []
        self.ended = threading.Event()

        def run():
            while not self.ended.wait(interval):
                self.values.append(look())

        self.thread = threading.Thread(target=run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
