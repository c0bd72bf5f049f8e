#include "server/operations/request_counts.h"

#include <algorithm>

namespace hadal {
namespace {

// The last of each set stands for all that is not in it.
constexpr std::array<int32_t, RequestCounts::kNumStatuses> kStatuses = {
    200, 204, 400, 401, 403, 404, 405, 408, 413, 414, 415,
    417, 422, 429, 431, 499, 500, 501, 503, 504, 505, 0};
constexpr std::array<std::string_view, RequestCounts::kNumFinishReasons> kFinishReasons = {
    "none",
    "stop",
    "length",
    "tool_calls",
    "content_filter",
    "cancelled",
    "deadline_exceeded",
    "failed",
    "other"};

template <typename Set, typename Value>
size_t IndexIn(const Set& set, const Value& value) {
  return static_cast<size_t>(std::find(set.begin(), set.end() - 1, value) - set.begin());
}

bool Generates(RouteName route) {
  return route == RouteName::kChatCompletions || route == RouteName::kCompletions ||
         route == RouteName::kGrpcGenerate || route == RouteName::kGrpcChat;
}

// Whether a series is there before it has counted anything, so that a rate sees its first one.
bool IsExpected(RouteName route, int32_t status, std::string_view finish_reason) {
  if (finish_reason == "none") {
    return status == 200 || status == 400 || status == 401 || status == 429 || status == 500 ||
           status == 503;
  }
  return Generates(route) && status == 200 &&
         (finish_reason == "stop" || finish_reason == "length" || finish_reason == "tool_calls");
}

}  // namespace

void RequestCounts::Count(RouteName route, int32_t status, std::string_view finish_reason) {
  if (finish_reason.empty()) {
    finish_reason = "none";
  }
  counts_[static_cast<size_t>(route)][IndexIn(kStatuses, status)]
         [IndexIn(kFinishReasons, finish_reason)]
             .fetch_add(1, std::memory_order_relaxed);
}

std::vector<MetricFamily> RequestCounts::Collect() const {
  MetricFamily family = {.name = "hadal_requests_total",
                         .help = "Requests that were answered, or given up by clients.",
                         .type = MetricType::kCounter,
                         .samples = {}};
  for (size_t route_index = 0; route_index < kNumRoutes; ++route_index) {
    const auto route = static_cast<RouteName>(route_index);
    for (size_t status_index = 0; status_index < kNumStatuses; ++status_index) {
      const int32_t status = kStatuses[status_index];
      for (size_t reason_index = 0; reason_index < kNumFinishReasons; ++reason_index) {
        const int64_t count =
            counts_[route_index][status_index][reason_index].load(std::memory_order_relaxed);
        const std::string_view reason = kFinishReasons[reason_index];
        if (count == 0 && !IsExpected(route, status, reason)) {
          continue;
        }
        MetricSample& metric = family.samples.emplace_back();
        metric.labels = {{"model", model_},
                         {"route", std::string(NameOf(route))},
                         {"code", status == 0 ? "other" : std::to_string(status)},
                         {"finish_reason", std::string(reason)}};
        metric.value = static_cast<double>(count);
      }
    }
  }
  return {std::move(family)};
}

}  // namespace hadal
