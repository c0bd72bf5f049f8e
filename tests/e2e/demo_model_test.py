"""The program alone: one file that answers out of the box."""

import json
import os
import re
import shutil
import subprocess

import pytest

HELLO = {"messages": [{"role": "user", "content": "Hello!"}]}


@pytest.fixture
def alone(hadal, tmp_path):
    """The program in a read-only folder of its own, with next to nothing in its environment."""
    folder = tmp_path / "alone"
    folder.mkdir()
    shutil.copy(hadal.program, folder / "hadal")
    folder.chmod(0o555)

    def run(*arguments):
        return subprocess.run([folder / "hadal", *arguments], cwd=folder, env={"TMPDIR": "/none"},
                              capture_output=True, text=True, timeout=120, check=True)

    yield run
    folder.chmod(0o755)


def test_it_answers_in_english_words(alone, tmp_path):
    chat = tmp_path / "chat.json"
    chat.write_text(json.dumps(HELLO))
    result = alone("generate", "--chat", chat, "--temperature", "0", "--max-tokens", "40")
    assert "demo model" in result.stderr
    words = re.findall(r"[A-Za-z]+", result.stdout)
    assert words[0] in ("Hello", "Hi") and len(words) >= 4, result.stdout


def test_other_commands_take_the_demo_model_too(alone):
    assert "1 MTP" in alone("inspect").stdout
    ids = json.loads(alone("tokenize", "--text", "Hello there", "--json").stdout)["ids"]
    text = alone("detokenize", "--ids", ",".join(map(str, ids))).stdout
    assert text.strip().endswith("Hello there")


def test_a_built_in_model_that_is_not_there(hadal):
    assert "builtin:other" in hadal.error(78, "inspect", "--model", "builtin:other")


@pytest.mark.skipif(os.environ["HADAL_SANITIZED"] == "1", reason="takes shared libraries")
def test_it_needs_nothing_but_the_c_library(hadal):
    result = subprocess.run(["ldd", hadal.program], capture_output=True, text=True, check=True)
    libraries = {line.split()[0].split("/")[-1] for line in result.stdout.splitlines()}
    assert libraries <= {"linux-vdso.so.1", "libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2"}
