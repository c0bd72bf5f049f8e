#!/usr/bin/env bash
# Everything that needs a GPU, in one command: builds (or takes a built tree), then
#
#   parity   every op against its reference, on random numbers
#   golden   whole models against what the transformers package computes
#   bench    the GPU's limits, and every op beside them
#   serve    the server under the load of `hadal bench`
#
# and writes RESULTS: a heading and what each stage printed, stage by stage, so that a run that is
# cut short leaves what it had. A stage ends after ten minutes at most.
#
#   tools/gpu_check.sh [--build DIR] [--results FILE] [STAGE...]
#
# --build takes a tree that was built elsewhere: its programs need libc and the driver alone, the
# goldens also this folder, to which a link is made where they were built.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly ALL_STAGES=(parity golden bench serve)
readonly STAGE_SECONDS=600
build=""
results=build/gpu_check.md
stages=()
while (($# > 0)); do
  case $1 in
    --build | --results)
      if (($# < 2)); then
        echo "gpu_check: $1 wants a value" >&2
        exit 2
      fi
      if [[ $1 == --build ]]; then build=$2; else results=$2; fi
      shift 2
      ;;
    parity | golden | bench | serve)
      stages+=("$1")
      shift
      ;;
    *)
      sed -n '2,17s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
      exit 2
      ;;
  esac
done
if ((${#stages[@]} == 0)); then
  stages=("${ALL_STAGES[@]}")
fi
if [[ -z $build ]]; then
  build=build/cuda
  ./dev build cuda || exit 1
fi

# Without a GPU parity would have no tests, and pass.
"$build/hadal" inspect --kernels cuda >/dev/null || exit 1

made_in=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$build/CMakeCache.txt")
if [[ -n $made_in && ! -e $made_in ]]; then
  mkdir -p "$(dirname "$made_in")" && ln -s "$PWD" "$made_in"
fi

parity() {
  "$build/tests/kernels/kernels_parity_test" --gtest_filter="*cuda_*:-*emulated*" --gtest_brief=1
}

golden() {
  "$build/tests/engine/golden_test" --gtest_filter="-*Emulated*" --gtest_brief=1
}

bench() {
  "$build/tests/bench/cuda_bench"
}

serve() {
  local sequences
  for sequences in 1 8 32; do
    echo "$sequences at a time:"
    "$build/hadal" bench --kernels cuda --concurrency "$sequences" --prompts $((sequences * 4)) \
      --prompt-tokens 128 --output-tokens 128 || return 1
  done
}

mkdir -p "$(dirname "$results")"
{
  echo "# GPU check"
  echo
  date -u '+%d %B %Y'
  git describe --always --dirty 2>/dev/null || true
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm --format=csv,noheader
} >"$results"
failed=()
export build
export -f parity golden bench serve
for stage in "${stages[@]}"; do
  printf '\n## %s\n\n' "$stage" >>"$results"
  echo "gpu_check: $stage" >&2
  timeout "$STAGE_SECONDS" bash -c "$stage" >>"$results" 2>&1
  code=$?
  printf '\n%s: exit code %d after %d s of the whole run\n' "$stage" "$code" "$SECONDS" >>"$results"
  if ((code != 0)); then
    failed+=("$stage")
  fi
done
cat "$results"
if ((${#failed[@]} > 0)); then
  echo "gpu_check: failed: ${failed[*]}" >&2
  exit 1
fi
