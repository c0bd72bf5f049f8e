"""`hadal serve` from its start to its end: what it prints, what its probes say, how it exits."""

import json
import signal
import subprocess
import urllib.request

import pytest
from serving import PATIENCE, post, request, start_program, start_sim, wait_for, wait_until

CHAT = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "server"


def without_comments(text: str) -> list[str]:
    return [line.split("  # ")[0] for line in text.splitlines()]


def test_it_prints_its_configuration_and_takes_it_back(folder, tiny, hadal, tmp_path):
    with start_program(folder, {"http": {"idle_timeout": 33}, "scheduling": {"max_n": 3}},
                       "--model", tiny, "--served-model-name", "small", "--max-logprobs", "7"
                       ) as server:
        assert server.call("/v1/chat/completions", {**CHAT, "model": "small"})["model"] == "small"
        assert server.stop() == 0
        printed = server.process.stdout.read().decode()
    for line in ("idle_timeout: 33", "max_n: 3", "max_logprobs: 7", "body_timeout: 30"):
        assert f"  {line}" in printed, printed
    again = tmp_path / "again.yaml"
    again.write_text(printed)
    process = subprocess.Popen([hadal.program, "serve", "--config", again], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    while b"serving small" not in process.stderr.readline():
        assert process.poll() is None
    process.terminate()
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert without_comments(out.decode()) == without_comments(printed)


def test_probes_tell_of_its_state(folder, tiny):
    with start_program(folder, {"model": {"path": str(tiny)}}) as server:
        for path in ("/livez", "/readyz", "/startupz"):
            for port in (server.port, server.ops_port):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as reply:
                    assert reply.status == 200
        assert server.stop() == 0
        messages = [line["message"] for line in server.log()]
        assert messages[-2:] == ["draining", "drained"]


def test_the_model_is_called_like_its_folder(folder, tiny):
    with start_program(folder, {"model": {"path": f"{tiny}/"}}) as server:
        models = server.send(request("GET", "/v1/models")).json()["data"]
        assert [model["id"] for model in models] == [tiny.name]
        assert server.metrics().of("hadal_model_info", model=tiny.name) == 1
        assert server.metrics().of("hadal_kv_blocks", state="free") > 0


def test_without_a_model_it_serves_the_demo_model(folder):
    with start_program(folder, {}) as server:
        reply = server.call("/v1/chat/completions", {
            "messages": [{"role": "user", "content": "Hello!"}], "temperature": 0})
        assert reply["model"] == "demo"
        assert reply["choices"][0]["message"]["content"].split()[0].strip("!,.") in ("Hello", "Hi")
        assert reply["choices"][0]["finish_reason"] == "stop"
        assert server.stop() == 0
        assert any("demo model" in line["message"] for line in server.log())


def test_a_checkpoint_that_is_not_there_exits_with_78(hadal, tmp_path):
    error = hadal.run("serve", "--model", tmp_path / "nowhere", "--port", 0, "--ops-port", 0)
    assert error.returncode == 78 and b"nowhere" in error.stderr


def test_a_port_that_is_taken_is_said(folder, tiny, hadal):
    with start_program(folder, {"model": {"path": str(tiny)}}) as server:
        result = hadal.run("serve", "--model", tiny, "--port", server.port, "--ops-port", 0)
        assert result.returncode != 0 and str(server.port).encode() in result.stderr
        assert server.stop() == 0


# ---- its end, around a simulated engine


def open_stream(server, max_tokens: int):
    connection = server.connect()
    connection.send(post("/v1/chat/completions",
                         {**CHAT, "max_tokens": max_tokens, "stream": True}))
    wait_for(lambda: server.metrics().of("hadal_requests_running"), 1)
    return connection


def test_what_runs_is_finished_and_what_comes_is_refused(folder):
    with start_sim(folder, {}, fixed_us=4000) as server:
        stream = open_stream(server, 1000)
        server.process.send_signal(signal.SIGTERM)
        refused = wait_until(lambda: (lambda reply: reply.status == 503 and reply)(
            server.send(post("/v1/chat/completions", CHAT))), "503")
        assert refused.json()["error"]["code"] == "unavailable"
        assert refused.header("connection") == "close" and refused.header("retry-after")
        assert server.send(request("GET", "/livez")).status == 200
        assert server.send(request("GET", "/readyz")).status == 503
        assert stream.read().body.endswith(b"data: [DONE]\n\n")
        stream.close()
        assert server.process.wait(PATIENCE) == 0


def test_a_second_signal_ends_what_runs(folder):
    with start_sim(folder, {}, fixed_us=5000) as server:
        stream = open_stream(server, 8000)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: any(line["message"] == "draining" for line in server.log()), "draining")
        server.process.send_signal(signal.SIGTERM)
        events = stream.read().body.decode().strip().split("\n\n")
        error = json.loads(events[-1].removeprefix("data: "))["error"]
        assert error["code"] == "unavailable" and error["type"] == "server_error"
        stream.close()
        assert server.process.wait(PATIENCE) == 1


def test_time_to_finish_is_bounded(folder):
    with start_sim(folder, {"operations": {"shutdown_timeout": 0.1}}, fixed_us=5000) as server:
        stream = open_stream(server, 8000)
        server.process.send_signal(signal.SIGTERM)
        assert b'"code":"unavailable"' in stream.read().body
        stream.close()
        assert server.process.wait(PATIENCE) == 0
