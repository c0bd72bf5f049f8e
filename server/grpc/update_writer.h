#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "server/generation/generation_event.h"

namespace hadal::v1 {
class AnswerUpdate;
class ChoiceDelta;
}  // namespace hadal::v1

namespace hadal {

/// Puts what a generation gives out into messages. One stream; one thread.
class UpdateWriter {
 public:
  /// For `n` choices. `call_stem` is what the ids of their tool calls have in common.
  UpdateWriter(int32_t n, std::string call_stem)
      : call_stem_(std::move(call_stem)), num_calls_(static_cast<size_t>(n)) {}

  /// Appends `delta`, whose text it takes.
  void Append(ChoiceDelta delta, v1::AnswerUpdate& update);

  static void SetUsage(const Usage& usage, v1::AnswerUpdate& update);

 private:
  void AppendPart(AnswerDelta part, int32_t choice, v1::ChoiceDelta& message);

  const std::string call_stem_;
  std::vector<int64_t> num_calls_;  // [n] complete tool calls
};

}  // namespace hadal
