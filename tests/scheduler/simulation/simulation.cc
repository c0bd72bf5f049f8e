#include "tests/scheduler/simulation/simulation.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include <absl/strings/str_format.h>

#include "base/check.h"
#include "engine/simulated_executor.h"
#include "scheduler/scheduler.h"

namespace hadal::test {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr int32_t kVocabSize = 50;
constexpr TokenId kPoison = kVocabSize - 1;        // a prompt with it computes nothing finite
constexpr int32_t kNumGenerated = kVocabSize - 1;  // ids below are generated

// What a failing CHECK cannot know by itself.
volatile uint64_t running_seed = 0;

void NameSeed(int /*signal*/) {
  std::fprintf(stderr,
               "seed %llu fails; it replays with: hadal-sim --seed %llu --trace\n",
               static_cast<unsigned long long>(running_seed),
               static_cast<unsigned long long>(running_seed));
  std::signal(SIGABRT, SIG_DFL);
}

// Draws that are equal on every platform.
class Dice {
 public:
  explicit Dice(uint64_t seed) : engine_(seed) {}
  int64_t From(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(engine_() % static_cast<uint64_t>(high - low + 1));
  }
  bool Chance(double probability) {
    return static_cast<double>(engine_() >> 11U) * 0x1p-53 < probability;
  }

 private:
  std::mt19937_64 engine_;
};

// What a client knows of its request, and what the world did to it.
struct Client {
  Request request;  // without its prompt, which `sequences` begin with
  int64_t num_prompt_tokens = 0;
  std::vector<std::vector<TokenId>> sequences;
  std::vector<std::optional<FinishReason>> ends;
  std::vector<bool> stopped;  // which sequences were told to stop
  TimePoint arrival{};
  bool admitted = false;
  bool cancelled = false;
  bool broken = false;             // took part in a step that failed or was not finite
  std::optional<int64_t> aged_at;  // number of the step before which it came of age
  int64_t most_steps_aged = 0;     // that it may wait then
};

class Simulation {
 public:
  explicit Simulation(const SimulationOptions& options)
      : options_(options),
        dice_(options.seed),
        limits_(DrawLimits()),
        executor_({.clock = clock_,
                   .num_blocks = limits_.num_blocks,
                   .vocab_size = kNumGenerated,
                   .cost = {.fixed_us = 1000, .per_token_us = 50, .per_context_token_us = 0.5},
                   .faults = DrawFaults()}),
        scheduler_(limits_),
        load_(static_cast<double>(dice_.From(2, 40)) / 100),
        cancel_chance_(dice_.Chance(0.5) ? 0.05 : 0.002) {
    for (int64_t i = dice_.From(1, 4); i > 0; --i) {
      prefixes_.push_back(DrawTokens(dice_.From(1, 200)));
    }
  }

  SimulationResult Run() {
    while (result_.num_steps < options_.num_steps) {
      MaybeAct();
      Step();
    }
    // Everything ends by itself.
    is_closing_ = true;
    int64_t most_steps = StepsFor(CostOfLive()) + std::ssize(clients_);
    while (!scheduler_.idle()) {
      CHECK_GT(most_steps--, 0);
      Step();
    }
    CHECK(clients_.empty());
    const SchedulerCounts counts = scheduler_.counts();
    CHECK_EQ(counts.num_used_blocks, 0);
    CHECK_EQ(counts.num_free_blocks + counts.num_cached_blocks, limits_.num_blocks);
    result_.num_cached_tokens = counts.total_cached_tokens;
    result_.num_preemptions = counts.total_preemptions;
    CHECK_EQ(counts.total_generated_tokens, result_.num_tokens);
    return result_;
  }

 private:
  Limits DrawLimits() {
    Limits limits;
    limits.vocab_size = kVocabSize;
    limits.max_running_sequences = dice_.From(1, 12);
    limits.max_step_tokens = limits.max_running_sequences + dice_.From(0, 150);
    limits.max_draft_tokens = dice_.Chance(0.5) ? 0 : dice_.From(1, kMaxDraftTokens);
    limits.draft_length = dice_.Chance(0.5) ? DraftLength::kFixed : DraftLength::kAdapted;
    limits.max_requests = dice_.From(4, 40);
    limits.max_waiting_tokens = dice_.From(500, 5000);
    limits.max_sequence_tokens = dice_.From(64, 400);
    limits.max_sequences_per_request = dice_.From(1, 4);
    limits.num_blocks = dice_.Chance(0.6) ? dice_.From(2, 12) : dice_.From(1, 40);
    limits.watermark = dice_.Chance(0.5) ? 0 : static_cast<double>(dice_.From(1, 3)) / 20;
    limits.min_chunk_tokens = dice_.From(1, 20);
    limits.target_step_time = milliseconds(dice_.From(1, 20));
    limits.fairness_quantum_tokens = dice_.From(1, 500);
    limits.starvation_age = milliseconds(dice_.From(10, 2000));
    limits.default_patience = milliseconds(dice_.From(10, 5000));
    CHECK(ValidateLimits(limits).ok());
    return limits;
  }

  SimulatedExecutor::Faults DrawFaults() {
    const bool calm = dice_.Chance(0.3);
    return {.seed = options_.seed,
            .step_failure = calm ? 0 : 0.002,
            .slow_step = 0.01,
            .slow_factor = 20,
            .not_finite = calm ? 0 : 0.001,
            .poison_token = calm ? TokenId{-1} : kPoison};
  }

  std::vector<TokenId> DrawTokens(int64_t count) {
    std::vector<TokenId> tokens;
    for (int64_t i = 0; i < count; ++i) {
      tokens.push_back(static_cast<TokenId>(dice_.From(0, kNumGenerated - 1)));
    }
    return tokens;
  }

  Request DrawRequest() {
    Request request;
    request.id = RequestId{next_id_++};
    if (dice_.Chance(0.6)) {
      const std::vector<TokenId>& prefix =
          prefixes_[static_cast<size_t>(dice_.From(0, std::ssize(prefixes_) - 1))];
      const int64_t size = std::ssize(prefix);
      request.prompt.assign(prefix.begin(),
                            prefix.begin() + (dice_.Chance(0.7) ? size : dice_.From(0, size)));
    }
    const std::vector<TokenId> own = DrawTokens(dice_.From(dice_.Chance(0.3) ? 0 : 1, 80));
    request.prompt.insert(request.prompt.end(), own.begin(), own.end());
    if (dice_.Chance(0.01) && !request.prompt.empty()) {
      request.prompt.back() = kPoison;
    }
    request.sampling.temperature = dice_.Chance(0.5) ? 0.0F : 1.0F;
    request.sampling.seed = static_cast<uint64_t>(dice_.From(0, 1000));
    request.max_new_tokens = dice_.From(1, dice_.Chance(0.3) ? 200 : 30);
    request.num_sequences = static_cast<int32_t>(dice_.Chance(0.2) ? dice_.From(2, 4) : 1);
    if (dice_.Chance(0.5)) {
      request.stop_token_ids = {static_cast<TokenId>(dice_.From(0, kVocabSize - 1))};
    }
    request.priority = static_cast<int32_t>(dice_.From(0, 2));
    request.tenant = TenantId{static_cast<int32_t>(dice_.From(0, 3))};
    request.cache_sharing =
        dice_.Chance(0.7) ? CacheSharing::kAmongAll : CacheSharing::kWithinTenant;
    if (dice_.Chance(0.15)) {
      request.deadline = clock_.Now() + milliseconds(dice_.From(0, 500));
    }
    return request;
  }

  void MaybeAct() {
    while (!is_closing_ && dice_.Chance(scheduler_.idle() ? 0.9 : load_)) {
      Arrive();
    }
    if (!is_closing_ && dice_.Chance(0.003)) {  // a crowd
      for (int64_t i = dice_.From(5, 60); i > 0; --i) {
        Arrive();
      }
    }
    while (!clients_.empty() && dice_.Chance(cancel_chance_)) {
      auto client = clients_.begin();
      std::advance(client, dice_.From(0, std::ssize(clients_) - 1));
      client->second.cancelled = true;
      scheduler_.Cancel(client->second.request.id);
    }
    while (!clients_.empty() && dice_.Chance(0.01)) {
      auto client = clients_.begin();
      std::advance(client, dice_.From(0, std::ssize(clients_) - 1));
      Stop(client->second);
    }
  }

  // One sequence, as if the client had seen a stop string, or all but one.
  void Stop(Client& client) {
    const auto chosen = static_cast<size_t>(dice_.From(0, std::ssize(client.ends) - 1));
    const bool all_but_one = dice_.Chance(0.3);
    for (size_t i = 0; i < client.ends.size(); ++i) {
      if ((i == chosen) != all_but_one && !client.ends[i].has_value()) {
        client.stopped[i] = true;
        scheduler_.StopSequence(client.request.id, static_cast<int32_t>(i));
      }
    }
  }

  void Arrive() {
    Request request = DrawRequest();
    if (!ValidateRequest(limits_, request).ok()) {
      ++result_.num_refused;
      return;
    }
    Client client = {
        .request = request,
        .num_prompt_tokens = std::ssize(request.prompt),
        .sequences = std::vector(static_cast<size_t>(request.num_sequences), request.prompt),
        .ends = {},
        .stopped = {},
        .arrival = clock_.Now(),
        .aged_at = {}};
    client.ends.resize(client.sequences.size());
    client.stopped.resize(client.sequences.size());
    const absl::Status status =
        scheduler_.Add(std::make_unique<LiveRequest>(std::move(request)), clock_.Now());
    if (!status.ok()) {
      CHECK(absl::IsResourceExhausted(status));
      ++result_.num_refused;
      return;
    }
    ++result_.num_requests;
    clients_.emplace(static_cast<int64_t>(client.request.id), std::move(client));
  }

  void Step() {
    NoteAged();
    const TimePoint now = clock_.Now();
    const int64_t first_later_id = next_id_;
    const StepPlan& plan = scheduler_.Plan(now);
    if (plan.empty()) {
      TakeEvents(now);
      CHECK(scheduler_.idle());  // else something waits for nothing
      scheduler_.CheckInvariants();
      clock_.Advance(milliseconds(5));
      return;
    }
    CHECK_LE(plan.num_tokens, limits_.max_step_tokens);
    result_.num_copies += std::ssize(plan.copies);
    BuildStepInput(plan, input_);
    Trace(plan);
    executor_.Submit(input_);
    if (dice_.Chance(0.3)) {
      MaybeAct();
    }
    const absl::Status status = executor_.Wait(output_);
    NoteBroken(plan, status);
    scheduler_.Apply(status, output_, clock_.Now());
    ++result_.num_steps;
    TakeEvents(clock_.Now());
    scheduler_.CheckInvariants();
    for (const auto& [id, client] : clients_) {
      CHECK(!client.cancelled);  // within the step
      CheckStopped(client);
      CHECK(id >= first_later_id || client.request.deadline > now);
    }
  }

  // Where the prompt is computed what was told to stop has ended, and something goes on.
  static void CheckStopped(const Client& client) {
    bool has_forked = false;
    bool goes_on = false;
    bool waits = false;
    for (size_t i = 0; i < client.ends.size(); ++i) {
      has_forked |= std::ssize(client.sequences[i]) > client.num_prompt_tokens;
      goes_on |= !client.ends[i].has_value() && !client.stopped[i];
      waits |= !client.ends[i].has_value() && client.stopped[i];
    }
    CHECK(goes_on);
    CHECK(!waits || !has_forked);
  }

  // The bound on starvation, kept for those that came of age: nobody is let in before them.
  void NoteAged() {
    const TimePoint now = clock_.Now();
    for (auto& [id, client] : clients_) {
      if (client.admitted || now - client.arrival < limits_.starvation_age) {
        continue;
      }
      if (!client.aged_at.has_value()) {
        client.aged_at = result_.num_steps;
        client.most_steps_aged = StepsFor(CostOfLive());
      }
      const int64_t waited = result_.num_steps - *client.aged_at;
      CHECK_LE(waited, client.most_steps_aged);
      result_.most_steps_aged = std::max(result_.most_steps_aged, waited);
    }
  }

  // Steps in which requests with so many tokens end: the sequence that goes first moves in each,
  // but for one in 33 that may be without chunks.
  static int64_t StepsFor(int64_t num_tokens) { return num_tokens + num_tokens / 32 + 2; }

  [[nodiscard]] int64_t CostOfLive() const {
    int64_t cost = 0;
    for (const auto& [id, client] : clients_) {
      cost +=
          client.request.num_sequences * (client.num_prompt_tokens + client.request.max_new_tokens);
    }
    return cost;
  }

  void NoteBroken(const StepPlan& plan, const absl::Status& status) {
    for (size_t i = 0; i < plan.parts.size(); ++i) {
      if (!status.ok() || output_.health[i] == RowHealth::kNotFinite) {
        Find(*plan.parts[i].sequence->request).broken = true;
      }
    }
  }

  Client& Find(const LiveRequest& request) {
    const auto found = clients_.find(static_cast<int64_t>(request.request.id));
    CHECK(found != clients_.end());  // else it ended twice
    return found->second;
  }

  void TakeEvents(TimePoint now) {
    for (const Event& event : scheduler_.events()) {
      Client& client = Find(*event.request);
      const auto sequence = static_cast<size_t>(event.sequence);
      switch (event.kind) {
        case Event::Kind::kAdmitted:
          CHECK(!client.admitted);
          client.admitted = true;
          CHECK_LT(event.request->cache.cached_tokens, client.num_prompt_tokens);
          break;
        case Event::Kind::kToken:
          CHECK(client.admitted);
          CHECK(!client.ends[sequence].has_value());
          TakeToken(client, event.sequence, event.token->token);
          break;
        case Event::Kind::kSequenceEnded:
          CHECK(!client.ends[sequence].has_value());
          client.ends[sequence] = event.reason;
          CheckReason(client, sequence, event.reason, now);
          break;
        case Event::Kind::kRequestEnded:
          CHECK(std::all_of(client.ends.begin(), client.ends.end(), [](const auto& end) {
            return end.has_value();
          }));
          result_.num_cancelled += event.reason == FinishReason::kCancelled ? 1 : 0;
          result_.num_expired += event.reason == FinishReason::kDeadlineExceeded ? 1 : 0;
          result_.num_failed += event.reason == FinishReason::kFailed ? 1 : 0;
          break;
      }
      Digest(event);
      if (event.kind == Event::Kind::kRequestEnded) {
        clients_.erase(static_cast<int64_t>(event.request->request.id));
      }
    }
    scheduler_.ClearEvents();
  }

  // The token must be the one that follows what this client holds: none is lost, doubled or
  // another's.
  void TakeToken(Client& client, int32_t index, TokenId token) {
    std::vector<TokenId>& tokens = client.sequences[static_cast<size_t>(index)];
    CHECK(!client.stopped[static_cast<size_t>(index)]);
    SamplingParams params = client.request.sampling;
    params.seed += static_cast<uint64_t>(index);
    CHECK_EQ(token, SimulatedExecutor::NextToken(tokens, params, kNumGenerated));
    tokens.push_back(token);
    ++result_.num_tokens;
  }

  void CheckReason(const Client& client, size_t sequence, FinishReason reason, TimePoint now) {
    const std::vector<TokenId>& tokens = client.sequences[sequence];
    const std::vector<TokenId>& stops = client.request.stop_token_ids;
    const int64_t num_generated = std::ssize(tokens) - client.num_prompt_tokens;
    const bool stopped =
        num_generated > 0 && std::find(stops.begin(), stops.end(), tokens.back()) != stops.end();
    switch (reason) {
      case FinishReason::kStop:
        CHECK(stopped || client.stopped[sequence]);
        result_.num_stopped += client.stopped[sequence] ? 1 : 0;
        break;
      case FinishReason::kLength:
        CHECK(!stopped && !client.stopped[sequence]);
        CHECK_EQ(num_generated, client.request.max_new_tokens);
        break;
      case FinishReason::kCancelled:
        CHECK(client.cancelled);
        break;
      case FinishReason::kDeadlineExceeded:
        CHECK(client.request.deadline <= now);
        break;
      case FinishReason::kFailed:
        CHECK(client.broken);
        break;
    }
    CHECK(!client.broken || client.cancelled || reason == FinishReason::kFailed || stopped ||
          client.stopped[sequence] || num_generated == client.request.max_new_tokens);
  }

  void Digest(const Event& event) {
    const std::string line = absl::StrFormat(
        "%d %d %d %d %d",
        static_cast<int64_t>(event.request->request.id),
        static_cast<int>(event.kind),
        event.sequence,
        event.token == nullptr ? -1 : event.token->token,
        event.kind >= Event::Kind::kSequenceEnded ? static_cast<int>(event.reason) : -1);
    for (const char c : line) {  // FNV-1a
      result_.digest = (result_.digest ^ static_cast<uint64_t>(c)) * 0x100000001B3ULL;
    }
    if (options_.trace) {
      std::printf("  request %s (event: id kind sequence token reason)\n", line.c_str());
    }
  }

  void Trace(const StepPlan& plan) {
    if (!options_.trace) {
      return;
    }
    const SchedulerCounts counts = scheduler_.counts();
    std::printf("step %lld: %lld free, %lld cached, %lld used; %lld waiting, %lld preempted;",
                static_cast<long long>(result_.num_steps),
                static_cast<long long>(counts.num_free_blocks),
                static_cast<long long>(counts.num_cached_blocks),
                static_cast<long long>(counts.num_used_blocks),
                static_cast<long long>(counts.num_waiting),
                static_cast<long long>(counts.num_preempted));
    for (const StepPlan::Part& part : plan.parts) {
      std::printf(" %lld.%d[%lld+%lld of %lld]",
                  static_cast<long long>(part.sequence->request->request.id),
                  part.sequence->index,
                  static_cast<long long>(part.sequence->num_computed_tokens),
                  static_cast<long long>(part.num_tokens),
                  static_cast<long long>(part.sequence->num_tokens()));
    }
    std::printf("\n");
  }

  const SimulationOptions options_;
  Dice dice_;
  VirtualClock clock_;
  const Limits limits_;
  SimulatedExecutor executor_;
  Scheduler scheduler_;
  const double load_;           // mean arrivals before a step, about
  const double cancel_chance_;  // before a step
  std::vector<std::vector<TokenId>> prefixes_;
  int64_t next_id_ = 1;
  bool is_closing_ = false;            // nothing arrives any more
  std::map<int64_t, Client> clients_;  // live ones, by request id
  StepInput input_;
  StepOutput output_;
  SimulationResult result_;
};

}  // namespace

SimulationResult Simulate(const SimulationOptions& options) {
  running_seed = options.seed;
  std::signal(SIGABRT, NameSeed);
  SimulationResult result = Simulation(options).Run();
  std::signal(SIGABRT, SIG_DFL);
  return result;
}

std::string Describe(const SimulationOptions& options, const SimulationResult& result) {
  return absl::StrFormat(
      "seed %d: %d steps, %d requests (%d refused), %d tokens, %d prompt tokens cached, "
      "%d preemptions, %d copies, %d cancelled, %d stopped, %d expired, %d failed, digest %016x",
      options.seed,
      result.num_steps,
      result.num_requests,
      result.num_refused,
      result.num_tokens,
      result.num_cached_tokens,
      result.num_preemptions,
      result.num_copies,
      result.num_cancelled,
      result.num_stopped,
      result.num_expired,
      result.num_failed,
      result.digest);
}

}  // namespace hadal::test
