"""Who may ask: without a key nothing is told, not even which paths there are; and web pages that
borrow a browser, or a name of this machine, are sent away."""

import json

import pytest
from serving import post, request, start_sim, wait_for
from wall import (ALLOWED, CHAT, COMPLETION, METHODS, ROUTES, UNKNOWN_PATHS, VARIANTS, Case, Wall,
                  get)

KEY = "sk-0123456789abcdef-Zyxw"
OTHER_KEY = "sk-another-tenants-key-42"
PUBLIC = ("/livez", "/readyz", "/startupz")
CHALLENGE = {"www-authenticate": "Bearer"}


@pytest.fixture(scope="module")
def wall(tmp_path_factory):
    folder = tmp_path_factory.mktemp("access")
    keys = folder / "keys"
    keys.write_text(f"# who\nteam-a {KEY}\n{OTHER_KEY}\n")
    config = {"security": {"api_keys_file": str(keys)},
              "http": {"allowed_origins": ["https://chat.example.org"],
                       "allowed_hosts": ["hadal.example.org"]}}
    with start_sim(folder, config) as server:
        yield Wall(server, KEY)


BAD_CREDENTIALS = {
    "none": (), "empty": ("Authorization:",), "blank": ("Authorization:  ",),
    "scheme-alone": ("Authorization: Bearer",), "scheme-blank": ("Authorization: Bearer ",),
    "no-scheme": (f"Authorization: {KEY}",), "basic": (f"Authorization: Basic {KEY}",),
    "token": (f"Authorization: Token {KEY}",), "joined": (f"Authorization: Bearer{KEY}",),
    "colon": (f"Authorization: Bearer: {KEY}",), "equals": (f"Authorization: Bearer={KEY}",),
    "more": (f"Authorization: Bearer {KEY}x",), "less": (f"Authorization: Bearer {KEY[:-1]}",),
    "first": (f"Authorization: Bearer {KEY[:1]}",), "tail": (f"Authorization: Bearer {KEY[1:]}",),
    "upper": (f"Authorization: Bearer {KEY.upper()}",),
    "quoted": (f'Authorization: Bearer "{KEY}"',), "twice": (f"Authorization: Bearer {KEY} {KEY}",),
    "comma": (f"Authorization: Bearer {KEY}, Bearer {KEY}",),
    "scheme-twice": (f"Authorization: Bearer Bearer {KEY}",),
    "named": (f"Authorization: Bearer team-a {KEY}",), "comment": ("Authorization: Bearer # who",),
    "long": ("Authorization: Bearer " + "k" * 8000,), "star": ("Authorization: Bearer *",),
    "other-header": (f"X-Api-Key: {KEY}",), "proxy": (f"Proxy-Authorization: Bearer {KEY}",),
    "cookie": (f"Cookie: api_key={KEY}",), "high-bytes": ("Authorization: Bearer ключ",),
    "null": ("Authorization: null",), "undefined": ("Authorization: Bearer undefined",),
}
GOOD_CREDENTIALS = {
    "plain": f"Authorization: Bearer {KEY}", "lower": f"authorization: bearer {KEY}",
    "upper": f"AUTHORIZATION: BEARER {KEY}", "blanks": f"Authorization:   Bearer   {KEY}  ",
    "other-tenant": f"Authorization: Bearer {OTHER_KEY}",
}


def unauthorized(name: str, data: bytes, route: str) -> Case:
    return Case(name, data, 401, code="invalid_api_key", route=route, headers=CHALLENGE)


def route_of(method: str, path: str) -> str:
    """The route that is counted: that of path and method together."""
    allowed = ALLOWED.get(path)
    if allowed is None or not (method == allowed or (method, allowed) == ("HEAD", "GET")):
        return "other"
    if "/models" in path:
        return "models"
    end = path.removeprefix("/v1").removeprefix("/beta")
    return ROUTES.get(end) or ROUTES["/v1" + end]


def key_cases():
    body = json.dumps(CHAT).encode()
    for path in ALLOWED:
        for method in METHODS:
            if path not in PUBLIC or method not in ("GET", "HEAD"):
                yield unauthorized(f"no-key-{method}-{path}", request(method, path),
                                   route_of(method, path))
    for path in [*UNKNOWN_PATHS, *VARIANTS]:
        for method in ("GET", "POST"):
            route = "models" if path == "/v1/models/sim/" and method == "GET" else "other"
            yield unauthorized(f"no-key-{method}-{path}", request(method, path), route)
    for name, lines in BAD_CREDENTIALS.items():
        yield unauthorized(f"key-{name}", request("POST", "/v1/chat/completions", body, lines),
                           "chat_completions")
        yield unauthorized(f"key-{name}-unknown", request("GET", "/nothing", headers=lines),
                           "other")
        yield unauthorized(f"key-{name}-query", request("GET", f"/v1/models?api_key={KEY}",
                                                        headers=lines), "models")
    for name, line in GOOD_CREDENTIALS.items():
        yield Case(f"key-{name}", request("POST", "/v1/chat/completions", body, (line,)), 200,
                   route="chat_completions")
        yield Case(f"key-{name}-unknown", get("/nothing", line), 404, code="not_found")
    yield Case("two-keys", get("/v1/models", *2 * (f"Authorization: Bearer {KEY}",)), 400,
               closes=True)
    for path in PUBLIC:
        yield Case(f"public-{path}", get(path), 200, route="probe")
        yield Case(f"public-wrong-key-{path}", get(path, "Authorization: Bearer x"), 200,
                   route="probe")


GOOD = f"Authorization: Bearer {KEY}"
FOREIGN_ORIGINS = ["http://evil.example", "https://chat.example.org.evil.example", "null", "",
                   "https://chat.example.org:8443", "http://chat.example.org", "HTTPS://X",
                   "https://evil.example/https://chat.example.org", "file://", "chat.example.org",
                   "http://localhost.evil.example", "http://127.0.0.1.evil.example", "localhost",
                   "http://localhost:9", "http://user@localhost", "chrome-extension://abcdef", "*"]
FOREIGN_HOSTS = ["evil.example", "localhost.evil.example", "evil.localhost", "127.0.0.1.nip.io",
                 "hadal.example.org.evil.example", "xhadal.example.org", "example.org",
                 "0x7f000001"]
OWN_HOSTS = ["localhost", "LOCALHOST", "localhost:8000", "127.0.0.1", "127.0.0.1:1", "[::1]",
             "[::1]:80", "10.0.0.7", "hadal.example.org", "HADAL.example.org:443"]


def browser_cases():
    def from_host(host: str, *lines: str) -> bytes:
        return get("/v1/models", GOOD, *lines).replace(b"Host: localhost", f"Host: {host}".encode())

    forbidden = {"status": 403, "code": "forbidden", "route": "models"}
    for origin in FOREIGN_ORIGINS:
        yield Case(f"origin-{origin}", get("/v1/models", GOOD, f"Origin: {origin}"), **forbidden)
        yield Case(f"origin-{origin}-probe", get("/livez", f"Origin: {origin}"),
                   **{**forbidden, "route": "probe"})
        yield Case(f"preflight-{origin}", request("OPTIONS", "/v1/chat/completions", headers=(
            f"Origin: {origin}", "Access-Control-Request-Method: POST")), **{**forbidden,
                                                                             "route": "other"})
    for host in FOREIGN_HOSTS:
        yield Case(f"host-{host}", from_host(host), **forbidden)
        yield Case(f"host-{host}-origin", from_host(host, f"Origin: http://{host}"), **forbidden)
        yield Case(f"host-{host}-unknown", from_host(host).replace(b"/v1/models", b"/nothing"),
                   **{**forbidden, "route": "other"})
    for host in OWN_HOSTS:
        yield Case(f"host-{host}", from_host(host), 200, route="models")
    for origin, host in (("https://chat.example.org", "localhost"),
                         ("http://localhost", "localhost"), ("http://127.0.0.1:81", "127.0.0.1:81"),
                         ("https://[::1]:5", "[::1]:5")):
        yield Case(f"own-{origin}", from_host(host, f"Origin: {origin}"), 200, route="models",
                   headers={"access-control-allow-origin": origin, "vary": "Origin"})
        yield Case(f"own-{origin}-no-key", get("/v1/models", f"Origin: {origin}").replace(
            b"Host: localhost", f"Host: {host}".encode()), 401, route="models",
                   headers={"access-control-allow-origin": origin})
        yield Case(f"preflight-{origin}", request("OPTIONS", "/v1/chat/completions", headers=(
            f"Origin: {origin}",)).replace(b"Host: localhost", f"Host: {host}".encode()), 204,
                   route="other", headers={"access-control-allow-origin": origin,
                                           "access-control-allow-methods": "GET, POST"})


CASES = [*key_cases(), *browser_cases()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(case.name))
def test_the_answer_is_exact(wall, case):
    wall.check(case)


def test_refusals_of_the_unknown_say_no_more_than_those_of_the_known(wall):
    replies = []
    for path in ("/v1/models", "/nothing", "/v1/models/other"):
        reply = wall.server.send(get(path))
        wall.count("other" if path == "/nothing" else "models", reply.status)
        replies.append((reply.status, reply.body, sorted(set(reply.headers) - {"x-request-id"})))
    assert replies[0] == replies[1] == replies[2]


def test_no_body_is_read_without_a_key(wall):
    connection = wall.server.connect()
    connection.send(post("/v1/chat/completions", CHAT).split(b"\r\n\r\n")[0].replace(
        b"Content-Length: ", b"Content-Length: 9999999") + b"\r\n\r\n")
    reply = connection.read()
    wall.count("chat_completions", reply.status)
    assert reply.status == 401 and reply.header("connection") == "close"
    connection.close()


def test_tenants_do_not_see_each_other_in_the_prefix_cache(wall):
    prompt = {"prompt": list(range(3, 200)), "max_tokens": 1}

    def cached_tokens(key: str) -> int:
        reply = wall.server.send(post("/v1/completions", prompt, (f"Authorization: Bearer {key}",)))
        wall.count("completions", reply.status)
        return reply.json()["usage"]["prompt_tokens_details"]["cached_tokens"]

    assert cached_tokens(KEY) == 0
    assert cached_tokens(KEY) == 192
    assert cached_tokens(OTHER_KEY) == 0
    assert cached_tokens(OTHER_KEY) == 192


def test_a_salt_keeps_prefixes_apart(wall):
    prompt = {"prompt": list(range(300, 400)), "max_tokens": 1}
    hits = []
    for salt in ("", "a", "b", "a", ""):
        reply = wall.server.send(post("/v1/completions", {**prompt, "cache_salt": salt}, (GOOD,)))
        wall.count("completions", reply.status)
        hits.append(reply.json()["usage"]["prompt_cache_hit_tokens"])
    assert hits == [0, 0, 0, 64, 64]


def test_the_log_names_tenants_and_not_keys(wall):
    expected = []
    for key, tenant in ((KEY, "team-a"), (OTHER_KEY, "key-2"), (None, "")):
        lines = (f"Authorization: Bearer {key}",) if key else ()
        reply = wall.server.send(post("/v1/completions", COMPLETION, (*lines, "x-request-id: who")))
        wall.count("completions", reply.status)
        expected.append((tenant, reply.status))
    wait_for(lambda: [(line["tenant"], line["status"]) for line in wall.server.log()
                      if line.get("request_id") == "who"], expected)


def test_afterwards_all_is_well(wall):
    wall.secrets.append(OTHER_KEY)
    wall.check_afterwards()
