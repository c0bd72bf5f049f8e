#include "base/cpu/quota.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "tests/support/test_folder.h"

namespace hadal {
namespace {

class CpuQuotaTest : public testing::Test {
 protected:
  void Write(const std::string& path, std::string_view text) const {
    const std::filesystem::path file = root_ + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }

  const std::string root_ = FreshTestFolder();
};

TEST(ParseCpuMaxTest, QuotaOverPeriod) {
  EXPECT_EQ(ParseCpuMax("150000 100000\n"), 1.5);
  EXPECT_EQ(ParseCpuMax("1000 100000\n"), 0.01);
  EXPECT_EQ(ParseCpuMax("9223372036854775807 1"), 9223372036854775807.0);
  for (const std::string_view text : {"max 100000\n",
                                      "",
                                      " ",
                                      "max",
                                      "100000",
                                      "0 100000",
                                      "-1 100000",
                                      "100000 0",
                                      "100000 -1",
                                      "100000 max",
                                      "1e5 1e5",
                                      "1 2 3",
                                      "99999999999999999999 1"}) {
    EXPECT_EQ(ParseCpuMax(text), std::nullopt) << text;
  }
}

TEST(ParseCfsQuotaTest, QuotaOverPeriod) {
  EXPECT_EQ(ParseCfsQuota("200000\n", "100000\n"), 2.0);
  EXPECT_EQ(ParseCfsQuota("-1\n", "100000\n"), std::nullopt);
  EXPECT_EQ(ParseCfsQuota("200000\n", "0\n"), std::nullopt);
  EXPECT_EQ(ParseCfsQuota("", "100000\n"), std::nullopt);
  EXPECT_EQ(ParseCfsQuota("many", "100000\n"), std::nullopt);
}

TEST(ParseCgroupPathsTest, PathsOfBothVersions) {
  const CgroupPaths both =
      ParseCgroupPaths("12:pids:/a\n4:cpu,cpuacct:/b/c\n1:name=systemd:/d\n0::/e:f\n");
  EXPECT_EQ(both.cpu, "/b/c");
  EXPECT_EQ(both.unified, "/e:f");
  EXPECT_EQ(ParseCgroupPaths("2:cpuacct,cpu:/x").cpu, "/x");
}

TEST(ParseCgroupPathsTest, OtherLinesArePassedOver) {
  for (const std::string_view text :
       {"", "\n\n", ":", "::", "0:", "0::", "0::relative", "1::/a", "3:cpuset:/a", "cpu:/a"}) {
    const CgroupPaths paths = ParseCgroupPaths(text);
    EXPECT_EQ(paths.cpu + paths.unified, "") << text;
  }
}

TEST_F(CpuQuotaTest, TheTightestGroupOnTheWayToTheRootCounts) {
  Write("/proc/self/cgroup", "0::/pod/container\n");
  Write("/sys/fs/cgroup/pod/container/cpu.max", "max 100000\n");
  EXPECT_EQ(ReadCpuQuota(root_), std::nullopt);
  Write("/sys/fs/cgroup/pod/cpu.max", "250000 100000\n");
  EXPECT_EQ(ReadCpuQuota(root_), 2.5);
  Write("/sys/fs/cgroup/pod/container/cpu.max", "300000 100000\n");
  EXPECT_EQ(ReadCpuQuota(root_), 2.5);
  Write("/sys/fs/cgroup/pod/container/cpu.max", "100000 100000\n");
  EXPECT_EQ(ReadCpuQuota(root_), 1.0);
}

TEST_F(CpuQuotaTest, AContainerFindsItsOwnGroupAtTheRoot) {
  Write("/sys/fs/cgroup/cpu.max", "400000 100000\n");
  for (const std::string_view path : {"/", "/docker/0123", "/../../other", "/.."}) {
    Write("/proc/self/cgroup", "0::" + std::string(path) + "\n");
    EXPECT_EQ(ReadCpuQuota(root_), 4.0) << path;
  }
}

TEST_F(CpuQuotaTest, TheFirstVersionHasTwoFiles) {
  Write("/proc/self/cgroup", "4:cpu,cpuacct:/a\n0::/\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "150000\n");
  EXPECT_EQ(ReadCpuQuota(root_), std::nullopt);
  Write("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(ReadCpuQuota(root_), 1.5);
  Write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
  Write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(ReadCpuQuota(root_), 0.5);
}

TEST_F(CpuQuotaTest, NoLimitWhereNothingIsKnown) {
  EXPECT_EQ(ReadCpuQuota(root_), std::nullopt);
  Write("/proc/self/cgroup", std::string("0::") + std::string(5000, '/') + "\n\0\xff:");
  EXPECT_EQ(ReadCpuQuota(root_), std::nullopt);
}

}  // namespace
}  // namespace hadal
