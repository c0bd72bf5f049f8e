#include "server/generation/generation.h"

#include <algorithm>
#include <atomic>
#include <random>
#include <utility>

#include "base/check.h"

namespace hadal {
namespace {

// Requests of the same salt find each other's prefixes; 64 bits of FNV-1a keep them apart well
// enough, since a tenant's salts are its own.
uint64_t HashSalt(std::string_view salt) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const char c : salt) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  }
  return salt.empty() ? 0 : hash;
}

uint64_t FreshSeed() {
  std::random_device device;
  return (uint64_t{device()} << 32U) | device();
}

absl::Status FailureOf(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
    case FinishReason::kLength:
      return absl::OkStatus();
    case FinishReason::kCancelled:
      return Cancelled("the request was cancelled");
    case FinishReason::kDeadlineExceeded:
      return DeadlineExceeded("the request's deadline passed");
    case FinishReason::kFailed:
      return Internal("the model gave no finite numbers for this request");
  }
  return Internal("unknown finish reason");
}

}  // namespace

// What the scheduler's thread and the reader share. Lives as long as the token stream.
struct Generation::Shared {
  void Listen(TokenStream& stream, const Clock& clock) {
    if (!admitted.load(std::memory_order_relaxed) && stream.cache_report().has_value()) {
      admitted_at = clock.Now();
      {
        const absl::MutexLock lock(&mutex);
        Load load = reservation.load();
        load.prompt_tokens = 0;
        if (load.requests > 0) {
          CHECK(reservation.Change(load).ok());  // less is never refused
        }
      }
      admitted.store(true, std::memory_order_release);
    }
    on_news();
  }

  void Release() {
    const absl::MutexLock lock(&mutex);
    reservation.Release();
  }

  absl::Mutex mutex;
  Admission::Reservation reservation ABSL_GUARDED_BY(mutex);
  std::function<void()> on_news;
  TimePoint admitted_at{};  // before `admitted` is set
  std::atomic<bool> admitted = false;
};

absl::StatusOr<std::unique_ptr<Generation>> Generation::Start(Args args) {
  ASSIGN_OR_RETURN(Request request, MakeRequest(args));
  std::vector<Choice> choices;
  for (int32_t i = 0; i < args.params.n; ++i) {
    ASSIGN_OR_RETURN(Choice choice,
                     Choice::Create({.model = args.context.model,
                                     .kind = args.kind,
                                     .state = args.prompt.state,
                                     .params = args.params}));
    choices.push_back(std::move(choice));
  }
  std::unique_ptr<Generation> generation(new Generation(args, std::move(choices)));
  generation->id_ = request.id;
  generation->usage_.prompt_tokens = std::ssize(request.prompt);

  auto shared = std::make_shared<Shared>();
  {
    const absl::MutexLock lock(&shared->mutex);
    shared->reservation = std::move(args.reservation);
  }
  shared->on_news = std::move(args.on_news);
  generation->shared_ = shared;
  ASSIGN_OR_RETURN(
      generation->stream_,
      args.context.loop.Submit(std::move(request),
                               [shared, &clock = args.context.clock](TokenStream& stream) {
                                 shared->Listen(stream, clock);
                               }));
  return generation;
}

absl::StatusOr<Request> Generation::MakeRequest(const Args& args) {
  const GenerationParams& params = args.params;
  const int64_t room = args.context.model.max_tokens() - std::ssize(args.prompt.tokens);
  if (room < 1 || params.max_tokens.value_or(1) > room) {
    return OutOfRange(
        "%s: this model's context holds %d tokens, but the request asks for %d in the prompt and "
        "%d "
        "in the completion",
        args.kind == AnswerKind::kChat ? "messages" : "prompt",
        args.context.model.max_tokens(),
        args.prompt.tokens.size(),
        params.max_tokens.value_or(1));
  }
  Request request = {
      .id = args.context.NewRequestId(),
      .prompt = args.prompt.tokens,
      .sampling = params.sampling,
      .max_new_tokens = params.max_tokens.value_or(room),
      .num_sequences = params.n,
      .stop_token_ids = EndTokenIds(args.context.model, args.kind, params),
      .priority = params.priority,
      .tenant = args.tenant,
      .cache_sharing = args.context.cache_sharing,
      .cache_salt = HashSalt(params.cache_salt),
      .deadline = args.arrival + params.timeout.value_or(args.context.request_timeout),
      .target_tpot = params.target_tpot};
  request.sampling.min_tokens = params.min_tokens;
  request.sampling.ending_token_ids = request.stop_token_ids;
  request.sampling.seed = params.seed.has_value() ? *params.seed : FreshSeed();
  if (params.min_tokens > request.max_new_tokens) {
    return InvalidArgument("min_tokens: expected at most max_tokens, which is %d, found %d",
                           request.max_new_tokens,
                           params.min_tokens);
  }
  return request;
}

Generation::Generation(const Args& args, std::vector<Choice> choices)
    : context_(args.context),
      arrival_(args.arrival),
      choices_(std::move(choices)),
      last_tokens_(choices_.size()),
      num_new_tokens_(choices_.size()) {}

// The reservation goes with the stream, when the scheduler has let go of it as well.
Generation::~Generation() {
  if (stream_ != nullptr && !ended_) {
    context_.loop.Cancel(id_);
    ReportTimes(context_.clock.Now());
  }
}

bool Generation::Read(std::vector<ChoiceDelta>& deltas) {
  if (ended_) {
    return false;
  }
  if (!admitted_ && shared_->admitted.load(std::memory_order_acquire)) {
    admitted_ = true;
    usage_.cache = stream_->cache_report().value_or(CacheReport{});
  }
  items_.clear();
  const bool more = stream_->Read(absl::ZeroDuration(), items_);
  const TimePoint now = context_.clock.Now();
  std::ranges::fill(num_new_tokens_, 0);
  const size_t first = deltas.size();
  for (const TokenStream::Item& item : items_) {
    Choice& choice = choices_[static_cast<size_t>(item.sequence)];
    if (choice.ended()) {
      continue;  // generated before the scheduler knew
    }
    const auto found =
        std::find_if(deltas.begin() + static_cast<std::ptrdiff_t>(first),
                     deltas.end(),
                     [&item](const ChoiceDelta& delta) { return delta.choice == item.sequence; });
    ChoiceDelta& delta =
        found != deltas.end() ? *found : deltas.emplace_back(ChoiceDelta{.choice = item.sequence});
    item.end.has_value() ? TakeEnd(item, delta) : TakeToken(item, delta);
  }
  MeasureTokens(now);
  ended_ = !more || std::ranges::all_of(choices_, &Choice::ended);
  if (ended_) {
    ReportTimes(now);
    shared_->Release();  // before the client hears of the end, so that its next request has room
  }
  return !ended_;
}

void Generation::TakeToken(const TokenStream::Item& item, ChoiceDelta& delta) {
  Choice& choice = choices_[static_cast<size_t>(item.sequence)];
  if (choice.Push(item, delta)) {
    context_.loop.StopSequence(id_, item.sequence);
  }
  ++num_new_tokens_[static_cast<size_t>(item.sequence)];
  ++usage_.completion_tokens;
  usage_.drafted_tokens += item.origin == TokenOrigin::kDraft ? 1 : 0;
  usage_.reasoning_tokens += choice.phase() == AnswerPhase::kReasoning ? 1 : 0;
  context_.metrics.CountTokens(choice.phase(), 1);
}

void Generation::TakeEnd(const TokenStream::Item& item, ChoiceDelta& delta) {
  choices_[static_cast<size_t>(item.sequence)].Finish(*item.end, delta);
  if (failure_.ok()) {
    failure_ = FailureOf(*item.end);
  }
}

// Tokens that were read together share the time since those before.
void Generation::MeasureTokens(TimePoint now) {
  for (size_t i = 0; i < choices_.size(); ++i) {
    const int64_t num_new = num_new_tokens_[i];
    if (num_new == 0) {
      continue;
    }
    const bool is_first = choices_[i].num_tokens() == num_new;
    const int64_t num_gaps = num_new - (is_first ? 1 : 0);
    const Duration gap = is_first ? Duration::zero() : (now - last_tokens_[i]) / num_gaps;
    for (int64_t k = 0; k < num_gaps; ++k) {
      context_.metrics.ObserveInterTokenLatency(gap);
    }
    last_tokens_[i] = now;
    last_token_ = now;
    if (!first_token_.has_value()) {
      first_token_ = now;
    }
  }
}

void Generation::ReportTimes(TimePoint now) {
  GenerationTimes times = {.total = now - arrival_,
                           .num_prompt_tokens = usage_.prompt_tokens,
                           .num_completion_tokens = usage_.completion_tokens};
  times.queue = (admitted_ ? shared_->admitted_at : now) - arrival_;
  if (first_token_.has_value()) {
    times.first_token = *first_token_ - arrival_;
    times.decode = last_token_ - *first_token_;
  }
  for (const Choice& choice : choices_) {
    times.max_completion_tokens = std::max(times.max_completion_tokens, choice.num_tokens());
  }
  times_ = times;
  context_.metrics.ObserveGeneration(times);
}

}  // namespace hadal
