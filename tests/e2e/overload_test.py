"""What the server does when more is asked of it than it can do, and how much it carries.

Times are asserted loosely: the machine may be busy. HADAL_LONG_TESTS=1 asks for the loads and times
that the server promises; it also prints what was measured.
"""

import json

import pytest

from sim_server import LONG, SANITIZED, SimServer, Watch, wait_until

SECONDS = 60 if LONG else 4
WARMUP = 5 if LONG else 1
# 64 sequences of 64 tokens at 5 ms a step.
ENGINE = {"fixed_us": 5000, "per_token_us": 0}
TOKENS = 64
CAPACITY = 200  # requests a second
# Each place beyond the running ones adds 1 / CAPACITY seconds to what an accepted request waits.
LIMITS = {"max_running_sequences": 64, "max_requests": 96}


def report(name: str, figures: dict):
    if LONG:
        print(f"\n{name}: {json.dumps(figures)}")


@pytest.mark.skipif(SANITIZED, reason="a sanitized server cannot carry the engine's capacity")
def test_ten_times_the_load_costs_neither_goodput_nor_time():
    config = {"scheduling": LIMITS, "operations": {"log_requests": False}}
    with SimServer(config, **ENGINE) as server, Watch(lambda: server.probe("/livez")[0]) as live:

        def offer(times: float) -> dict:
            rate, seconds = times * CAPACITY, SECONDS + WARMUP
            load = server.load(
                rate=rate, seconds=seconds, warmup=WARMUP, max_tokens=TOKENS, spread=0.5
            )
            report(f"{times} times the capacity", load)
            assert load["broken"] == load["error_events"] == 0
            return load

        calm, full = offer(0.25), offer(1)
        rss = server.rss_bytes()
        flood = offer(10)
        growth = server.rss_bytes() - rss
        after = offer(0.25)
        # What a client of a busy machine can see of the engine's capacity is what it saw at once.
        assert flood["goodput"] >= 0.9 * min(full["goodput"], CAPACITY) * (1 if LONG else 0.7)
        assert flood["ttft_ms"]["p99"] <= 1.5 * full["ttft_ms"]["p99"] * (1 if LONG else 2)
        # Nobody waits for longer than the places beyond the running ones take.
        places = LIMITS["max_requests"] - LIMITS["max_running_sequences"]
        assert flood["ttft_ms"]["p99"] <= 1.5 * 1000 * places / CAPACITY or not LONG
        assert flood["refusal_ms"]["p99"] < (20 if LONG else 500)
        assert growth < 100 * 2**20
        assert flood["statuses"].keys() == {"200", "429"}
        assert flood["retry_after"]["missing"] == 0
        assert 1 <= flood["retry_after"]["min"] <= flood["retry_after"]["max"] <= 60
        assert after["refused"] == 0
        assert after["ttft_ms"]["p99"] <= 2 * calm["ttft_ms"]["p99"] + (5 if LONG else 200)
    assert set(live.values) == {200}  # busy is not stuck


def test_a_saturated_server_is_idle_again_soon_after():
    with SimServer({"scheduling": LIMITS}, **ENGINE) as server:
        load = server.begin_load(rate=4 * CAPACITY, seconds=30, max_tokens=TOKENS)
        wait_until(lambda: server.metrics()["hadal_requests_waiting"] > 0, 30)
        load.process.kill()
        load.process.wait()
        server.wait_until_idle(5)
        assert server.chat(max_tokens=2)[0] == 200


def test_retry_after_is_what_the_queue_takes():
    """One sequence at a time and 20 s for each: the next place is free after so long."""
    config = {"scheduling": {"max_running_sequences": 1, "max_requests": 2}}
    with SimServer(config, fixed_us=100_000, per_token_us=0) as server:
        assert server.chat(max_tokens=30)[0] == 200  # what the rate is measured by
        streams = [server.stream(max_tokens=4000) for _ in range(2)]
        wait_until(lambda: server.metrics()["hadal_requests_waiting"] == 1, 20)
        status, headers, body = server.chat(max_tokens=2)
        assert (status, body["error"]["code"]) == (429, "rate_limit_exceeded")
        assert 3 <= int(headers["retry-after"]) <= 60
        assert headers["retry-after-ms"] == headers["retry-after"] + "000"
        for stream in streams:
            stream.reset()


def test_streams_are_cheap_to_keep_open():
    number = 10_000 if LONG else 300 if SANITIZED else 2000
    config = {
        "http": {"keep_alive_interval": 5},
        "scheduling": {"max_requests": number, "max_running_sequences": 64},
        "operations": {"log_requests": False},
    }
    with SimServer(config, fixed_us=100_000, per_token_us=0) as server:
        server.load(streams=64, max_tokens=2)
        server.wait_until_idle(5)
        rss = server.rss_bytes()
        load = server.begin_load(streams=number, max_tokens=8000, give_up=600)
        # Streams that wait say so in comments, and are as open as the others.
        wait_until(lambda: server.metrics()["hadal_streams_open"] == number, 120)
        wait_until(lambda: sockets_of(server) >= number, 10)
        grown = server.rss_bytes() - rss
        report("streams", {"number": number, "bytes_each": grown / number})
        assert grown / number <= 100_000 or SANITIZED
        assert server.rss_bytes() <= 2 * 2**30
        load.process.kill()
        load.process.wait()
        server.wait_until_idle(20)


def sockets_of(server) -> float:
    return server.metrics()["hadal_connections_open"]
