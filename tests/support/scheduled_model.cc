#include "tests/support/scheduled_model.h"

#include <bit>

#include "base/check.h"

namespace hadal {
namespace {

Limits LimitsFor(const ScheduledModel::Args& args) {
  Limits limits = args.limits;
  limits.vocab_size = args.golden.config().vocab_size;
  CHECK(ValidateLimits(limits).ok());
  return limits;
}

}  // namespace

Generated BitsOf(const SampledToken& sampled) {
  return {sampled.token, std::bit_cast<uint32_t>(sampled.logprob)};
}

ScheduledModel::ScheduledModel(const Args& args)
    : limits_(LimitsFor(args)),
      scheduler_(limits_),
      executor_({.golden = args.golden,
                 .kernels = BestKernels(),
                 .num_threads = args.num_threads,
                 .cache_dtype = args.cache_dtype,
                 .num_blocks = limits_.num_blocks,
                 .device = CpuDevice(),
                 .max_step_tokens = limits_.max_step_tokens,
                 .max_samples = limits_.max_running_sequences * (1 + limits_.max_draft_tokens),
                 .can_draft = limits_.max_draft_tokens > 0}) {}

void ScheduledModel::Add(const Request& request) {
  CHECK(ValidateRequest(limits_, request).ok());
  CHECK(scheduler_.Add(std::make_unique<LiveRequest>(request), now_).ok());
}

Answers ScheduledModel::Finish() {
  Answers answers;
  StepInput input;
  StepOutput output;
  while (!scheduler_.idle()) {
    BuildStepInput(scheduler_.Plan(now_), input);
    executor_.Run(input, output);
    now_ += std::chrono::milliseconds(1);
    scheduler_.Apply(absl::OkStatus(), output, now_);
    scheduler_.CheckInvariants();
    for (const Event& event : scheduler_.events()) {
      auto& answer = answers[static_cast<int64_t>(event.request->request.id)];
      answer.resize(event.request->sequences.size());
      if (event.kind == Event::Kind::kToken) {
        answer[static_cast<size_t>(event.sequence)].push_back(BitsOf(*event.token));
      } else if (event.kind == Event::Kind::kRequestEnded) {
        ends_[static_cast<int64_t>(event.request->request.id)] = event.reason;
      }
    }
    scheduler_.ClearEvents();
  }
  return answers;
}

Answers ScheduledModel::RunAll(const std::vector<Request>& requests) {
  for (const Request& request : requests) {
    Add(request);
  }
  return Finish();
}

}  // namespace hadal
