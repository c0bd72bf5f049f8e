#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "engine/api/finish_reason.h"
#include "engine/api/sampled_token.h"
#include "scheduler/request.h"

namespace hadal {

/// What comes of a request, from the scheduler's thread to one reader. Holds everything that the
/// request can produce, reserved when it is made: writing never waits and never allocates.
class TokenStream {
 public:
  /// Sizes that bound what may be written: those of the request.
  explicit TokenStream(const Request& request);
  TokenStream(const TokenStream&) = delete;
  TokenStream& operator=(const TokenStream&) = delete;

  // The scheduler's thread.
  void Admit(const CacheReport& report);
  void Write(int32_t sequence, const SampledToken& token);
  void EndSequence(int32_t sequence, FinishReason reason);
  void End();

  /// One sequence's next token, or its end.
  struct Item {
    int32_t sequence = 0;
    TokenId token = 0;                           // void when `end` is set
    float logprob = 0;                           // when asked for
    std::span<const TokenLogprob> top_logprobs;  // when asked for; valid while the stream lives
    std::optional<FinishReason> end;
  };

  /// The reader. Appends to `items` all that was written and not read yet, waiting up to `timeout`
  /// for something. Returns false once everything was read and the request has ended.
  bool Read(absl::Duration timeout, std::vector<Item>& items);

  /// Calls `listener` on the scheduler's thread whenever there is something to read after all was
  /// read, and at once if there is something now: for readers that must not wait. It must not wait
  /// either. Set at most once.
  void SetListener(std::function<void()> listener);

  /// What the prefix cache knew; nothing before admission.
  [[nodiscard]] std::optional<CacheReport> cache_report() const;
};

}  // namespace hadal
