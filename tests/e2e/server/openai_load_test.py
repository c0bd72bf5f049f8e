"""The official client where not all goes well: without a key, on a full server, out of time."""

import contextlib
import threading

import openai
import pytest
from openai_client import chat, client_of, complete, text_of
from serving import start_sim, wait_for, wait_until


def test_keys_are_asked_for(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("team sk-0123456789abcdef\n")
    with start_sim(tmp_path, {"security": {"api_keys_file": str(keys)}}) as server:
        assert text_of(chat(client_of(server, api_key="sk-0123456789abcdef")))
        with pytest.raises(openai.AuthenticationError) as error:
            client_of(server, api_key="sk-0123456789abcdeg").models.list()
        assert error.value.code == "invalid_api_key"


def test_a_full_server_says_when_to_try_again(tmp_path):
    config = {"scheduling": {"max_requests": 1, "max_running_sequences": 1}}
    with start_sim(tmp_path, config, fixed_us=2000) as server:
        patient, hasty = client_of(server, max_retries=5), client_of(server)
        for _ in range(20):  # so that it knows how fast it is
            chat(hasty, model="sim", max_tokens=1)
        stream = chat(hasty, stream=True, max_tokens=8000)
        next(stream)
        with pytest.raises(openai.RateLimitError) as error:
            chat(hasty, model="sim")
        assert error.value.code == "rate_limit_exceeded" and error.value.type == "rate_limit_error"
        headers = error.value.response.headers
        assert 1 <= int(headers["retry-after"]) <= 60
        assert int(headers["retry-after-ms"]) == 1000 * int(headers["retry-after"])
        assert "x-should-retry" not in headers
        answers = []
        waiting = threading.Thread(target=lambda: answers.append(chat(patient, model="sim")))
        waiting.start()
        wait_for(lambda: server.metrics().counts()["chat_completions", "429"], 2)
        stream.close()
        waiting.join()
        assert answers[0].usage.completion_tokens == 16


def test_time_runs_out_here_and_there(tmp_path):
    with start_sim(tmp_path, {}, fixed_us=50_000) as server:
        with pytest.raises(openai.APITimeoutError):
            chat(client_of(server, timeout=0.3), model="sim", max_tokens=1000)
        for options in ({"extra_body": {"timeout": 0.2}},
                        {"extra_headers": {"x-request-timeout": "0.2"}}):
            with pytest.raises(openai.InternalServerError) as error:
                chat(client_of(server), max_tokens=1000, **options)
            assert error.value.status_code == 504 and error.value.code == "timeout"
        with pytest.raises(openai.APIError) as error:
            for _ in chat(client_of(server), max_tokens=1000, stream=True,
                          extra_body={"timeout": 0.2}):
                pass
        assert error.value.code == "timeout"
        wait_until(server.is_idle, "idle")
        wait_for(lambda: server.metrics().of("hadal_requests_ended_total", reason="cancelled"), 1)
        assert server.metrics().of("hadal_requests_ended_total", reason="deadline_exceeded") == 3
        wait_for(lambda: server.metrics().counts()["chat_completions", "499"], 1)


@pytest.mark.parametrize("n", [1, 4])
def test_a_client_that_goes_frees_the_server(tmp_path, n):
    with start_sim(tmp_path, {}, fixed_us=5000) as server:
        with contextlib.closing(client_of(server)) as client:
            stream = chat(client, n=n, max_tokens=8000, stream=True)
            next(stream)
            assert server.metrics().of("hadal_streams_open") == 1
            assert server.metrics().of("hadal_requests_running") >= 1
            stream.close()
        wait_until(server.is_idle, "idle")
        metrics = server.metrics()
        assert metrics.of("hadal_requests_ended_total", reason="cancelled") == 1
        assert metrics.of("hadal_client_disconnects_total") == 1
        assert metrics.of("hadal_kv_blocks", state="used") == 0
        assert server.stop() == 0


def test_rows_that_are_not_finite_fail_their_request_alone(tmp_path):
    with start_sim(tmp_path, {}, poison_token=77) as server:
        with pytest.raises(openai.InternalServerError) as error:
            complete(client_of(server), prompt=[5, 77, 6])
        assert error.value.code == "internal_error"
        assert error.value.response.headers["x-should-retry"] == "false"
        assert complete(client_of(server), prompt=[5, 78, 6]).usage.completion_tokens == 16
