#pragma once

#include <cstdint>
#include <vector>

#include "engine/api/executor.h"
#include "scheduler/limits.h"
#include "scheduler/sequence.h"

namespace hadal {

/// What the next step is to do.
struct StepPlan {
  struct Part {
    Sequence* sequence;
    int64_t num_tokens;          // the next that miss, from num_computed_tokens on; at least 1
    int64_t num_drafts = 0;      // of sequence->drafts, behind those
    int64_t num_new_drafts = 0;  // to be guessed

    [[nodiscard]] bool is_sampled() const { return num_tokens == sequence->num_missing_tokens(); }
  };

  std::vector<Part> parts;
  std::vector<BlockCopy> copies;  // before the step
  int64_t num_tokens = 0;         // of all parts, drafts included
  int64_t num_drafts = 0;         // of these
  bool is_drafted = false;        // whether the MTP module runs

  [[nodiscard]] bool empty() const { return parts.empty(); }
};

/// A step's input with room for the largest that `limits` allow, so that none grows later.
StepInput ReserveStepInput(const Limits& limits);

/// Fills `input` from the plan, reusing its memory; `input` borrows tokens and parameters of the
/// plan's sequences. Samples come in the order of parts: one for each part that leaves no token
/// missing and one for each of its drafts, and where the request has not forked yet one for each of
/// its sequences.
void BuildStepInput(const StepPlan& plan, StepInput& input);

}  // namespace hadal
