"""The option that names the hadal program, for the tests that compare with it."""

from __future__ import annotations

from pathlib import Path

import pytest

_DEFAULT = Path(__file__).parents[3] / "build/release/hadal"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--hadal", type=Path, default=_DEFAULT, help="the hadal program")


@pytest.fixture(scope="session")
def hadal(request: pytest.FixtureRequest) -> Path:
    program = request.config.getoption("--hadal")
    if not program.exists():
        pytest.skip(f"{program} is not built; name another with --hadal")
    return program
