#include "server/bench/report.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <utility>

#include <absl/strings/str_format.h>

#include "base/check.h"

namespace hadal {
namespace {

double Milliseconds(Duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

double Ratio(double numerator, double denominator) {
  return denominator > 0 ? numerator / denominator : 0;
}

// The smallest of `sorted` that at least `percent` % of them do not exceed.
double NearestRank(const std::vector<double>& sorted, int64_t percent) {
  const int64_t rank = (percent * std::ssize(sorted) + 99) / 100;  // rounded up; from 1
  return sorted[static_cast<size_t>(rank - 1)];
}

// A part of the time of steps.
struct StepPart {
  const char* name;
  double mean_us;
  double share;
};

std::vector<StepPart> StepParts(const StepTotals& steps) {
  const Duration other =
      steps.total - steps.plan - steps.forward - steps.sample - steps.draft - steps.apply;
  std::vector<StepPart> parts;
  for (const auto& [name, time] : {std::pair{"plan", steps.plan},
                                   std::pair{"forward", steps.forward},
                                   std::pair{"sample", steps.sample},
                                   std::pair{"draft", steps.draft},
                                   std::pair{"apply", steps.apply},
                                   std::pair{"other", other},
                                   std::pair{"total", steps.total}}) {
    const double us = std::chrono::duration<double, std::micro>(time).count();
    const double total_us = std::chrono::duration<double, std::micro>(steps.total).count();
    parts.push_back({.name = name,
                     .mean_us = Ratio(us, static_cast<double>(steps.num_steps)),
                     .share = Ratio(us, total_us)});
  }
  return parts;
}

boost::json::value ToJson(const Distribution& distribution) {
  if (distribution.count == 0) {
    return nullptr;
  }
  return {{"mean", distribution.mean},
          {"p50", distribution.p50},
          {"p90", distribution.p90},
          {"p99", distribution.p99},
          {"max", distribution.max}};
}

boost::json::value ToJson(const WidestDecode& decode) {
  if (decode.num_steps == 0) {
    return nullptr;
  }
  return {{"num_sequences", decode.num_sequences},
          {"num_steps", decode.num_steps},
          {"tokens_per_second", decode.TokensPerSecond()}};
}

// By place, as far as anything was drafted.
using DraftCounts = std::array<int64_t, kMaxDraftTokens>;
boost::json::array ToJson(const DraftCounts& drafted, const DraftCounts& accepted) {
  boost::json::array places;
  for (size_t i = 0; i < drafted.size() && drafted[i] > 0; ++i) {
    places.push_back({{"drafted", drafted[i]}, {"accepted", accepted[i]}});
  }
  return places;
}

void AppendDrafts(const StepTotals& steps, std::string& text) {
  for (size_t i = 0; i < steps.drafted.size() && steps.drafted[i] > 0; ++i) {
    absl::StrAppendFormat(
        &text,
        "draft %-16d%d of %d came true (%.1f %%)\n",
        i + 1,
        steps.accepted[i],
        steps.drafted[i],
        100 * Ratio(static_cast<double>(steps.accepted[i]), static_cast<double>(steps.drafted[i])));
  }
}

void AppendLatencies(const BenchReport& report, std::string& text) {
  absl::StrAppendFormat(&text, "%-22s", "latency in ms");
  for (const char* const name : {"mean", "p50", "p90", "p99", "max"}) {
    absl::StrAppendFormat(&text, "%11s", name);
  }
  text += '\n';
  for (const auto& [name, numbers] : {std::pair{"queue", &report.queue_time_ms},
                                      std::pair{"time to first token", &report.ttft_ms},
                                      std::pair{"inter-token", &report.inter_token_latency_ms},
                                      std::pair{"end to end", &report.e2e_latency_ms}}) {
    absl::StrAppendFormat(&text, "%-22s", name);
    for (const double number :
         {numbers->mean, numbers->p50, numbers->p90, numbers->p99, numbers->max}) {
      text += numbers->count > 0 ? absl::StrFormat("%11.3f", number) : absl::StrFormat("%11s", "-");
    }
    text += '\n';
  }
}

void AppendSteps(const StepTotals& steps, std::string& text) {
  const auto num_steps = static_cast<double>(steps.num_steps);
  absl::StrAppendFormat(&text,
                        "%-22s%d; on average %.1f tokens of %.1f sequences\n",
                        "steps",
                        steps.num_steps,
                        Ratio(static_cast<double>(steps.num_tokens), num_steps),
                        Ratio(static_cast<double>(steps.num_sequences), num_steps));
  const WidestDecode& decode = steps.widest_decode;
  if (decode.num_steps > 0) {
    absl::StrAppendFormat(&text,
                          "%-22s%d of %d sequences, a token each: %.1f tokens/s\n",
                          "widest decode steps",
                          decode.num_steps,
                          decode.num_sequences,
                          decode.TokensPerSecond());
  }
  absl::StrAppendFormat(&text, "\n%-22s%11s%11s\n", "time of a step in us", "mean", "share");
  for (const StepPart& part : StepParts(steps)) {
    absl::StrAppendFormat(
        &text, "%-22s%11.1f%9.1f %%\n", part.name, part.mean_us, 100 * part.share);
  }
}

}  // namespace

void WidestDecode::Add(const StepReport& step) {
  const bool one_token_each = step.num_tokens == step.num_sequences;
  if (!one_token_each || step.num_sequences < std::max<int64_t>(num_sequences, 1) || step.failed) {
    return;
  }
  if (step.num_sequences > num_sequences) {
    *this = {.num_sequences = step.num_sequences};
  }
  ++num_steps;
  total += step.step_time;
}

double WidestDecode::TokensPerSecond() const {
  return Ratio(static_cast<double>(num_sequences * num_steps),
               std::chrono::duration<double>(total).count());
}

void StepTotals::Add(const StepReport& step) {
  ++num_steps;
  num_tokens += step.num_tokens;
  num_sequences += step.num_sequences;
  num_preemptions = step.counts.total_preemptions;
  plan += step.plan_time;
  forward += step.forward_time;
  sample += step.sample_time;
  draft += step.draft_time;
  drafted = step.counts.total_drafted;
  accepted = step.counts.total_accepted;
  apply += step.apply_time;
  total += step.step_time;
  widest_decode.Add(step);
}

Distribution Distribute(std::vector<double> numbers) {
  if (numbers.empty()) {
    return {};
  }
  std::sort(numbers.begin(), numbers.end());
  const double sum = std::accumulate(numbers.begin(), numbers.end(), 0.0);
  return {.count = std::ssize(numbers),
          .mean = sum / static_cast<double>(numbers.size()),
          .p50 = NearestRank(numbers, 50),
          .p90 = NearestRank(numbers, 90),
          .p99 = NearestRank(numbers, 99),
          .max = numbers.back()};
}

double BenchReport::PerSecond(int64_t count) const {
  return Ratio(static_cast<double>(count), wall_time_s);
}

BenchReport MakeBenchReport(std::span<const RequestRecord> records,
                            const StepTotals& steps,
                            TimePoint start) {
  BenchReport report;
  report.steps = steps;
  TimePoint end = start;
  std::vector<double> queue_times;
  std::vector<double> first_tokens;
  std::vector<double> gaps;
  std::vector<double> ends;
  for (const RequestRecord& record : records) {
    end = std::max(end, record.end);
    if (!record.completed()) {
      ++report.num_failed;
      continue;
    }
    CHECK(!record.tokens.empty());
    ++report.num_completed;
    report.num_prompt_tokens += record.num_prompt_tokens;
    report.num_cached_tokens += record.num_cached_tokens;
    report.num_output_tokens += std::ssize(record.tokens);
    if (record.admitted.has_value()) {
      queue_times.push_back(Milliseconds(*record.admitted - record.arrival));
    }
    first_tokens.push_back(Milliseconds(record.tokens.front() - record.arrival));
    for (size_t i = 1; i < record.tokens.size(); ++i) {
      gaps.push_back(Milliseconds(record.tokens[i] - record.tokens[i - 1]));
    }
    ends.push_back(Milliseconds(record.end - record.arrival));
  }
  report.wall_time_s = std::chrono::duration<double>(end - start).count();
  report.queue_time_ms = Distribute(std::move(queue_times));
  report.ttft_ms = Distribute(std::move(first_tokens));
  report.inter_token_latency_ms = Distribute(std::move(gaps));
  report.e2e_latency_ms = Distribute(std::move(ends));
  return report;
}

boost::json::object ToJson(const BenchReport& report) {
  const auto num_steps = static_cast<double>(report.steps.num_steps);
  boost::json::object step_time_us;
  boost::json::object step_time_share;
  for (const StepPart& part : StepParts(report.steps)) {
    step_time_us[part.name] = part.mean_us;
    step_time_share[part.name] = part.share;
  }
  return {
      {"num_completed", report.num_completed},
      {"num_failed", report.num_failed},
      {"wall_time_s", report.wall_time_s},
      {"num_prompt_tokens", report.num_prompt_tokens},
      {"num_output_tokens", report.num_output_tokens},
      {"requests_per_second", report.PerSecond(report.num_completed)},
      {"prompt_tokens_per_second", report.PerSecond(report.num_prompt_tokens)},
      {"output_tokens_per_second", report.PerSecond(report.num_output_tokens)},
      {"queue_time_ms", ToJson(report.queue_time_ms)},
      {"ttft_ms", ToJson(report.ttft_ms)},
      {"inter_token_latency_ms", ToJson(report.inter_token_latency_ms)},
      {"e2e_latency_ms", ToJson(report.e2e_latency_ms)},
      {"cache",
       {{"hit_tokens", report.num_cached_tokens},
        {"hit_share",
         Ratio(static_cast<double>(report.num_cached_tokens),
               static_cast<double>(report.num_prompt_tokens))}}},
      {"preemptions", report.steps.num_preemptions},
      {"drafts", ToJson(report.steps.drafted, report.steps.accepted)},
      {"num_steps", report.steps.num_steps},
      {"mean_step_tokens", Ratio(static_cast<double>(report.steps.num_tokens), num_steps)},
      {"mean_step_sequences", Ratio(static_cast<double>(report.steps.num_sequences), num_steps)},
      {"widest_decode", ToJson(report.steps.widest_decode)},
      {"step_time_us", std::move(step_time_us)},
      {"step_time_share", std::move(step_time_share)},
      {"configuration", report.configuration}};
}

std::string Describe(const BenchReport& report) {
  std::string text = absl::StrFormat("%-22s%d completed, %d failed, in %.3f s\n",
                                     "requests",
                                     report.num_completed,
                                     report.num_failed,
                                     report.wall_time_s);
  for (const auto& [name, count] : {std::pair{"requests/s", report.num_completed},
                                    std::pair{"prompt tokens/s", report.num_prompt_tokens},
                                    std::pair{"output tokens/s", report.num_output_tokens}}) {
    absl::StrAppendFormat(&text, "%-22s%.1f\n", name, report.PerSecond(count));
  }
  text += '\n';
  AppendLatencies(report, text);
  absl::StrAppendFormat(&text,
                        "\n%-22s%d of %d prompt tokens found (%.1f %%)\n%-22s%d\n",
                        "prefix cache",
                        report.num_cached_tokens,
                        report.num_prompt_tokens,
                        100 * Ratio(static_cast<double>(report.num_cached_tokens),
                                    static_cast<double>(report.num_prompt_tokens)),
                        "preemptions",
                        report.steps.num_preemptions);
  AppendDrafts(report.steps, text);
  AppendSteps(report.steps, text);
  return text;
}

}  // namespace hadal
