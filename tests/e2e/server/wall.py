"""What every test of bad input asks: the exact answer, a server that stands, and true counts."""

import collections
import dataclasses
import json
import re

from conftest import ROOT
from serving import Connection, Reply, Server, post, request, wait_for, wait_until

SECRET = "Xyzzy-of-the-prompt"  # in every prompt, in no log
CHAT = {"messages": [{"role": "user", "content": f"Hi {SECRET}"}], "max_tokens": 1}
COMPLETION = {"prompt": f"Hi {SECRET}", "max_tokens": 1}
TOKENIZE = {"prompt": SECRET}
DETOKENIZE = {"tokens": [1, 2, 3]}
NORMAL_EVERY = 50

ROUTES = {"/v1/chat/completions": "chat_completions", "/v1/completions": "completions",
          "/v1/models": "models", "/tokenize": "tokenize", "/detokenize": "detokenize",
          "/livez": "probe", "/readyz": "probe", "/startupz": "probe", "/metrics": "metrics"}

# Paths and the method that each has; what is no path; and what others might take for one.
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "PROPFIND",
           "X"]
ALLOWED = {"/livez": "GET", "/readyz": "GET", "/startupz": "GET"}
for base in ("", "/v1", "/beta"):
    ALLOWED |= {f"{base}/chat/completions": "POST", f"{base}/completions": "POST",
                f"{base}/models": "GET", f"{base}/models/sim": "GET"}
for base in ("", "/v1"):
    ALLOWED |= {f"{base}/tokenize": "POST", f"{base}/detokenize": "POST"}
UNKNOWN_PATHS = ["/", "//", "/v1", "/v1/", "/v2/models", "/v1/engines", "/v1/embeddings",
                 "/v1/responses", "/metrics", "/docs", "/openapi.json", "/health", "/slots",
                 "/props", "/debug/pprof", "/v1/chat", "/v1/files", "/admin", "/invocations",
                 "/.env", "/..", "/favicon.ico", "/beta/tokenize", "/v1/livez", "/index.html",
                 "/cgi-bin/x", "/v1/models/sim/", "/%"]
VARIANTS = ["//v1/models", "/v1//models", "/v1/../v1/models", "/v1/./models", "/./v1/models",
            "/V1/models", "/v1/Models", "/v1/models/", "/v1/models;x", "/v1/models;x=y",
            "/v1%2fmodels", "/v1%2Fmodels", "/%76%31/models", "/v1/model%73", "/v1/models%00",
            "/v1/models%20", "/v1\\models", "/v1/models.json", "/v1/models%3fx",
            "/x/..%2fv1/models", "/v1/models&x", "/v1/models,", "/v1/models:", "/v1/models'",
            "/v1/models%0d%0aX:%20y"]

# What the label `code` says of other statuses is "other".
COUNTED_STATUSES = {200, 204, 400, 401, 403, 404, 405, 408, 413, 414, 415, 417, 422, 429, 431, 499,
                    500, 501, 503, 504, 505}
ANY = object()


@dataclasses.dataclass
class Case:
    """One request and its answer."""

    name: str
    data: bytes
    status: int
    param: object = None
    code: object = ANY
    route: str = "other"
    closes: bool = False  # the connection, behind the answer
    headers: dict = dataclasses.field(default_factory=dict)  # of the answer

    @property
    def method(self) -> str:
        return self.data.split(b" ", 1)[0].decode(errors="replace")


def body_case(name: str, path: str, body, status: int, **expected) -> Case:
    return Case(f"{path}-{name}", post(path, body), status, route=ROUTES[path], **expected)


def with_fragment(base: dict, field: str, fragment: str) -> bytes:
    """The body `base` with a field whose value is JSON text, which need not be JSON."""
    rest = {key: value for key, value in base.items() if key != field}
    whole = json.dumps(rest).encode()
    return whole[:-1] + (b", " if rest else b"") + f'"{field}": {fragment}}}'.encode()


def check_error(reply: Reply, case: Case):
    assert list(reply.json()) == ["error"]
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}, error
    assert isinstance(error["message"], str) and error["message"]
    assert error["type"] == {429: "rate_limit_error"}.get(
        reply.status, "invalid_request_error" if reply.status < 500 else "server_error"), error
    for key in ("param", "code"):
        assert error[key] is None or (isinstance(error[key], str) and error[key]), error
    if case.param is not ANY:
        assert error["param"] == case.param, error
    if case.code is not ANY:
        assert error["code"] == case.code, error
    assert str(ROOT) not in error["message"] and "0x" not in error["message"], error


class Wall:
    """A server under bad input. Cases follow each other on one connection while it lasts."""

    def __init__(self, server: Server, key: str = ""):
        self.server = server
        self.headers = (f"Authorization: Bearer {key}",) if key else ()
        self.secrets = [SECRET, key] if key else [SECRET]
        self.sent = collections.Counter()
        self.num_cases = 0
        self.connection: Connection | None = None

    def check(self, case: Case) -> Reply:
        self.num_cases += 1
        if self.num_cases % NORMAL_EVERY == 0:
            self.check_normal()
        if self.connection is None:
            self.connection = self.server.connect()
        self.connection.send(case.data)
        reply = self.connection.read(case.method)
        self.count(case.route, reply.status)
        self.check_end(reply)
        assert reply.status == case.status, (reply.status, reply.body[:500])
        assert case.closes == (reply.header("connection") == "close")
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", reply.header("x-request-id"))
        for name, value in case.headers.items():
            assert reply.header(name) == value, reply.headers
        if case.status >= 400 and case.method != "HEAD":
            check_error(reply, case)
        return reply

    def check_end(self, reply: Reply):
        """A connection ends when the answer says so, and has nothing in it but the answer."""
        if reply.header("connection") == "close":
            ended = self.connection.is_at_end()
            self.connection.close()
            self.connection = None
            assert ended
        else:
            assert self.connection.bytes == b""

    def count(self, route: str, status: int):
        self.sent[route, str(status) if status in COUNTED_STATUSES else "other"] += 1

    def check_normal(self):
        """Whatever came before, a request as it should be is answered."""
        reply = self.server.send(post("/v1/chat/completions", CHAT, self.headers))
        self.count("chat_completions", reply.status)
        assert reply.status == 200
        assert reply.json()["usage"]["completion_tokens"] == 1

    def check_afterwards(self):
        """The process lives, its counts are true, and its log tells nothing it should not."""
        self.check_normal()
        assert self.server.process.poll() is None
        wait_for(lambda: self.server.metrics().counts(), self.sent)
        assert not any(code.startswith("5") and code not in ("501", "505") for _, code in self.sent)
        text = self.server.log_file.read_text(encoding="utf-8")
        for secret in self.secrets:
            assert secret not in text
        for line in self.server.log():
            assert {"time", "level", "message"} <= set(line)
            assert line["level"] == "info", line
        if self.connection is not None:
            self.connection.close()
        wait_until(self.server.is_idle, "idle")
        assert self.server.stop() == 0


def get(path: str, *headers: str) -> bytes:
    return request("GET", path, headers=headers)
