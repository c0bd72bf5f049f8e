#include "engine/checkpoint/generation_config.h"

#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/test_folder.h"

namespace hadal {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

absl::StatusOr<std::vector<int32_t>> Read(const std::string& json) {
  const std::string dir = FreshTestFolder();
  std::ofstream(dir + "/generation_config.json") << json;
  return ReadGenerationEosTokenIds(dir);
}

TEST(GenerationConfigTest, ReadsOneIdOrAList) {
  EXPECT_THAT(*Read(R"({"eos_token_id": 1, "top_p": 0.95})"), ElementsAre(1));
  EXPECT_THAT(*Read(R"({"eos_token_id": [2, 2147483647]})"), ElementsAre(2, 2147483647));
  EXPECT_THAT(*Read(R"({"eos_token_id": null})"), IsEmpty());
  EXPECT_THAT(*Read("{}"), IsEmpty());
  EXPECT_THAT(*ReadGenerationEosTokenIds("/nonexistent"), IsEmpty());
}

TEST(GenerationConfigTest, RefusesAndNamesTheFile) {
  for (const char* json : {"[]",
                           "{",
                           R"({"eos_token_id": "</s>"})",
                           R"({"eos_token_id": -1})",
                           R"({"eos_token_id": 2147483648})",
                           R"({"eos_token_id": [1, "</s>"]})",
                           R"({"eos_token_id": [1, 2147483648]})"}) {
    const absl::Status status = Read(json).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << json;
    EXPECT_THAT(std::string(status.message()), HasSubstr("generation_config.json")) << json;
  }
}

}  // namespace
}  // namespace hadal
