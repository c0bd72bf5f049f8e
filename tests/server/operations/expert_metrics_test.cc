#include "server/operations/expert_metrics.h"

#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/server/operations/metric_text.h"

namespace hadal {
namespace {

MetricSeries SeriesOf(const ExpertMetrics& metrics) {
  std::string text;
  metrics.AppendText(text);
  return ParseMetricText(text);
}

TEST(ExpertMetricsTest, TokensAddUpByLayerAndExpert) {
  ExpertMetrics metrics("demo");
  EXPECT_TRUE(SeriesOf(metrics).empty());
  metrics.SetShape({.first_layer = 3, .num_layers = 2, .num_experts = 4});
  EXPECT_EQ(SeriesOf(metrics).size(), 2U * 4 + 2) << "at zero from the beginning";
  metrics.Observe(std::vector<int32_t>{1, 0, 3, 0, 2, 2, 2, 2});
  metrics.Observe({});
  metrics.Observe(std::vector<int32_t>{1, 0, 3, 0, 2, 2, 2, 2});
  const MetricSeries series = SeriesOf(metrics);
  const auto tokens = [&series](const char* layer, const char* expert) {
    return ValueOf(series,
                   "hadal_expert_tokens_total",
                   {{"model", "demo"}, {"layer", layer}, {"expert", expert}});
  };
  EXPECT_EQ(tokens("3", "0"), 2);
  EXPECT_EQ(tokens("3", "1"), 0);
  EXPECT_EQ(tokens("3", "2"), 6);
  EXPECT_EQ(tokens("4", "3"), 4);
  EXPECT_EQ(
      ValueOf(series, "hadal_expert_load_imbalance_ratio", {{"model", "demo"}, {"layer", "3"}}), 3);
  EXPECT_EQ(
      ValueOf(series, "hadal_expert_load_imbalance_ratio", {{"model", "demo"}, {"layer", "4"}}), 1);
}

TEST(ExpertMetricsTest, WithoutTokensThereIsNoImbalance) {
  ExpertMetrics metrics("demo");
  metrics.SetShape({.first_layer = 0, .num_layers = 1, .num_experts = 4});
  EXPECT_EQ(metrics.Imbalance(0), 0);
  metrics.Observe(std::vector<int32_t>{0, 0, 0, 0});
  EXPECT_EQ(metrics.Imbalance(0), 0);
}

TEST(ExpertMetricsTest, ImbalanceForgetsWhatWasLongAgoAndTotalsDoNot) {
  ExpertMetrics metrics("demo");
  metrics.SetShape({.first_layer = 0, .num_layers = 1, .num_experts = 2});
  for (int i = 0; i < 256; ++i) {
    metrics.Observe(std::vector<int32_t>{1000, 0});
  }
  EXPECT_EQ(metrics.Imbalance(0), 2);
  for (int i = 0; i < 256; ++i) {
    metrics.Observe(std::vector<int32_t>{500, 500});
  }
  EXPECT_NEAR(metrics.Imbalance(0), 4.0 / 3, 0.001) << "half of the old tokens still count";
  for (int i = 0; i < 256 * 20; ++i) {
    metrics.Observe(std::vector<int32_t>{500, 500});
  }
  EXPECT_NEAR(metrics.Imbalance(0), 1, 0.001);
  EXPECT_EQ(ValueOf(SeriesOf(metrics),
                    "hadal_expert_tokens_total",
                    {{"model", "demo"}, {"layer", "0"}, {"expert", "0"}}),
            256 * 1000 + 21 * 256 * 500);
}

TEST(ExpertMetricsTest, ScrapesWhileStepsEndSeeTotalsRise) {
  ExpertMetrics metrics("demo");
  metrics.SetShape({.first_layer = 0, .num_layers = 1, .num_experts = 2});
  std::thread steps([&metrics] {
    for (int i = 0; i < 5000; ++i) {
      metrics.Observe(std::vector<int32_t>{3, 1});
    }
  });
  double last = 0;
  for (int i = 0; i < 20; ++i) {
    const MetricSeries series = SeriesOf(metrics);
    const double now = ValueOf(
        series, "hadal_expert_tokens_total", {{"model", "demo"}, {"layer", "0"}, {"expert", "0"}});
    EXPECT_GE(now, last);
    last = now;
    const double imbalance =
        ValueOf(series, "hadal_expert_load_imbalance_ratio", {{"model", "demo"}, {"layer", "0"}});
    EXPECT_GE(imbalance, 0);
    EXPECT_LE(imbalance, 2);
  }
  steps.join();
  EXPECT_NEAR(metrics.Imbalance(0), 1.5, 0.01);
}

TEST(ExpertMetricsDeathTest, StatsOfAnotherShapeAreABrokenInvariant) {
  ExpertMetrics metrics("demo");
  const std::vector<int32_t> two = {1, 2};
  EXPECT_DEATH(metrics.Observe(two), "CHECK failed");
  metrics.SetShape({.first_layer = 0, .num_layers = 1, .num_experts = 3});
  EXPECT_DEATH(metrics.Observe(two), "2 vs. 3");
}

}  // namespace
}  // namespace hadal
