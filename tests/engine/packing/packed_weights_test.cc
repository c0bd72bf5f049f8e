// A packed file is used when it is what this checkpoint needs, and made again when it is anything
// else; no file that can or cannot be there changes the weights.

#include "engine/packing/packed_weights.h"

#include <cstring>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/mapped_file.h"
#include "engine/checkpoint/stored_matrix.h"
#include "engine/packing/kv_up_part.h"
#include "kernels/quantization/panels.h"
#include "tests/support/checkpoint_writer.h"

namespace hadal {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using Origin = PackedWeights::Origin;
using FileCheck = PackedWeights::FileCheck;

constexpr const char* kOutput = "model.layers.0.self_attn.o_proj.weight";

std::string Read(const std::string& path) {
  const auto text = ReadTextFile(path, size_t{1} << 24U);
  CHECK(text.ok());
  return *text;
}

void Write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// Some matrices of different values, not all ones.
TestCheckpoint VariedCheckpoint() {
  TestCheckpoint files = MakeTestCheckpoint(TinyConfig());
  std::string& data = files.Get(kOutput).data;
  for (size_t i = 0; i < data.size(); ++i) {
    data[i] = static_cast<char>(0x20 + i % 40);  // fp8, 2^-3 to 2^2
  }
  return files;
}

class PackedWeightsTest : public testing::Test {
 protected:
  PackedWeightsTest() : folder_(WriteFolder(ToFiles(VariedCheckpoint()))) { Reopen(); }

  void Reopen() {
    auto checkpoint = Checkpoint::Open(folder_);
    CHECK(checkpoint.ok());
    checkpoint_.emplace(*std::move(checkpoint));
  }

  absl::StatusOr<PackedWeights> Load(const std::string& folder, FileCheck check) {
    reports_.clear();
    testing::internal::CaptureStderr();
    auto weights = PackedWeights::Load(
        {.checkpoint = *checkpoint_,
         .packing = packing_,
         .folder = folder,
         .check = check,
         .pool = pool_,
         .progress = [this](int64_t done_bytes) { reports_.push_back(done_bytes); }});
    log_ = testing::internal::GetCapturedStderr();
    return weights;
  }

  // Loads from the checkpoint's folder; the weights must be right wherever they come from.
  void ExpectLoad(FileCheck check, Origin origin) {
    const auto weights = Load(folder_, check);
    ASSERT_TRUE(weights.ok()) << weights.status();
    EXPECT_EQ(weights->origin(), origin);
    ExpectRight(*weights);
  }

  void ExpectRight(const PackedWeights& weights) {
    const PackedLayout layout = MakePackedLayout(checkpoint_->config(), packing_);
    EXPECT_EQ(weights.size_bytes(), layout.total_bytes);
    std::vector<DeviceBuffer> copies;
    for (const PackedMatrix& matrix : layout.matrices) {
      const WeightMatrix* const packed = weights.Find(matrix.name);
      ASSERT_NE(packed, nullptr) << matrix.name;
      auto source = StoredMatrix(*checkpoint_, matrix.source, copies);
      ASSERT_TRUE(source.ok());
      if (matrix.part != PackedPart::kWhole) {
        source = KvUpPart(*source, matrix.part, checkpoint_->config(), copies);
        ASSERT_TRUE(source.ok());
      }
      std::vector<std::byte> panel(static_cast<size_t>(matrix.panel_bytes()));
      std::vector<float> row(static_cast<size_t>(matrix.cols));
      for (int64_t i = 0; i < matrix.num_panels(); ++i) {
        ASSERT_TRUE(QuantizePanel(*source, i, matrix.format, row.data(), panel.data()));
        EXPECT_EQ(
            std::memcmp(static_cast<const std::byte*>(packed->payload) + i * matrix.panel_bytes(),
                        panel.data(),
                        panel.size()),
            0)
            << matrix.name;
      }
    }
    EXPECT_EQ(weights.Find("model.embed_tokens.weight"), nullptr);
  }

  // Breaks the file by `edit` and expects that it is noticed, with this reason, and mended.
  void ExpectRebuilt(const std::function<void(std::string& file)>& edit,
                     FileCheck check,
                     const std::string& reason) {
    SCOPED_TRACE(reason);
    ExpectLoad(FileCheck::kWhole, Origin::kNewFile);
    const std::string good = Read(path_);
    std::string bad = good;
    edit(bad);
    ASSERT_NE(bad, good);
    Write(path_, bad);
    ExpectLoad(check, Origin::kNewFile);
    EXPECT_THAT(log_, HasSubstr(reason));
    EXPECT_EQ(Read(path_), good);
    std::filesystem::remove(path_);
  }

  const std::string folder_;
  const std::string path_ = folder_ + "/hadal-int8.packed";
  WeightPacking packing_ = WeightPacking::kInt8;
  std::optional<Checkpoint> checkpoint_;
  ThreadPool pool_{3};
  std::vector<int64_t> reports_;
  std::string log_;
};

void Replace(std::string& text, const std::string& from, const std::string& to) {
  const size_t place = text.find(from);
  CHECK(place != std::string::npos && from.size() == to.size());
  text.replace(place, from.size(), to);
}

TEST_F(PackedWeightsTest, TheSecondLoadUsesTheFileOfTheFirst) {
  for (const WeightPacking packing : {WeightPacking::kInt8, WeightPacking::kInt4}) {
    packing_ = packing;
    ExpectLoad(FileCheck::kWhole, Origin::kNewFile);
    ExpectLoad(FileCheck::kWhole, Origin::kFile);
    EXPECT_THAT(log_, IsEmpty());
    ExpectLoad(FileCheck::kHeader, Origin::kFile);
    EXPECT_THAT(reports_, IsEmpty());
  }
  EXPECT_TRUE(Exists(path_));
  EXPECT_TRUE(Exists(folder_ + "/hadal-int4.packed"));
  Reopen();  // the packed files are none of the checkpoint's
}

TEST_F(PackedWeightsTest, ProgressRisesToAllBytes) {
  const int64_t total = MakePackedLayout(checkpoint_->config(), packing_).total_bytes;
  for (const Origin origin : {Origin::kNewFile, Origin::kFile}) {
    ExpectLoad(FileCheck::kWhole, origin);
    ASSERT_FALSE(reports_.empty());
    EXPECT_TRUE(std::is_sorted(reports_.begin(), reports_.end()));
    EXPECT_EQ(reports_.back(), total);
  }
}

TEST_F(PackedWeightsTest, TheFileIsASafetensorsFileWithAlignedData) {
  ExpectLoad(FileCheck::kWhole, Origin::kNewFile);
  const auto file = SafetensorsFile::Open(path_);
  ASSERT_TRUE(file.ok()) << file.status();
  const PackedLayout layout = MakePackedLayout(checkpoint_->config(), packing_);
  ASSERT_EQ(file->tensors.size(), layout.matrices.size());
  EXPECT_EQ(file->tensors[0].name, "lm_head.weight");
  EXPECT_EQ((file->tensors[0].data.data() - file->file.bytes().data()) % 4096, 0);
}

TEST_F(PackedWeightsTest, AnyThreadsPackTheSameBytes) {
  ExpectLoad(FileCheck::kWhole, Origin::kNewFile);
  const std::string of_three = Read(path_);
  std::filesystem::remove(path_);
  ThreadPool one(1);
  const auto ignore = [](int64_t /*done_bytes*/) {};
  ASSERT_TRUE(PackedWeights::Load({.checkpoint = *checkpoint_,
                                   .packing = packing_,
                                   .folder = folder_,
                                   .check = FileCheck::kWhole,
                                   .pool = one,
                                   .progress = ignore})
                  .ok());
  EXPECT_EQ(Read(path_), of_three);
}

TEST_F(PackedWeightsTest, DamagedFilesAreMadeAgain) {
  const auto header_only = FileCheck::kHeader;
  ExpectRebuilt([](std::string& file) { file.clear(); }, header_only, "too few");
  ExpectRebuilt([](std::string& file) { file.resize(5000); }, header_only, "header of");
  ExpectRebuilt([](std::string& file) { file.pop_back(); }, header_only, "data bytes");
  ExpectRebuilt([](std::string& file) { file += "x"; }, header_only, "data bytes");
  ExpectRebuilt([](std::string& file) { file[9] = '}'; }, header_only, "header");
  ExpectRebuilt([](std::string& file) { std::fill(file.begin(), file.end(), '\xFF'); },
                header_only,
                "header of");
  ExpectRebuilt(
      [](std::string& file) { Replace(file, "lm_head", "lm_heat"); }, header_only, "is where");
  ExpectRebuilt([](std::string& file) { Replace(file, "\"shape\":[3,", "\"shape\":[1,"); },
                header_only,
                "byte count");
  const auto break_checksum = [](std::string& file) {
    const std::string key = "\"checksum\":\"";
    file[file.find(key) + key.size()] = 'g';
  };
  ExpectRebuilt(break_checksum, header_only, "it has no checksum");
}

TEST_F(PackedWeightsTest, EveryBitOfTheDataCounts) {
  for (const double share : {0.0, 0.3, 0.7, 1.0}) {
    ExpectRebuilt(
        [share](std::string& file) {
          const size_t begin = file.find("}}") / 4096 * 4096 + 4096;
          const auto place =
              begin + static_cast<size_t>(share * static_cast<double>(file.size() - 1 - begin));
          file[place] = static_cast<char>(file[place] ^ 1);
        },
        FileCheck::kWhole,
        "its data is damaged");
  }
}

TEST_F(PackedWeightsTest, FilesOfOtherVersionsAndFormatsAreMadeAgain) {
  ExpectRebuilt(
      [](std::string& file) {
        Replace(file, "\"hadal_packing_version\":\"2\"", "\"hadal_packing_version\":\"0\"");
      },
      FileCheck::kHeader,
      "another version");
  ExpectRebuilt([](std::string& file) { Replace(file, "\"int8\"", "\"int4\""); },
                FileCheck::kHeader,
                "does not hold int8 weights");
  ExpectRebuilt(
      [this](std::string& file) { file = Read(folder_ + "/model-00001-of-00002.safetensors"); },
      FileCheck::kHeader,
      "another version");
}

// The file of a checkpoint with other shapes, whose name and identity are made to agree.
TEST_F(PackedWeightsTest, OtherShapesAreRefusedWhateverTheMetadataSays) {
  const auto identity_of = [](const std::string& file) {
    const std::string key = "\"source\":\"";
    return file.substr(file.find(key) + key.size(), 16);
  };
  ExpectLoad(FileCheck::kWhole, Origin::kNewFile);
  const std::string ours = Read(path_);
  boost::json::object other = TinyConfig();
  other["intermediate_size"] = 300;
  for (const auto& [name, bytes] : ToFiles(MakeTestCheckpoint(other))) {
    Write(folder_ + "/" + name, bytes);
  }
  Reopen();
  ExpectLoad(FileCheck::kWhole, Origin::kNewFile);
  std::string theirs = Read(path_);
  Replace(theirs, identity_of(theirs), identity_of(ours));
  for (const auto& [name, bytes] : ToFiles(VariedCheckpoint())) {
    const auto time = std::filesystem::last_write_time(folder_ + "/" + name);
    Write(folder_ + "/" + name, bytes);
    std::filesystem::last_write_time(folder_ + "/" + name, time);
  }
  Reopen();
  ExpectLoad(FileCheck::kWhole, Origin::kNewFile);
  Replace(theirs, identity_of(theirs), identity_of(Read(path_)));
  Write(path_, theirs);
  ExpectLoad(FileCheck::kHeader, Origin::kNewFile);
  EXPECT_THAT(log_, HasSubstr("is not U8 ["));
}

TEST_F(PackedWeightsTest, AChangedCheckpointIsNoticed) {
  const std::string shard = folder_ + "/model-00002-of-00002.safetensors";
  const std::string config = folder_ + "/config.json";
  const std::vector<std::function<void()>> changes = {
      [&] { Write(config, Read(config) + "\n"); },
      [&] {
        std::filesystem::last_write_time(
            shard, std::filesystem::last_write_time(shard) + std::chrono::seconds(2));
      },
      [&] {  // the same time, other weights
        const auto time = std::filesystem::last_write_time(shard);
        std::string bytes = Read(shard);
        bytes.back() = static_cast<char>(bytes.back() ^ 1);
        Write(shard, bytes);
        std::filesystem::last_write_time(shard, time);
      }};
  ExpectLoad(FileCheck::kWhole, Origin::kNewFile);
  for (const auto& change : changes) {
    change();
    Reopen();
    ExpectLoad(FileCheck::kHeader, Origin::kNewFile);
    EXPECT_THAT(log_, HasSubstr("the checkpoint has changed"));
    ExpectLoad(FileCheck::kHeader, Origin::kFile);
  }
}

TEST_F(PackedWeightsTest, FoldersThatCannotBeWrittenCostAWarning) {
  for (const std::string& folder :
       {folder_ + "/config.json", std::string("/proc"), folder_ + "/no"}) {
    const auto weights = Load(folder, FileCheck::kWhole);
    ASSERT_TRUE(weights.ok()) << weights.status();
    EXPECT_EQ(weights->origin(), Origin::kMemory);
    ExpectRight(*weights);
    EXPECT_THAT(log_, HasSubstr("kept in memory alone")) << folder;
  }
  EXPECT_FALSE(Exists(path_));
}

TEST_F(PackedWeightsTest, WithoutAFolderNothingIsSaid) {
  const auto weights = Load("", FileCheck::kWhole);
  ASSERT_TRUE(weights.ok());
  EXPECT_EQ(weights->origin(), Origin::kMemory);
  ExpectRight(*weights);
  EXPECT_THAT(log_, IsEmpty());
}

TEST_F(PackedWeightsTest, WeightsThatAreNotFiniteAreRefusedByName) {
  TestCheckpoint files = VariedCheckpoint();
  files.Get(kOutput).data[7] = '\x7F';  // NaN in fp8
  for (const auto& [name, bytes] : ToFiles(files)) {
    Write(folder_ + "/" + name, bytes);
  }
  Reopen();
  for (const std::string& folder : {folder_, std::string()}) {
    const auto weights = Load(folder, FileCheck::kWhole);
    EXPECT_TRUE(absl::IsInvalidArgument(weights.status()));
    EXPECT_THAT(std::string(MessageOf(weights.status())), HasSubstr(kOutput));
  }
  EXPECT_FALSE(Exists(path_));
  EXPECT_FALSE(Exists(path_ + ".partial"));
}

TEST_F(PackedWeightsTest, ATiedHeadIsMadeFromTheEmbedding) {
  boost::json::object config = TinyConfig();
  config["tie_word_embeddings"] = true;
  TestCheckpoint files = MakeTestCheckpoint(config);
  files.Remove("lm_head.weight");
  for (const auto& [name, bytes] : ToFiles(files)) {
    Write(folder_ + "/" + name, bytes);
  }
  Reopen();
  ExpectLoad(FileCheck::kWhole, Origin::kNewFile);
}

}  // namespace
}  // namespace hadal
