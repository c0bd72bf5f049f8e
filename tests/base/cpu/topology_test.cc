#include "base/cpu/topology.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/test_folder.h"

namespace hadal {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Writes what the kernel says of a CPU.
void AddCpu(const std::string& folder, int id, std::string_view package, std::string_view core) {
  const std::string topology = folder + "/cpu" + std::to_string(id) + "/topology";
  std::filesystem::create_directories(topology);
  std::ofstream(topology + "/physical_package_id") << package;
  std::ofstream(topology + "/core_id") << core;
}

TEST(TopologyTest, CpusAreWhereTheSystemSays) {
  const std::string folder = FreshTestFolder();
  AddCpu(folder, 0, "0\n", "4\n");
  AddCpu(folder, 7, "1\n", "4\n");
  const std::vector<int32_t> ids = {0, 7};
  EXPECT_THAT(ReadCpus(folder, ids),
              ElementsAre(Cpu{.id = 0, .package_id = 0, .core_id = 4},
                          Cpu{.id = 7, .package_id = 1, .core_id = 4}));
}

TEST(TopologyTest, ACpuThatIsNotKnownIsACoreOfItsOwn) {
  const std::string folder = FreshTestFolder();
  AddCpu(folder, 0, "0", "0");
  AddCpu(folder, 1, "-1", "0");
  AddCpu(folder, 2, "0", "zero");
  AddCpu(folder, 3, "0", "99999999999");
  AddCpu(folder, 4, "", "");
  const std::vector<int32_t> ids = {0, 1, 2, 3, 4, 5};
  const std::vector<Cpu> cpus = ReadCpus(folder, ids);
  EXPECT_EQ(NumCores(cpus), 6);
  EXPECT_EQ(CoresFirst(cpus), ids);
}

TEST(TopologyTest, TheFirstOfEachCoreComesFirst) {
  // Two packages of two cores each; siblings lie next to each other in the first package.
  const std::vector<Cpu> cpus = {{.id = 0, .package_id = 0, .core_id = 0},
                                 {.id = 1, .package_id = 0, .core_id = 0},
                                 {.id = 2, .package_id = 0, .core_id = 1},
                                 {.id = 3, .package_id = 0, .core_id = 1},
                                 {.id = 4, .package_id = 1, .core_id = 0},
                                 {.id = 5, .package_id = 1, .core_id = 1},
                                 {.id = 6, .package_id = 1, .core_id = 0},
                                 {.id = 8, .package_id = 0, .core_id = 0}};
  EXPECT_EQ(NumCores(cpus), 4);
  EXPECT_THAT(CoresFirst(cpus), ElementsAre(0, 2, 4, 5, 1, 3, 6, 8));
  EXPECT_EQ(NumCores({}), 0);
  EXPECT_THAT(CoresFirst({}), IsEmpty());
}

TEST(TopologyTest, ThisMachineHasUsableCpus) {
  const std::vector<int32_t> ids = UsableCpuIds();
  ASSERT_FALSE(ids.empty());
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
  EXPECT_GE(ids.front(), 0);
}

}  // namespace
}  // namespace hadal
