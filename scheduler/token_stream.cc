#include "scheduler/token_stream.h"

#include <utility>

#include "base/check.h"
#include "base/checked_cast.h"

namespace hadal {
namespace {

constexpr int64_t kEnded = -1;

}  // namespace

TokenStream::TokenStream(const Request& request, Listener listener)
    : num_sequences_(request.num_sequences),
      max_new_tokens_(request.max_new_tokens),
      num_logprobs_(request.sampling.num_logprobs),
      listener_(std::move(listener)) {
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
  {
    const absl::MutexLock lock(&mutex_);
    CHECK(!cache_report_.has_value());
    CHECK(records_.empty());
    CHECK(!ended_);
    cache_report_ = report;
  }
  if (listener_ != nullptr) {  // whatever was announced: there is nothing to read yet
    listener_(*this);
  }
}

void TokenStream::Write(int32_t sequence, const SampledToken& token, TokenOrigin origin) {
  bool is_news = false;
  {
    const absl::MutexLock lock(&mutex_);
    CHECK(sequence >= 0 && sequence < num_sequences_);
    CHECK_NE(num_tokens_[sequence], kEnded);
    CHECK_LT(num_tokens_[sequence], max_new_tokens_);
    ++num_tokens_[sequence];
    records_.push_back({.token = token.token,
                        .sequence = sequence,
                        .end = std::nullopt,
                        .num_top_logprobs = CheckedCast<int32_t>(token.top_logprobs.size()),
                        .origin = origin});
    if (num_logprobs_ >= 0) {
      CHECK_LE(std::ssize(token.top_logprobs), num_logprobs_);
      logprobs_.push_back(token.logprob);
      top_logprobs_.insert(
          top_logprobs_.end(), token.top_logprobs.begin(), token.top_logprobs.end());
    }
    is_news = AnnounceLocked();
  }
  if (is_news) {
    listener_(*this);
  }
}

void TokenStream::EndSequence(int32_t sequence, FinishReason reason) {
  bool is_news = false;
  {
    const absl::MutexLock lock(&mutex_);
    CHECK(sequence >= 0 && sequence < num_sequences_);
    CHECK_NE(num_tokens_[sequence], kEnded);
    num_tokens_[sequence] = kEnded;
    ++num_ended_;
    records_.push_back({.token = 0, .sequence = sequence, .end = reason});
    is_news = AnnounceLocked();
  }
  if (is_news) {
    listener_(*this);
  }
}

void TokenStream::End() {
  bool is_news = false;
  {
    const absl::MutexLock lock(&mutex_);
    CHECK(!ended_);
    CHECK_EQ(num_ended_, num_sequences_);
    ended_ = true;
    is_news = AnnounceLocked();
  }
  if (is_news) {
    listener_(*this);
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

std::optional<CacheReport> TokenStream::cache_report() const {
  const absl::MutexLock lock(&mutex_);
  return cache_report_;
}

bool TokenStream::AnnounceLocked() {
  return !std::exchange(announced_, true) && listener_ != nullptr;
}

void TokenStream::AppendItemLocked(const Record& record, std::vector<Item>& items) {
  Item item = {.sequence = record.sequence,
               .token = record.token,
               .origin = record.origin,
               .logprob = 0,
               .top_logprobs = {},
               .end = record.end};
  if (num_logprobs_ >= 0 && !record.end.has_value()) {
    const auto num_top_logprobs = static_cast<size_t>(record.num_top_logprobs);
    item.logprob = logprobs_[num_read_logprobs_++];
    item.top_logprobs = std::span(top_logprobs_).subspan(num_read_top_logprobs_, num_top_logprobs);
    num_read_top_logprobs_ += num_top_logprobs;
  }
  items.push_back(item);
}

}  // namespace hadal
