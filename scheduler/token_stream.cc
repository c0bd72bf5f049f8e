#include "scheduler/token_stream.h"

#include <utility>

#include "base/check.h"

namespace hadal {
namespace {

constexpr int64_t kEnded = -1;

}  // namespace

TokenStream::TokenStream(const Request& request)
    : num_sequences_(request.num_sequences),
      max_new_tokens_(request.max_new_tokens),
      num_logprobs_(request.sampling.num_logprobs) {
  CHECK_GE(num_sequences_, 1);
  CHECK_GE(max_new_tokens_, 1);
  const absl::MutexLock lock(&mutex_);
  const int64_t max_tokens = num_sequences_ * max_new_tokens_;
  records_.reserve(max_tokens + num_sequences_);
  num_tokens_.assign(num_sequences_, 0);
  if (num_logprobs_ >= 0) {
    logprobs_.reserve(max_tokens);
    top_logprobs_.reserve(max_tokens * num_logprobs_);
  }
}

void TokenStream::Admit(const CacheReport& report) {
  const absl::MutexLock lock(&mutex_);
  CHECK(!cache_report_.has_value());
  CHECK(records_.empty());
  CHECK(!ended_);
  cache_report_ = report;
}

void TokenStream::Write(int32_t sequence, const SampledToken& token) {
  const std::function<void()>* listener = nullptr;
  {
    const absl::MutexLock lock(&mutex_);
    CHECK(sequence >= 0 && sequence < num_sequences_);
    CHECK_NE(num_tokens_[sequence], kEnded);
    CHECK_LT(num_tokens_[sequence], max_new_tokens_);
    ++num_tokens_[sequence];
    records_.push_back({token.token, sequence, std::nullopt});
    if (num_logprobs_ >= 0) {
      CHECK_EQ(std::ssize(token.top_logprobs), num_logprobs_);
      logprobs_.push_back(token.logprob);
      top_logprobs_.insert(
          top_logprobs_.end(), token.top_logprobs.begin(), token.top_logprobs.end());
    }
    listener = AnnounceLocked();
  }
  if (listener != nullptr) {
    (*listener)();
  }
}

void TokenStream::EndSequence(int32_t sequence, FinishReason reason) {
  const std::function<void()>* listener = nullptr;
  {
    const absl::MutexLock lock(&mutex_);
    CHECK(sequence >= 0 && sequence < num_sequences_);
    CHECK_NE(num_tokens_[sequence], kEnded);
    num_tokens_[sequence] = kEnded;
    ++num_ended_;
    records_.push_back({TokenId{0}, sequence, reason});
    listener = AnnounceLocked();
  }
  if (listener != nullptr) {
    (*listener)();
  }
}

void TokenStream::End() {
  const std::function<void()>* listener = nullptr;
  {
    const absl::MutexLock lock(&mutex_);
    CHECK(!ended_);
    CHECK_EQ(num_ended_, num_sequences_);
    ended_ = true;
    listener = AnnounceLocked();
  }
  if (listener != nullptr) {
    (*listener)();
  }
}

bool TokenStream::Read(absl::Duration timeout, std::vector<Item>& items) {
  const absl::MutexLock lock(&mutex_);
  if (timeout > absl::ZeroDuration()) {  // a wait of no time costs a system call all the same
    mutex_.AwaitWithTimeout(absl::Condition(this, &TokenStream::HasNewsLocked), timeout);
  }
  for (; num_read_ < records_.size(); ++num_read_) {
    AppendItemLocked(records_[num_read_], items);
  }
  announced_ = false;
  return !ended_;
}

void TokenStream::SetListener(std::function<void()> listener) {
  const std::function<void()>* to_call = nullptr;
  {
    const absl::MutexLock lock(&mutex_);
    CHECK(listener_ == nullptr);
    CHECK(listener != nullptr);
    listener_ = std::move(listener);
    if (HasNewsLocked()) {
      announced_ = true;
      to_call = &listener_;
    }
  }
  if (to_call != nullptr) {
    (*to_call)();
  }
}

std::optional<CacheReport> TokenStream::cache_report() const {
  const absl::MutexLock lock(&mutex_);
  return cache_report_;
}

// The listener never changes once it is set, so it may be called without the lock.
const std::function<void()>* TokenStream::AnnounceLocked() {
  if (announced_) {
    return nullptr;
  }
  announced_ = true;
  return listener_ == nullptr ? nullptr : &listener_;
}

void TokenStream::AppendItemLocked(const Record& record, std::vector<Item>& items) {
  Item item;
  item.sequence = record.sequence;
  item.token = record.token;
  item.end = record.end;
  if (!record.end.has_value()) {
    if (num_logprobs_ >= 0) {
      item.logprob = logprobs_[num_read_tokens_];
      item.top_logprobs = std::span<const TokenLogprob>(
          top_logprobs_.data() + num_read_tokens_ * num_logprobs_, num_logprobs_);
    }
    ++num_read_tokens_;
  }
  items.push_back(item);
}

}  // namespace hadal
