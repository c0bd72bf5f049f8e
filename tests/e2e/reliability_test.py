"""What the server does when clients, the engine or those who operate it misbehave.

Times are asserted loosely: the machine may be busy. HADAL_LONG_TESTS=1 asks for the loads and times
that the server promises.
"""

import concurrent.futures
import http.client
import json
import socket
import time

import pytest

from sim_server import LONG, SANITIZED, SimServer, Watch, chat_request, wait_until

SLACK = 0.5 if LONG else 5.0  # seconds that a busy machine may add


def read_all(stream) -> list[str]:
    """All events, or the one body of an error that came before the first."""
    if stream.begin() == 200:
        return list(stream.events())
    return [stream.response.read().decode()]


def start_streams(server, number: int, **fields):
    """Streams that have begun, and the futures of all their events."""
    streams = [server.stream(**fields) for _ in range(number)]
    pool = concurrent.futures.ThreadPoolExecutor(number)
    return [pool.submit(read_all, stream) for stream in streams]


def is_error(event: str) -> bool:
    return event.startswith('{"error":')


# A burst


def send_head_only(port: int) -> socket.socket:
    """A request whose body never comes."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    )
    return connection


def test_a_burst_is_let_in_up_to_the_limit_exactly():
    limit, number = 256, 5000 if LONG else 2000
    config = {"scheduling": {"max_requests": limit, "max_running_sequences": 64}}
    with SimServer(config, fixed_us=20000, per_token_us=0) as server:
        names = ("hadal_requests_running", "hadal_requests_waiting")
        with Watch(lambda: sum(server.metrics()[name] for name in names)) as taken:
            burst = server.begin_load(
                streams=number, open_per_ms=100, max_tokens=4000, give_up=60 if SANITIZED else 10
            )
            refused = 'code="429"'
            wait_until(
                lambda: server.metric_sum("hadal_requests_total", refused) >= number - limit, 60
            )
            # Who is refused is refused for its head alone: there is no text to be worked on.
            with send_head_only(server.port) as connection:
                answer = connection.recv(4096)
            assert answer.startswith(b"HTTP/1.1 429 "), answer
        burst.process.terminate()
        burst.process.wait()
        server.wait_until_idle(20)
        assert max(taken.values) <= limit
        metrics = server.metrics()
        assert server.metric_sum("hadal_requests_total", 'code="429"') == number - limit + 1
        assert metrics["hadal_client_disconnects_total"] == limit
        assert metrics['hadal_requests_rejected_total{reason="requests"}'] == number - limit + 1


# Slow readers


def test_slow_readers_are_cut_off_and_slow_down_nobody():
    stall_timeout = 30 if LONG else 3
    config = {
        "http": {"stall_timeout": stall_timeout},
        "scheduling": {"max_requests": 512, "max_running_sequences": 300},
    }
    step = 0.04 if SANITIZED else 0.01
    normal = {"streams": 50, "max_tokens": 2400 if LONG else 400}
    with SimServer(config, fixed_us=step * 1e6, per_token_us=0) as server:
        alone = server.load(**normal)
        assert alone["done"] == 50
        rss = server.rss_bytes()
        with Watch(lambda: (server.rss_bytes() - rss, server.unsent_bytes()), 0.1) as memory:
            slow = server.begin_load(
                streams=200, read_rate=1, obfuscated=1, max_tokens=8000, give_up=300
            )
            beside = server.load(**normal)
            slow = slow.result()
        assert beside["done"] == 50
        assert slow["broken"] == 200
        assert server.metrics()["hadal_slow_client_aborts_total"] == 200
        server.wait_until_idle(5 + SLACK)
        # The kernel's buffers are full after 400 tokens.
        filled = 400 * step
        assert slow["seconds"] <= filled + 1.2 * stall_timeout + SLACK
        assert max(rss + unsent for rss, unsent in memory.values) <= 50 * 2**20 or SANITIZED
        allowed = 1.2 * alone["gap_ms"]["p99"] + (0 if LONG else 100)
        assert beside["gap_ms"]["p99"] <= allowed or SANITIZED


# Clients that go away


@pytest.mark.parametrize("n", [1, 4])
def test_nothing_is_left_of_streams_that_break_off(n):
    number = 10000 if LONG else 500 if SANITIZED else 2000
    number //= 1 if n == 1 else 4
    scheduling = {"max_requests": 10000, "max_running_sequences": 1024, "max_step_tokens": 4096}
    config = {"scheduling": scheduling}
    with SimServer(config, fixed_us=10000, per_token_us=0, num_blocks=32768) as server:
        server.load(streams=1, max_tokens=2)
        server.wait_until_idle(5)
        before = server.num_file_descriptors()
        load = server.load(
            streams=number, n=n, max_tokens=1000, abort_min=1, abort_max=60, give_up=200
        )
        assert load["aborted"] == number, load
        server.wait_until_idle(2 + SLACK)
        wait_until(lambda: server.num_file_descriptors() <= before, 2 + SLACK)
        metrics = server.metrics()
        assert metrics["hadal_client_disconnects_total"] == number
        assert metrics['hadal_requests_ended_total{reason="cancelled"}'] == number
        assert server.metric_sum("hadal_requests_total", 'finish_reason="cancelled"') == number
        assert server.load(streams=8, max_tokens=10)["done"] == 8


def test_blocks_are_free_two_steps_after_a_client_has_gone():
    with SimServer({}, fixed_us=200_000) as server:
        stream = server.stream(max_tokens=1000, n=4)
        assert stream.begin() == 200
        stream.reset()
        metrics = server.metrics()
        while metrics["hadal_client_disconnects_total"] == 0:
            metrics = server.metrics()
        num_steps = metrics["hadal_batch_size_count"]
        while metrics['hadal_kv_blocks{state="used"}'] > 0:
            metrics = server.metrics()
        assert metrics["hadal_batch_size_count"] <= num_steps + 2


def test_a_client_that_leaves_before_its_answer_begins_is_cancelled():
    config = {"scheduling": {"max_running_sequences": 1}}
    with SimServer(config, fixed_us=20_000) as server:
        running = server.stream(max_tokens=4000)
        assert running.begin() == 200
        waiting = server.stream(max_tokens=4000)
        wait_until(lambda: server.metrics()["hadal_requests_waiting"] == 1, 10)
        waiting.reset()
        wait_until(lambda: server.metrics()["hadal_requests_waiting"] == 0, 10)
        assert server.metrics()["hadal_requests_running"] == 1
        assert server.metric_sum("hadal_requests_total", 'code="499"') == 1
        running.reset()
        server.wait_until_idle(10)


# Deadlines


def test_nothing_is_left_of_a_request_whose_time_is_up():
    with SimServer({}, fixed_us=5000) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        request = chat_request(max_tokens=8000)
        request["headers"]["x-request-timeout"] = "0.3"
        connection.request("POST", "/v1/chat/completions", **request)
        assert connection.getresponse().status == 504
        server.wait_until_idle(2 + SLACK)


# The end of the server


def drain_config(**operations):
    # Room to run for those that come during the grace: they must not wait for the streams to end.
    scheduling = {"max_requests": 128, "max_running_sequences": 80}
    return {"operations": operations, "scheduling": scheduling}


def test_a_drain_loses_nothing():
    config = drain_config(drain_grace=1.0, shutdown_timeout=60)
    with SimServer(config, fixed_us=10_000, per_token_us=0) as server:
        streams = start_streams(server, 64, max_tokens=800)
        wait_until(lambda: server.metrics()["hadal_streams_open"] == 64, 20)
        assert server.probe("/readyz")[0] == 200
        begin = server.signal()
        wait_until(lambda: server.probe("/readyz")[0] == 503, SLACK)
        assert server.probe("/livez")[0] == 200
        if time.monotonic() < begin + 0.5:  # who has not heard of it yet is served
            assert server.chat(max_tokens=2)[0] == 200
        wait_until(lambda: server.chat(max_tokens=2)[0] == 503, 1.0 + SLACK)
        status, headers, body = server.chat(max_tokens=2)
        assert (status, headers["connection"]) == (503, "close")
        assert body["error"]["message"]
        for stream in streams:
            events = stream.result()
            assert events[-1] == "[DONE]" and '"finish_reason":"length"' in events[-2]
        assert server.exit_code(SLACK) == 0


def test_a_drain_ends_however_many_still_knock():
    config = drain_config(drain_grace=0.0, shutdown_timeout=60)
    with SimServer(config, fixed_us=10_000, per_token_us=0) as server:
        streams = start_streams(server, 4, max_tokens=100)
        wait_until(lambda: server.metrics()["hadal_streams_open"] == 4, 20)
        server.signal()
        knocking = server.begin_load(rate=200, seconds=20, max_tokens=2)
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(4)]
        for stream in streams:
            assert stream.result()[-1] == "[DONE]"
        assert server.exit_code(1 + SLACK) == 0
        assert knocking.is_running()
        knocking.process.kill()
        knocking.process.wait()
        for connection in silent:
            connection.close()


def test_what_has_not_finished_in_time_ends_with_an_error():
    config = drain_config(drain_grace=0.0, shutdown_timeout=0.5)
    with SimServer(config, fixed_us=10_000, per_token_us=0) as server:
        streams = start_streams(server, 8, max_tokens=8000)
        wait_until(lambda: server.metrics()["hadal_streams_open"] == 8, 20)
        server.signal()
        assert server.exit_code(2 + SLACK) == 0
        for stream in streams:
            assert is_error(stream.result()[-1])


def test_a_second_signal_ends_everything_at_once():
    config = drain_config(drain_grace=30, shutdown_timeout=60)
    with SimServer(config, fixed_us=10_000, per_token_us=0) as server:
        streams = start_streams(server, 64, max_tokens=8000)
        wait_until(lambda: server.metrics()["hadal_streams_open"] == 64, 20)
        server.signal()
        wait_until(lambda: server.probe("/readyz")[0] == 503, SLACK)
        begin = server.signal()
        assert server.exit_code(30) == 1
        assert time.monotonic() <= begin + 2 + SLACK
        for stream in streams:
            assert is_error(stream.result()[-1])


@pytest.mark.parametrize("num_signals", [1, 2])
def test_a_stuck_step_does_not_keep_the_server_from_ending(num_signals):
    config = drain_config(drain_grace=0, shutdown_timeout=1, watchdog_timeout=600)
    with SimServer(config, fixed_us=10_000, hanging_step=10, hanging_seconds=600) as server:
        [stream] = start_streams(server, 1, max_tokens=8000)
        wait_until(lambda: server.metrics()["hadal_batch_size_count"] == 10, 20)
        server.signal()
        if num_signals == 2:
            wait_until(lambda: server.probe("/readyz")[0] == 503, SLACK)
            server.signal()
        assert server.exit_code(4 + SLACK) == num_signals - 1
        assert is_error(stream.result()[-1])


# A stuck engine


def test_a_stuck_step_ends_the_process_with_errors_and_stacks():
    config = {"operations": {"watchdog_timeout": 1}}
    with SimServer(config, fixed_us=5000, hanging_step=50, hanging_seconds=600) as server:
        streams = start_streams(server, 16, max_tokens=8000)
        assert server.exit_code(30) == 86
        for stream in streams:
            assert is_error(stream.result()[-1])
        assert "thread" in server.errors() and "sched" in server.errors()


def test_liveness_tells_of_a_stuck_step_in_time():
    timeout = 10 if LONG else 1
    config = {"operations": {"watchdog_timeout": timeout}}
    with SimServer(config, fixed_us=2000, hanging_step=500, hanging_seconds=600) as server:
        stream = server.stream(max_tokens=8000)
        assert stream.begin() == 200
        times = []  # of tokens

        def read():
            times.extend(time.monotonic() for event in stream.events() if not is_error(event))

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            reading = pool.submit(read)
            while server.probe("/livez")[0] == 200:
                time.sleep(0.005)
            flipped = time.monotonic()
            assert server.probe("/readyz")[0] == 503
            assert server.metrics()["hadal_watchdog_trips_total"] == 1
            reading.result()
        # The step that hangs begins when the token of the step before is delivered.
        took = flipped - times[-1]
        assert timeout <= took + 0.05 and took <= 1.3 * timeout + SLACK
        assert server.exit_code(10) == 86


def test_liveness_bears_a_step_that_is_slow_and_ends():
    timeout = 10 if LONG else 2
    config = {"operations": {"watchdog_timeout": timeout}}
    hang = {"hanging_step": 100, "hanging_seconds": 0.9 * timeout if LONG else 0.5 * timeout}
    with SimServer(config, fixed_us=2000, **hang) as server:
        with Watch(lambda: server.probe("/livez")[0]) as live:
            assert server.chat(max_tokens=200)[0] == 200
        assert set(live.values) == {200}
        assert server.metrics()["hadal_watchdog_trips_total"] == 0


# Numbers that are not finite


PREFIX = "The quick brown fox jumps over the lazy dog. " * 40


def token_of(server, text: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    body = json.dumps({"prompt": text, "add_special_tokens": False})
    connection.request("POST", "/tokenize", body, {"Content-Type": "application/json"})
    [token] = json.loads(connection.getresponse().read())["tokens"]
    return token


def text_of(body: dict) -> str:
    return body["choices"][0]["message"]["content"]


def test_a_poisoned_request_fails_alone_and_leaves_no_trace():
    contents = [f"{PREFIX} {i}" for i in range(8)]
    with SimServer({}) as server:
        poison = token_of(server, " poison")
        clean = [text_of(server.chat(content=c, max_tokens=20, seed=7)[2]) for c in contents]
    with SimServer({}, poison_token=poison, fixed_us=5000) as server:
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            poisoned = [
                pool.submit(server.chat, content=f"{PREFIX} poison", max_tokens=20)
                for _ in range(8)
            ]
            mates = [pool.submit(server.chat, content=c, max_tokens=20, seed=7) for c in contents]
        for answer in poisoned:
            status, _, body = answer.result()
            assert (status, body["error"]["type"]) == (500, "server_error")
        assert [text_of(mate.result()[2]) for mate in mates] == clean
        assert server.metrics()["hadal_numerical_errors_total"] == 8
        server.wait_until_idle(2 + SLACK)
        # The engine checks that nothing is read of what a failed step wrote.
        after = [text_of(server.chat(content=c, max_tokens=20, seed=7)[2]) for c in contents]
        assert after == clean


def test_a_stream_that_turns_bad_ends_with_an_error_and_others_go_on():
    number = 48
    contents = [f"{PREFIX} {i}" for i in range(number)]

    def run(server):
        with concurrent.futures.ThreadPoolExecutor(number) as pool:
            streams = [server.stream(content=c, max_tokens=60, seed=3) for c in contents]
            return [answer.result() for answer in [pool.submit(read_all, s) for s in streams]]

    def text(events):
        chunks = [json.loads(event) for event in events if not event.startswith("[")]
        deltas = [c["choices"][0]["delta"] for c in chunks if c.get("choices")]
        return "".join(delta.get("content", "") for delta in deltas)

    with SimServer({}) as server:
        clean = [text(events) for events in run(server)]
    with SimServer({}, not_finite=0.005, seed=5) as server:
        answers = run(server)
        failed = [events for events in answers if is_error(events[-1])]
        assert 0 < len(failed) < number
        for events, whole in zip(answers, clean):
            if is_error(events[-1]):
                assert whole.startswith(text(events)) and "[DONE]" not in events
            else:
                assert text(events) == whole and events[-1] == "[DONE]"
        assert server.metrics()["hadal_numerical_errors_total"] == len(failed)
        server.wait_until_idle(2 + SLACK)
