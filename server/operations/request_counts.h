#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "server/operations/metric.h"
#include "server/operations/server_metrics.h"

namespace hadal {

/// hadal_requests_total: a count for each route, status and finish reason of closed sets, without a
/// lock. Shown are those that one may expect, from the beginning, and those that counted something:
/// most combinations never happen. Any thread.
class RequestCounts final : public Collectable {
 public:
  explicit RequestCounts(std::string model) : model_(std::move(model)) {}

  /// Values outside the sets count as "other"; no finish reason is "none".
  void Count(RouteName route, int32_t status, std::string_view finish_reason);

  [[nodiscard]] std::vector<MetricFamily> Collect() const override;

  static constexpr size_t kNumRoutes = static_cast<size_t>(RouteName::kOther) + 1;  // the last
  static constexpr size_t kNumStatuses = 22;
  static constexpr size_t kNumFinishReasons = 9;

 private:
  const std::string model_;
  std::array<std::array<std::array<std::atomic<int64_t>, kNumFinishReasons>, kNumStatuses>,
             kNumRoutes>
      counts_ = {};
};

}  // namespace hadal
