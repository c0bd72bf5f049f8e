"""What the end-to-end tests share: the program, and checkpoints to run it on.

The programs under test come from the environment: HADAL_PROGRAM and HADAL_TOKENIZER_DRIVER, which
CMake sets.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest

pytest.register_assert_rewrite("serving", "wall")

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
TOKENIZER = ROOT / "tests" / "data" / "deepseek-v3-tokenizer"


class Hadal:
    """Runs the program's commands."""

    def __init__(self, program: str):
        self.program = program

    def run(self, *arguments, timeout: float = 120) -> subprocess.CompletedProcess:
        command = [self.program, *map(os.fspath, map(str, arguments))]
        return subprocess.run(command, capture_output=True, timeout=timeout, check=False)

    def text(self, *arguments) -> str:
        """Standard output of a command that must succeed."""
        result = self.run(*arguments)
        assert result.returncode == 0, result.stderr.decode(errors="replace")
        return result.stdout.decode()

    def json(self, *arguments) -> dict:
        return json.loads(self.text(*arguments, "--json"))

    def error(self, exit_code: int, *arguments) -> str:
        """Standard error of a command that must fail with this code and print nothing else."""
        result = self.run(*arguments)
        error = result.stderr.decode(errors="replace")
        assert result.returncode == exit_code, (result.returncode, error)
        assert result.stdout == b""
        assert error.startswith("hadal: error: ") or exit_code == 2, error
        return error


@pytest.fixture(scope="session")
def hadal() -> Hadal:
    return Hadal(os.environ["HADAL_PROGRAM"])


def make_checkpoint(out: pathlib.Path, *arguments) -> pathlib.Path:
    tool = ROOT / "tools" / "make_checkpoint.py"
    command = [sys.executable, tool, "--out", out, *arguments]
    subprocess.run(command, check=True, capture_output=True)
    return out


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> pathlib.Path:
    """A random V3-like checkpoint with DeepSeek-V3's tokenizer."""
    out = tmp_path_factory.mktemp("checkpoints") / "tiny"
    return make_checkpoint(out, "--shape", "tiny-v3", "--tokenizer", TOKENIZER)
