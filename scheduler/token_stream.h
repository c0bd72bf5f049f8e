#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "base/token_id.h"
#include "engine/api/finish_reason.h"
#include "engine/api/sampled_token.h"
#include "scheduler/request.h"

namespace hadal {

/// What comes of a request, from the scheduler's thread to one reader. Holds everything that the
/// request can produce, reserved when it is made: writing never waits and never allocates. Memory
/// that nothing is written to costs address space only.
///
///   bool more = true;
///   while (more) {
///     items.clear();
///     more = stream->Read(timeout, items);
///     ...                                    // also when there are no more: the last items
///   }
///
/// Invariants, CHECKed by the writing functions:
///   1. A sequence has at most max_new_tokens tokens, then exactly one end, then nothing.
///   2. The stream ends once, after all its sequences, and nothing follows.
class TokenStream {
 public:
  /// Called on the scheduler's thread whenever there is something to read after all was read, the
  /// end included, and on admission: for readers that must not wait. One Read without waiting then
  /// takes all. Must not wait itself, nor destroy the stream. A call may still be under way when
  /// another thread's Read has said that the stream ended: what a listener captures lives as long
  /// as the stream does.
  using Listener = std::function<void(TokenStream&)>;

  /// Sizes that bound what may be written: those of the request. The listener may be null.
  /// REQUIRES: ValidateRequest says OK.
  TokenStream(const Request& request, Listener listener);
  TokenStream(const TokenStream&) = delete;
  TokenStream& operator=(const TokenStream&) = delete;

  // The scheduler's thread.

  /// What the prefix cache knew. At most once, before the first token.
  void Admit(const CacheReport& report);

  /// A sequence's next token. REQUIRES: its log-probabilities are there if they were asked for.
  void Write(int32_t sequence, const SampledToken& token, TokenOrigin origin);
  void EndSequence(int32_t sequence, FinishReason reason);
  void End();

  /// One sequence's next token, or its end.
  struct Item {
    int32_t sequence = 0;
    TokenId token = 0;  // void when `end` is set
    TokenOrigin origin = TokenOrigin::kSampled;
    float logprob = 0;  // when asked for
    std::span<const TokenLogprob> top_logprobs =
        {};  // when asked for; valid while the stream lives
    std::optional<FinishReason> end = {};
  };

  // The reader, one thread at a time.

  /// Appends to `items` all that was written and not read yet, in order, waiting up to `timeout`
  /// for something. False once all has been read, now or before, and the request has ended.
  bool Read(absl::Duration timeout, std::vector<Item>& items);

  /// What the prefix cache knew; nothing before admission. Any thread.
  [[nodiscard]] std::optional<CacheReport> cache_report() const;

 private:
  struct Record {
    TokenId token;
    int32_t sequence;
    std::optional<FinishReason> end;
    int32_t num_top_logprobs = 0;
    TokenOrigin origin = TokenOrigin::kSampled;
  };

  [[nodiscard]] bool HasNewsLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return ended_ || num_read_ < records_.size();
  }
  // Something was written. Whether the listener is to be called, without the lock.
  bool AnnounceLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AppendItemLocked(const Record& record, std::vector<Item>& items)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int32_t num_sequences_;
  const int64_t max_new_tokens_;
  const int32_t num_logprobs_;  // -1: none are kept
  const Listener listener_;

  mutable absl::Mutex mutex_;
  std::vector<Record> records_ ABSL_GUARDED_BY(mutex_);             // tokens and ends
  std::vector<float> logprobs_ ABSL_GUARDED_BY(mutex_);             // [tokens]
  std::vector<TokenLogprob> top_logprobs_ ABSL_GUARDED_BY(mutex_);  // of all tokens
  std::vector<int64_t> num_tokens_ ABSL_GUARDED_BY(mutex_);         // [num_sequences]; -1: ended
  int32_t num_ended_ ABSL_GUARDED_BY(mutex_) = 0;                   // sequences
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<CacheReport> cache_report_ ABSL_GUARDED_BY(mutex_);
  size_t num_read_ ABSL_GUARDED_BY(mutex_) = 0;  // records
  size_t num_read_logprobs_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t num_read_top_logprobs_ ABSL_GUARDED_BY(mutex_) = 0;
  bool announced_ ABSL_GUARDED_BY(mutex_) = false;  // since all was read
};

}  // namespace hadal
