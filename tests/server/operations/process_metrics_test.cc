#include "server/operations/process_metrics.h"

#include <ctime>
#include <fcntl.h>
#include <map>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

namespace hadal {
namespace {

std::map<std::string, double> Values() {
  std::map<std::string, double> values;
  for (const MetricFamily& family : ProcessMetrics().Collect()) {
    EXPECT_EQ(family.samples.size(), 1U) << family.name;
    EXPECT_FALSE(family.help.empty());
    const MetricSample& metric = family.samples.at(0);
    values[family.name] = metric.value;
  }
  return values;
}

TEST(ProcessStatTest, FieldsAreFoundWhateverTheName) {
  const auto stat = ParseProcessStat(
      "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 30 12 0 0 20 0 7 0 9000 1000 2000 18446\n");
  ASSERT_TRUE(stat.has_value());
  EXPECT_EQ(stat->cpu_ticks, 42);
  EXPECT_EQ(stat->num_threads, 7);
  EXPECT_EQ(stat->start_ticks, 9000);
}

TEST(ProcessStatTest, OtherTextIsRefused) {
  for (const char* line : {"", "42 (hadal", "42 (hadal) S 1 2 3", "42 (hadal) S x y z 1 1 1 1"}) {
    EXPECT_FALSE(ParseProcessStat(line).has_value()) << line;
  }
}

TEST(ProcessMetricsTest, TheyAreOfThisProcess) {
  const std::map<std::string, double> values = Values();
  EXPECT_GT(values.at("process_resident_memory_bytes"), 1 << 20);
  EXPECT_LE(values.at("process_resident_memory_bytes"), values.at("process_virtual_memory_bytes"));
  EXPECT_GE(values.at("process_threads"), 1);
  EXPECT_GE(values.at("process_cpu_seconds_total"), 0);
  EXPECT_GT(values.at("process_max_fds"), 3);
  const auto now = static_cast<double>(std::time(nullptr));
  EXPECT_LE(values.at("process_start_time_seconds"), now + 1);
  EXPECT_GT(values.at("process_start_time_seconds"), now - 3600);
}

TEST(ProcessMetricsTest, OpenFilesAreCounted) {
  const double before = Values().at("process_open_fds");
  EXPECT_GE(before, 3);
  std::vector<int> files;
  for (int i = 0; i < 10; ++i) {
    files.push_back(open("/dev/null", O_RDONLY));
  }
  EXPECT_EQ(Values().at("process_open_fds"), before + 10);
  for (const int file : files) {
    close(file);
  }
}

}  // namespace
}  // namespace hadal
