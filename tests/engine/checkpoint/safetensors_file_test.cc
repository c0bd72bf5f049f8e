#include "engine/checkpoint/safetensors_file.h"

#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/checkpoint_writer.h"

namespace hadal {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

absl::StatusOr<std::vector<TensorEntry>> Parse(const std::string& bytes) {
  ASSIGN_OR_RETURN(SafetensorsHeader header,
                   ParseSafetensorsHeader(std::as_bytes(std::span(bytes)), bytes.size()));
  return std::move(header.tensors);
}

TEST(SafetensorsFileTest, ListsTensorsInTheOrderOfTheirData) {
  const std::string header = R"({"__metadata__": {"format": "pt"},
      "b": {"dtype": "F32", "shape": [1], "data_offsets": [6, 10]},
      "a": {"dtype": "BF16", "shape": [3, 1], "data_offsets": [0, 6]}} )";
  const auto entries = Parse(SafetensorsBytes(header, std::string(10, 'x')));
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_EQ(entries->size(), 2U);
  EXPECT_EQ((*entries)[0].name, "a");
  EXPECT_EQ((*entries)[0].dtype, DType::kBf16);
  EXPECT_THAT((*entries)[0].shape, ElementsAre(3, 1));
  EXPECT_EQ((*entries)[0].begin, 8 + header.size());
  EXPECT_EQ((*entries)[1].name, "b");
  EXPECT_EQ((*entries)[1].end, 8 + header.size() + 10);
}

TEST(SafetensorsFileTest, AcceptsEmptyFilesScalarsAndTensorsWithoutElements) {
  EXPECT_TRUE(Parse(SafetensorsBytes("{}", "")).ok());
  const auto entries = Parse(SafetensorsBytes(R"({
      "z2": {"dtype": "F32", "shape": [0, 9223372036854775807], "data_offsets": [4, 4]},
      "s": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]},
      "z1": {"dtype": "I64", "shape": [0], "data_offsets": [0, 0]}})",
                                              "abcd"));
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_EQ(entries->size(), 3U);
}

TEST(SafetensorsFileTest, ReadsOnlyTheHeaderOfThePrefix) {
  const std::string bytes =
      SafetensorsBytes(R"({"a": {"dtype": "U8", "shape": [1000], "data_offsets": [0, 1000]}})", "");
  const auto prefix = std::as_bytes(std::span(bytes));
  EXPECT_TRUE(ParseSafetensorsHeader(prefix, bytes.size() + 1000).ok());
  EXPECT_FALSE(ParseSafetensorsHeader(prefix.first(20), bytes.size() + 1000).ok());
}

TEST(SafetensorsFileTest, OpensAFileAndExposesItsBytesWhereverItMoves) {
  const std::string folder = WriteFolder({{"x.safetensors",
                                           SafetensorsBytes(R"({"__metadata__": {"format": "pt"},
                             "a": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]}})",
                                                            "abc")}});
  auto opened = SafetensorsFile::Open(folder + "/x.safetensors");
  ASSERT_TRUE(opened.ok()) << opened.status();
  const SafetensorsFile file = *std::move(opened);
  ASSERT_EQ(file.tensors.size(), 1U);
  EXPECT_EQ(file.tensors[0].file, folder + "/x.safetensors");
  ASSERT_EQ(file.tensors[0].data.size(), 3U);
  EXPECT_EQ(std::memcmp(file.tensors[0].data.data(), "abc", 3), 0);
  EXPECT_THAT(file.metadata, ElementsAre(testing::Pair("format", "pt")));
}

TEST(SafetensorsFileTest, ErrorsNameTheFile) {
  const std::string folder = WriteFolder({{"bad.safetensors", "1234567"}});
  const auto file = SafetensorsFile::Open(folder + "/bad.safetensors");
  EXPECT_THAT(std::string(MessageOf(file.status())), HasSubstr("bad.safetensors: 7 bytes"));
}

TEST(SafetensorsFileTest, ManyTensorsAreFast) {
  std::string header = "{";
  constexpr int kNumTensors = 100'000;
  for (int i = 0; i < kNumTensors; ++i) {
    header += absl::StrFormat(
        R"(%s"t%d":{"dtype":"U8","shape":[1],"data_offsets":[%d,%d]})", i ? "," : "", i, i, i + 1);
  }
  const std::string bytes = SafetensorsBytes(header + "}", std::string(kNumTensors, 'x'));
  const auto entries = Parse(bytes);  // a quadratic check would run into the test's time limit
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_EQ(entries->size(), static_cast<size_t>(kNumTensors));
}

}  // namespace
}  // namespace hadal
