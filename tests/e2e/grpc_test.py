"""gRPC as Python's grpcio speaks it: against the whole program, with keys.

HADAL_PROGRAM is the program under test. Generated code is made from proto/ in a temporary folder.
"""

import importlib
import pathlib
import socket
import subprocess
import sys

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

ROOT = pathlib.Path(__file__).resolve().parents[2]
KEY = "key-of-the-grpc-tests"
START_TIMEOUT_S = 120
CALL_TIMEOUT_S = 60


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="session")
def proto(tmp_path_factory):
    """The modules that protoc makes: messages and services."""
    out = tmp_path_factory.mktemp("proto")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"--proto_path={ROOT / 'proto'}",
            f"--python_out={out}",
            f"--grpc_python_out={out}",
            "hadal/v1/inference.proto",
        ],
        check=True,
    )
    sys.path.insert(0, str(out))
    yield (
        importlib.import_module("hadal.v1.inference_pb2"),
        importlib.import_module("hadal.v1.inference_pb2_grpc"),
    )
    sys.path.remove(str(out))


@pytest.fixture(scope="session")
def address(hadal, tiny, tmp_path_factory):
    """Where a server listens, whose health says SERVING."""
    folder = tmp_path_factory.mktemp("server")
    keys = folder / "keys"
    keys.write_text(f"tester {KEY}\n")
    port = free_port()
    command = [
        hadal.program,
        "serve",
        *("--model", tiny),
        *("--port", "0"),
        *("--ops-port", "0"),
        *("--grpc-port", str(port)),
        *("--api-keys-file", keys),
    ]
    with open(folder / "log", "wb") as log:
        with subprocess.Popen(command, stdout=log, stderr=log) as server:
            try:
                with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                    stub = health_pb2_grpc.HealthStub(channel)
                    request = health_pb2.HealthCheckRequest(service="hadal.v1.Inference")
                    response = stub.Check(request, timeout=START_TIMEOUT_S, wait_for_ready=True)
                    assert response.status == health_pb2.HealthCheckResponse.SERVING
                yield f"127.0.0.1:{port}"
            finally:
                server.terminate()
                assert server.wait(timeout=60) == 0, (folder / "log").read_text()


class AddKey(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor,
             grpc.StreamStreamClientInterceptor):
    """Puts the key into the metadata of every call."""

    def _intercept(self, continuation, details, request):
        metadata = [*(details.metadata or []), ("authorization", f"Bearer {KEY}")]
        return continuation(details._replace(metadata=metadata), request)

    intercept_unary_unary = _intercept
    intercept_unary_stream = _intercept
    intercept_stream_stream = _intercept


@pytest.fixture
def channel(address):
    with grpc.insecure_channel(address) as plain:
        yield grpc.intercept_channel(plain, AddKey())


def text_of(updates, kind) -> str:
    return "".join(
        getattr(part, kind)
        for update in updates
        for delta in update.deltas
        for part in delta.parts
        if part.WhichOneof("part") == kind
    )


def test_generate(channel, proto):
    messages, services = proto
    stub = services.InferenceStub(channel)
    request = messages.GenerateRequest(
        text="Once upon a time",
        params=messages.GenerationParams(max_tokens=8, seed=1, temperature=0),
    )
    first = list(stub.Generate(request, timeout=CALL_TIMEOUT_S))
    second = list(stub.Generate(request, timeout=CALL_TIMEOUT_S))
    assert text_of(first, "content") == text_of(second, "content") != ""
    assert first[-1].usage.completion_tokens == 8
    assert first[-1].deltas[-1].finish_reason == messages.FINISH_REASON_LENGTH


def test_chat(channel, proto):
    messages, services = proto
    request = messages.ChatRequest(
        conversation=messages.Conversation(
            messages=[messages.Message(role=messages.ROLE_USER, content="Hello")]
        ),
        params=messages.GenerationParams(max_tokens=8, n=2),
    )
    updates = list(services.InferenceStub(channel).Chat(request, timeout=CALL_TIMEOUT_S))
    assert {delta.choice for update in updates for delta in update.deltas} == {0, 1}
    assert updates[-1].usage.prompt_tokens > 0


def test_tokenize_and_back(channel, proto):
    messages, services = proto
    stub = services.InferenceStub(channel)
    text = "Grüße, 世界 🌍"
    tokens = stub.Tokenize(
        messages.TokenizeRequest(text=text, add_special_tokens=False), timeout=CALL_TIMEOUT_S
    ).tokens
    back = stub.Detokenize(messages.DetokenizeRequest(tokens=tokens), timeout=CALL_TIMEOUT_S)
    assert back.text == text


def test_cancel_by_id(channel, proto):
    messages, services = proto
    stub = services.InferenceStub(channel)
    # More tokens than a test would wait for.
    request = messages.GenerateRequest(
        request_id="to-cancel",
        text="x",
        params=messages.GenerationParams(ignore_eos=True),
    )
    call = stub.Generate(request, timeout=CALL_TIMEOUT_S)
    next(call)
    assert stub.Cancel(
        messages.CancelRequest(request_id="to-cancel"), timeout=CALL_TIMEOUT_S
    ).found
    with pytest.raises(grpc.RpcError) as error:
        list(call)
    assert error.value.code() == grpc.StatusCode.CANCELLED
    load = stub.GetLoad(messages.GetLoadRequest(), timeout=CALL_TIMEOUT_S)
    assert load.serving and load.limits.requests > 0


def test_without_a_key_only_health_answers(address, proto):
    messages, services = proto
    with grpc.insecure_channel(address) as plain:
        stub = services.InferenceStub(plain)
        with pytest.raises(grpc.RpcError) as error:
            stub.GetLoad(messages.GetLoadRequest(), timeout=CALL_TIMEOUT_S)
        assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.RpcError) as error:
            list(stub.Chat(messages.ChatRequest(), timeout=CALL_TIMEOUT_S))
        assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED
        watch = health_pb2_grpc.HealthStub(plain).Watch(
            health_pb2.HealthCheckRequest(), timeout=CALL_TIMEOUT_S
        )
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()


def test_errors_name_the_field(channel, proto):
    messages, services = proto
    request = messages.GenerateRequest(
        text="x", params=messages.GenerationParams(temperature=3)
    )
    with pytest.raises(grpc.RpcError) as error:
        list(services.InferenceStub(channel).Generate(request, timeout=CALL_TIMEOUT_S))
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert error.value.details().startswith("params.temperature: ")


def test_reflection_tells_the_services(channel):
    services = ProtoReflectionDescriptorDatabase(channel).get_services()
    assert "hadal.v1.Inference" in services
