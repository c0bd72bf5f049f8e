"""tools/gpu_check.sh where there is no GPU: a check of nothing is no success."""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ["HADAL_PROGRAM"])


def test_without_a_gpu_it_fails_before_any_stage(tmp_path):
    probe = subprocess.run(
        [PROGRAM, "inspect", "--kernels", "cuda"], capture_output=True, text=True, check=False)
    if probe.returncode == 0:
        pytest.skip("there is a GPU")
    results = tmp_path / "results.md"
    run = subprocess.run(
        [ROOT / "tools/gpu_check.sh", "--build", PROGRAM.parent, "--results", results, "parity"],
        capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr == probe.stderr
    assert 'kernels "cuda"' in run.stderr
    assert not results.exists()
