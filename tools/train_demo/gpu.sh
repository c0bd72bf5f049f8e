#!/usr/bin/env bash
# The demo model's recipe in short commands on a machine with one GPU: keep, stage, begin, more,
# finish. See README.md beside this file. Run from the repository's root.
set -euo pipefail

readonly CARRY=build/demo/carry
readonly RUN=build/demo/run
readonly GGUF=$RUN/teacher.gguf
readonly STARTED=$SECONDS
export PYTHONPATH=tools PYTHONUNBUFFERED=1
export TORCHINDUCTOR_CACHE_DIR=$PWD/$RUN/inductor

# Seconds left of a command of $1 seconds.
left() { echo $(($1 - (SECONDS - STARTED))); }

# Both ways of computing experts, a minute or two each, from nothing and on tasks alone.
measure() {
  [ -e "$CARRY/tokenizer" ] ||
    python3 -m train_demo.tokenizer --in "$CARRY" --out "$CARRY/tokenizer"
  python3 -m train_demo.packing --in "$CARRY" --out "$RUN/trial-tokens" --task-tokens 4000000
  for experts in dense grouped; do
    python3 -m train_demo.train --tokens-from "$RUN/trial-tokens" --state "$RUN/trial-$experts" \
      --experts "$experts" --seconds 100 --total-seconds 1000 --log-every 20 ||
      echo "$experts experts failed"
    rm -f "$RUN/trial-$experts/state.pt"
  done
}

# The faster way, as measured; dense where nothing was.
experts() {
  python3 - "$RUN" <<'PYTHON'
import json, pathlib, sys
best = {"dense": 0}
for log in pathlib.Path(sys.argv[1]).glob("trial-*/log.jsonl"):
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    speeds = [line["tokens_per_second"] for line in lines]
    best[log.parent.name.removeprefix("trial-")] = max(speeds, default=0)
print(max(best, key=best.get))
PYTHON
}

train() {
  python3 -m train_demo.train --tokens-from "$RUN/tokens" --state "$RUN" \
    --experts "$(experts)" "$@"
}

# The teacher comes in parts, one with each command: what travels with one is limited.
keep() {
  mkdir -p "$RUN"
  mv build/demo/teacher.part.* "$RUN/"
}

stage() {
  keep
  measure
}

begin() {
  keep
  cat "$RUN"/teacher.part.* > "$GGUF"
  mkdir -p "$RUN/text"
  cp "$CARRY"/*.xz "$RUN/text/"
  python3 -m train_demo.teacher.generate --gguf "$GGUF" --words "$RUN/text" --out "$RUN/text" \
    --seconds 210
  python3 -m train_demo.tokenizer --in "$RUN/text" --out "$RUN/text/tokenizer"
  python3 -m train_demo.packing --in "$RUN/text" --out "$RUN/tokens" --task-tokens 150000000
  cp "$RUN"/text/teacher.heldout.jsonl.xz "$RUN"/text/tokenizer/* "$OUT/"
  split -b 15000000 -d "$RUN/text/teacher.jsonl.xz" "$OUT/teacher.jsonl.xz."
  train --seconds "$(left 575)" --total-seconds 3000
}

more() { train --seconds "$1" --total-seconds 3000; }

finish() {
  train --seconds "$(left 480)" --finish
  python3 -m train_demo.export --state "$RUN/state.pt" --tokenizer "$RUN/text/tokenizer" \
    --out "$RUN/model"
  cp "$RUN"/model/*.json "$RUN/log.jsonl" "$OUT/"
  split -n 3 -d "$RUN/model/model.safetensors" "$OUT/model.part."
  timeout "$(left 590)" python3 -m train_demo.evaluate --model "$RUN/model" --corpus "$RUN/text" \
    --documents 40 --task-examples 200 --max-tokens 120
}

"$@"
