#include "server/operations/metric.h"

#include <array>
#include <cmath>
#include <limits>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "server/operations/metric_registry.h"

namespace hadal {
namespace {

std::string TextOf(const MetricFamily& family) {
  std::string text;
  AppendText(family, text);
  return text;
}

TEST(MetricTextTest, ACounterWithLabels) {
  EXPECT_EQ(TextOf({.name = "hadal_requests_total",
                    .help = "Requests.",
                    .type = MetricType::kCounter,
                    .samples = {{.labels = {{"code", "200"}, {"route", "chat"}}, .value = 7},
                                {.labels = {}, .value = 0.25}}}),
            "# HELP hadal_requests_total Requests.\n"
            "# TYPE hadal_requests_total counter\n"
            "hadal_requests_total{code=\"200\",route=\"chat\"} 7\n"
            "hadal_requests_total 0.25\n");
}

TEST(MetricTextTest, WhatWouldEndALineOrALabelIsEscaped) {
  EXPECT_EQ(TextOf({.name = "a",
                    .help = "back\\slash\nline \"quoted\"",
                    .samples = {{.labels = {{"l", "back\\slash\nline \"quoted\""}}}}}),
            "# HELP a back\\\\slash\\nline \"quoted\"\n"
            "# TYPE a gauge\n"
            "a{l=\"back\\\\slash\\nline \\\"quoted\\\"\"} 0\n");
}

TEST(MetricTextTest, BucketsAreCumulated) {
  Histogram histogram(std::array{0.5, 1.0, 2.5});
  for (const double value : {0.1, 0.5, 0.75, 2.5, 3.0}) {
    histogram.Observe(value);
  }
  EXPECT_EQ(TextOf({.name = "t",
                    .help = "h",
                    .type = MetricType::kHistogram,
                    .samples = {{.labels = {{"kind", "x"}}, .histogram = histogram.Read()}}}),
            "# HELP t h\n# TYPE t histogram\n"
            "t_bucket{kind=\"x\",le=\"0.5\"} 2\n"
            "t_bucket{kind=\"x\",le=\"1\"} 3\n"
            "t_bucket{kind=\"x\",le=\"2.5\"} 4\n"
            "t_bucket{kind=\"x\",le=\"+Inf\"} 5\n"
            "t_sum{kind=\"x\"} 6.85\n"
            "t_count{kind=\"x\"} 5\n");
}

TEST(MetricTextTest, NumbersAreReadAgainAsTheyWere) {
  const double third = 1.0 / 3;
  const std::string text =
      TextOf({.name = "n", .help = "", .samples = {{.labels = {}, .value = third}}});
  EXPECT_EQ(std::strtod(text.substr(text.rfind(' ')).c_str(), nullptr), third);
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const std::vector<std::pair<double, std::string>> cases = {{0.1, "0.1"},
                                                             {-2, "-2"},
                                                             {123456789012.0, "123456789012"},
                                                             {kInfinity, "+Inf"},
                                                             {-kInfinity, "-Inf"},
                                                             {std::nan(""), "NaN"}};
  for (const auto& [value, expected] : cases) {
    EXPECT_TRUE(TextOf({.name = "n", .help = "", .samples = {{.labels = {}, .value = value}}})
                    .ends_with("n " + expected + "\n"))
        << expected;
  }
}

TEST(MetricRegistryTest, CountsOfManyThreadsAddUp) {
  MetricRegistry registry("m");
  Counter& counter = registry.AddCounter({.name = "c_total", .help = "h"}, {});
  Gauge& gauge = registry.AddGauge({.name = "g", .help = "h", .scope = MetricScope::kServer}, {});
  const std::array bounds = {1.0};
  Histogram& histogram = registry.AddHistogram({.name = "h", .help = "h"}, {}, bounds);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        counter.Increment();
        gauge.Increment(2);
        gauge.Decrement();
        histogram.Observe(i % 2 == 0 ? 0.5 : 1.5);
        if (i % 100 == 0) {
          EXPECT_FALSE(registry.Serialize().empty());
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(registry.Serialize(),
            "# HELP c_total h\n# TYPE c_total counter\nc_total{model=\"m\"} 4000\n"
            "# HELP g h\n# TYPE g gauge\ng 4000\n"
            "# HELP h h\n# TYPE h histogram\n"
            "h_bucket{model=\"m\",le=\"1\"} 2000\nh_bucket{model=\"m\",le=\"+Inf\"} 4000\n"
            "h_sum{model=\"m\"} 4000\nh_count{model=\"m\"} 4000\n");
}

TEST(MetricRegistryTest, SeriesOfOneFamilyStandTogether) {
  MetricRegistry registry("m");
  registry.AddCounter({.name = "a_total", .help = "h"}, {{"x", "1"}});
  registry.AddGauge({.name = "b", .help = "h"}, {});
  registry.AddCounter({.name = "a_total", .help = "h"}, {{"x", "2"}}).Increment(3);
  EXPECT_EQ(registry.Serialize(),
            "# HELP a_total h\n# TYPE a_total counter\n"
            "a_total{model=\"m\",x=\"1\"} 0\na_total{model=\"m\",x=\"2\"} 3\n"
            "# HELP b h\n# TYPE b gauge\nb{model=\"m\"} 0\n");
}

}  // namespace
}  // namespace hadal
