"""Requests that are not plainly HTTP/1.1: two readers could take them for two different things, or
they are larger than anything honest. And what is plain, on paths and methods that are not there."""

import json

import pytest
from serving import post, request, start_sim
from wall import ALLOWED, CHAT, METHODS, ROUTES, UNKNOWN_PATHS, VARIANTS, Case, Wall, get

PATH = "/v1/chat/completions"
BODY = json.dumps(CHAT).encode()
MAX_BODY = 4096


@pytest.fixture(scope="module")
def wall(tmp_path_factory):
    config = {"http": {"max_body_bytes": MAX_BODY, "header_timeout": 1}}
    with start_sim(tmp_path_factory.mktemp("framing"), config) as server:
        yield Wall(server)


def refused(name: str, data: bytes, status: int = 400) -> Case:
    """A request that gets no further than its head."""
    return Case(name, data, status, closes=True)


# ---- request lines and headers

LINES = {  # request lines that get 400
    "http-0.9": b"GET /v1/models", "no-target": b"GET HTTP/1.1", "only-method": b"GET",
    "no-version": b"GET /v1/models ", "lower-version": b"GET /v1/models http/1.1",
    "short-version": b"GET /v1/models HTTP/1", "long-version": b"GET /v1/models HTTP/1.10",
    "version-text": b"GET /v1/models HTTP/1.x", "trailing-blank": b"GET /v1/models HTTP/1.1 ",
    "leading-blank": b" GET /v1/models HTTP/1.1", "two-blanks": b"GET  /v1/models HTTP/1.1",
    "tabs": b"GET\t/v1/models\tHTTP/1.1", "blank-in-target": b"GET /v1/mod els HTTP/1.1",
    "absolute": b"GET http://localhost/v1/models HTTP/1.1",
    "absolute-elsewhere": b"GET http://evil.example/v1/models HTTP/1.1",
    "authority": b"CONNECT localhost:80 HTTP/1.1", "star": b"OPTIONS * HTTP/1.1",
    "no-slash": b"GET v1/models HTTP/1.1", "fragment": b"GET /v1/models#x HTTP/1.1",
    "nul": b"GET /v1/models\x00 HTTP/1.1", "nul-method": b"G\x00T /v1/models HTTP/1.1",
    "escape": b"GET /v1/\x1b[31m HTTP/1.1", "delete": b"GET /v1/\x7f HTTP/1.1",
    "raw-utf8": "GET /v1/модель HTTP/1.1".encode(), "high-byte": b"GET /v1/\xff HTTP/1.1",
    "method-colon": b"GET: /v1/models HTTP/1.1", "method-brackets": b"G(E)T /v1/models HTTP/1.1",
    "quoted": b'"GET" /v1/models HTTP/1.1', "carriage-return": b"GET /v1/models\rHTTP/1.1",
    "tls-hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "ssh": b"SSH-2.0-OpenSSH_9.2",
    "empty": b"",
}
VERSIONS = [b"HTTP/2.0", b"HTTP/1.2", b"HTTP/0.9", b"HTTP/3.0", b"HTTP/9.9"]

HEADERS = {  # header lines beside a good Host that get 400
    "folded": b"A: b\r\n c", "folded-tab": b"A: b\r\n\tc", "blank-before-colon": b"A : b",
    "tab-before-colon": b"A\t: b", "leading-blank": b" A: b", "no-colon": b"A", "no-name": b": b",
    "nul-in-value": b"A: b\x00c", "nul-in-name": b"A\x00: b", "control": b"A: \x01",
    "delete": b"A: \x7f", "vertical-tab": b"A: \x0b", "carriage-return": b"A: b\rc",
    "bare-line-feed": b"A: b\nC: d", "utf8-name": "Ключ: b".encode(), "slash-in-name": b"A/B: c",
    "quote-in-name": b'"A": b', "two-hosts": b"Host: localhost", "two-hosts-differ": b"Host: evil",
    "two-keys": b"Authorization: Bearer a\r\nAuthorization: Bearer b",
    "two-types": b"Content-Type: text/plain\r\nContent-Type: application/json",
    "two-origins": b"Origin: http://a\r\nOrigin: http://b",
    "two-expects": b"Expect: 100-continue\r\nExpect: 100-continue",
    "two-lengths": b"Content-Length: 0\r\nContent-Length: 0",
    "two-lengths-differ": b"Content-Length: 0\r\nContent-Length: 5",
    "lengths-listed": b"Content-Length: 5, 5", "length-sign": b"Content-Length: +5",
    "length-negative": b"Content-Length: -5", "length-hex": b"Content-Length: 0x5",
    "length-empty": b"Content-Length:", "length-blank": b"Content-Length: 5 5",
    "length-exponent": b"Content-Length: 1e3", "length-fraction": b"Content-Length: 5.0",
    "length-text": b"Content-Length: five", "length-unicode": "Content-Length: ٥".encode(),
    "length-and-chunked": b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    "chunked-and-length": b"Transfer-Encoding: chunked\r\nContent-Length: 5",
    "two-codings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "coding-and-none": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "coding-blank": b"Transfer-Encoding : chunked",
    "coding-control": b"Transfer-Encoding: \x0bchunked",
    "coding-folded": b"Transfer-Encoding:\r\n chunked",
}
CODINGS = ["gzip", "identity", "gzip, chunked", "chunked, gzip", "chunked, chunked", "chunked,",
           "xchunked", '"chunked"', "chunked;q=1", "c", ""]
HOSTS = ["", " ", "a b", "a/b", "user@localhost", "localhost:", "localhost:99999", "localhost:0x50",
         "localhost:-1", "[::1", "[]", "[g]", "a,b", "local%68ost", "a\\b", "localhost:80:80", "é"]


def head_cases():
    host = b"\r\nHost: localhost\r\n"
    for name, line in LINES.items():
        yield refused(f"line-{name}", line + host + b"\r\n")
    for version in VERSIONS:
        yield refused(f"version-{version.decode()}", b"GET /v1/models " + version + host + b"\r\n",
                      505)
    yield refused("http-2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505)
    for name, lines in HEADERS.items():
        yield refused(f"header-{name}", b"POST " + PATH.encode() + b" HTTP/1.1" + host + lines +
                      b"\r\n\r\n")
    for coding in CODINGS:
        yield refused(f"coding-{coding}", request("POST", PATH, headers=(
            f"Transfer-Encoding: {coding}",)).replace(b"Content-Length: 0\r\n", b""), 501)
    for name in HOSTS:
        yield refused(f"host-{name}", f"GET /v1/models HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
    yield refused("no-host", b"GET /v1/models HTTP/1.1\r\n\r\n")
    yield refused("chunked-in-1.0", b"POST " + PATH.encode() + b" HTTP/1.0" + host +
                  b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    yield refused("line-feeds", b"GET /v1/models HTTP/1.1\nHost: localhost\n\n")
    yield refused("blank-line-first", b"\r\n" + get("/v1/models"))
    yield refused("expectation", request("POST", PATH, BODY, ("Expect: a-miracle",)), 417)
    for length in (1 << 63, 10**19, 10**400):
        yield refused(f"length-{length:.3e}" if length < 1e300 else "length-400-digits",
                      request("POST", PATH, headers=(f"X: {length}",)).replace(
                          b"Content-Length: 0", b"Content-Length: " + str(length).encode()), 413)


def limit_cases():
    def long_line(size: int) -> bytes:
        path = b"/" + b"a" * (size - len("GET / HTTP/1.1"))
        return b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def headers_of(num_bytes: int) -> bytes:
        line = b"Host: localhost\r\n"
        return b"GET /livez HTTP/1.1\r\n" + line + b"A: " + b"b" * (
            num_bytes - len(line) - len("A: \r\n")) + b"\r\n\r\n"

    def num_headers(count: int) -> bytes:
        return get("/livez", *(f"A{i}: b" for i in range(count - 1)))

    yield Case("line-8192", long_line(8192), 404)
    yield refused("line-8193", long_line(8193), 414)
    yield refused("line-1MiB", long_line(1 << 20), 414)
    yield Case("headers-16384-bytes", headers_of(16384), 200, route="probe")
    yield refused("headers-16385-bytes", headers_of(16385), 431)
    yield refused("headers-1MiB", headers_of(1 << 20), 431)
    yield Case("64-headers", num_headers(64), 200, route="probe")
    yield refused("65-headers", num_headers(65), 431)
    yield refused("10000-headers", num_headers(10_000), 431)
    for size, status in ((MAX_BODY, 200), (MAX_BODY + 1, 413)):
        closes = status == 413
        body = BODY.ljust(size)
        yield Case(f"body-{size}", post(PATH, body), status, route="chat_completions",
                   closes=closes)
        for piece in (1, 100, size):
            yield Case(f"chunked-{size}-by-{piece}", chunked(pieces(body, piece)), status,
                       route="chat_completions", closes=closes)
    for length in (MAX_BODY + 1, 1 << 40, (1 << 63) - 1):
        yield Case(f"announced-{length}", post(PATH, b"").replace(
            b"Content-Length: 0", b"Content-Length: " + str(length).encode()), 413,
                   route="chat_completions", closes=True)
    for size in (b"7fffffffffffffff", b"fffffffff"):
        yield chunk_case(f"announced-{size.decode()}", size + b"\r\n{",
                         413 if len(size) < 16 else 400)


# ---- chunks

def pieces(body: bytes, size: int) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(body[i:i + size]), body[i:i + size])
                    for i in range(0, len(body), size)) + b"0\r\n\r\n"


def chunked(body: bytes) -> bytes:
    head = request("POST", PATH, headers=("Transfer-Encoding: chunked",))
    return head.replace(b"Content-Length: 0\r\n", b"") + body


def chunk_case(name: str, body: bytes, status: int = 400) -> Case:
    return Case(f"chunk-{name}", chunked(body), status, route="chat_completions",
                closes=status != 200)


def chunk_cases():
    size = b"%x" % len(BODY)
    whole = BODY + b"\r\n0\r\n\r\n"
    good = {"plain": size + b"\r\n" + whole, "upper": size.upper() + b"\r\n" + whole,
            "zeros": b"000" + size + b"\r\n" + whole,
            "extension": size + b";a=b\r\n" + whole, "quoted": size + b';a="b"\r\n' + whole,
            "trailer": size + b"\r\n" + BODY + b"\r\n0\r\nA: b\r\nC: d\r\n\r\n",
            "by-seven": pieces(BODY, 7)}
    for name, body in good.items():
        yield chunk_case(name, body, 200)
    bad_sizes = [b"", b"g", b"-1", b"+5", b"0x5", b" 5", b"5 ", b"5\t", b"f" * 16, b"f" * 100,
                 b"1.0", "٥".encode(), b"\x00", b"5\x00", b";a=b", b"5,5", b"5\r"]
    for bad in bad_sizes:
        yield chunk_case(f"size-{bad!r}", bad + b"\r\n" + whole)
    bad = {"bare-line-feed": size + b"\n" + whole,
           "no-line-end": size + b"\r\n" + BODY + b"0\r\n\r\n",
           "line-feed-behind": size + b"\r\n" + BODY + b"\n0\r\n\r\n",
           "too-short": b"%x" % (len(BODY) - 1) + b"\r\n" + whole,
           "extension-control": size + b";a=\x01\r\n" + whole,
           "extension-line-feed": size + b";a\nb\r\n" + whole,
           "extension-endless": size + b";" + b"a" * 5000 + b"\r\n" + whole,
           "trailer-no-colon": size + b"\r\n" + BODY + b"\r\n0\r\n: b\r\n\r\n",
           "trailer-control": size + b"\r\n" + BODY + b"\r\n0\r\nA: \x00\r\n\r\n",
           "trailer-line-feed": size + b"\r\n" + BODY + b"\r\n0\r\nA: b\n\r\n",
           "trailers-endless": size + b"\r\n" + BODY + b"\r\n0\r\n" + b"A: b\r\n" * 2000 + b"\r\n",
           "http-instead": get("/v1/models")}
    for name, body in bad.items():
        yield chunk_case(name, body)


# ---- paths and methods

def path_cases():
    for path, allowed in ALLOWED.items():
        for method in METHODS:
            if method == allowed or (method, allowed) == ("HEAD", "GET"):
                continue
            yield Case(f"{method}-{path}", request(method, path), 405, code="method_not_allowed",
                       route="other", headers={"allow": allowed})
    for path in [*UNKNOWN_PATHS, *VARIANTS]:
        if path == "/v1/models/sim/":
            yield Case("model-slash", get(path), 404, param="model", route="models")
            continue
        for method in ("GET", "POST"):
            yield Case(f"{method}-{path}", request(method, path), 404, code="not_found")
    for query in ("?", "?a=b", "?a=%00", "?/../", "??", "?" + "a" * 1000):
        yield Case(f"query-{query[:10]}", get("/v1/models" + query), 200, route="models")
    for path in ("/v1/models/sim", "/beta/models/%73im", "/models/s%69%6D"):
        yield Case(f"model-{path}", get(path), 200, route="models")
    for path in ("/v1/models/%00", "/v1/models/%2573im", "/v1/models/sim%", "/v1/models/sim%2",
                 "/v1/models/si%6x", "/v1/models/%ff", "/v1/models/sim+", "/v1/models/..",
                 "/v1/models/a/b", "/models/SIM", "/beta/models/sim%20", "/v1/models/%0d%0a",
                 "/v1/models/*"):
        yield Case(f"model-{path}", get(path), 404, param="model", code="model_not_found",
                   route="models")
    for path in ("/livez", "/readyz", "/startupz", "/v1/models"):
        yield Case(f"HEAD-{path}", request("HEAD", path), 200, route=ROUTES[path])


CASES = [*head_cases(), *limit_cases(), *chunk_cases(), *path_cases()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(case.name))
def test_the_answer_is_exact(wall, case):
    wall.check(case)


# ---- what follows on a connection

SMUGGLED = get("/v1/models")


@pytest.mark.parametrize("first, status, route", [
    (request("POST", "/nothing", SMUGGLED), 404, "other"),
    (request("PUT", PATH, SMUGGLED), 405, "other"),
    (request("POST", PATH, SMUGGLED, content_type="text/plain"), 415, "chat_completions"),
    (request("POST", PATH, SMUGGLED), 400, "chat_completions"),
    (request("GET", "/v1/models", SMUGGLED), 200, "models"),
    (request("HEAD", "/v1/models", SMUGGLED), 200, "models"),
    (request("POST", "/nothing", SMUGGLED, ("Connection: keep-alive",)), 404, "other")])
def test_a_body_is_never_taken_for_a_request(wall, first, status, route):
    connection = wall.server.connect()
    connection.send(first + get("/livez"))
    assert connection.read(first.split(b" ")[0].decode()).status == status
    assert connection.read().body == b"ok\n"
    wall.count(route, status)
    wall.count("probe", 200)
    connection.end_sending()
    assert connection.is_at_end()
    connection.close()


def test_requests_may_follow_each_other_and_garbage_ends_them(wall):
    connection = wall.server.connect()
    connection.send(post(PATH, CHAT) + get("/livez") + post(PATH, CHAT) + b"garbage\r\n\r\n" +
                    get("/livez"))
    for route, status in (("chat_completions", 200), ("probe", 200), ("chat_completions", 200),
                          ("other", 400)):
        assert connection.read().status == status
        wall.count(route, status)
    assert connection.is_at_end()
    connection.close()


def test_a_refused_chunked_body_ends_the_connection(wall):
    connection = wall.server.connect()
    connection.send(request("POST", "/nothing", headers=("Transfer-Encoding: chunked",)).replace(
        b"Content-Length: 0\r\n", b"") + b"5\r\nhello\r\n0\r\n\r\n" + get("/livez"))
    reply = connection.read()
    wall.count("other", 404)
    assert reply.status == 404 and reply.header("connection") == "close"
    assert connection.is_at_end()
    connection.close()


@pytest.mark.parametrize("data", [b"", b"G", b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n",
                                  b"\x00" * 100, b"GET " + b"a" * 100])
def test_half_a_request_is_given_up_in_time(wall, data):
    connection = wall.server.connect()
    connection.send(data)
    if data:
        reply = connection.read()
        assert reply.status == 408
        wall.count("other", reply.status)
    assert connection.is_at_end()
    connection.close()


def test_a_client_that_breaks_off_its_body_is_nobodys_error(wall):
    for data in (post(PATH, CHAT)[:-5], chunked(b"5\r\nhe")):
        connection = wall.server.connect()
        connection.send(data)
        connection.end_sending()
        while not connection.is_at_end():
            connection.bytes = b""  # whatever is said to it
        wall.count("chat_completions", 499)
        connection.close()


def test_http_1_0_is_closed_unless_it_asks(wall):
    for lines, kept in ((b"", False), (b"Connection: keep-alive\r\n", True)):
        connection = wall.server.connect()
        connection.send(b"GET /livez HTTP/1.0\r\nHost: localhost\r\n" + lines + b"\r\n")
        reply = connection.read()
        wall.count("probe", reply.status)
        assert reply.status == 200
        assert reply.header("connection") == ("keep-alive" if kept else "close")
        assert kept or connection.is_at_end()
        connection.close()


def test_expect_100_is_told_to_go_on_or_refused_at_once(wall):
    connection = wall.server.connect()
    head, body = post(PATH, BODY, ("Expect: 100-continue",)).split(b"\r\n\r\n", 1)
    connection.send(head + b"\r\n\r\n")
    assert connection._take_line() == "HTTP/1.1 100 Continue" and connection._take_line() == ""
    connection.send(body)
    assert connection.read().status == 200
    wall.count("chat_completions", 200)
    connection.send(head.replace(PATH.encode(), b"/nothing") + b"\r\n\r\n")
    reply = connection.read()
    wall.count("other", 404)
    assert reply.status == 404 and reply.header("connection") == "close"
    assert connection.is_at_end()
    connection.close()


def test_afterwards_all_is_well(wall):
    wall.check_afterwards()
