// Every way in which a checkpoint can be wrong must end in a Status that names the place.

#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <ostream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/weight_map.h"
#include "tests/support/checkpoint_writer.h"

namespace hadal {
namespace {

using testing::HasSubstr;

constexpr const char* kShard1 = "model-00001-of-00002.safetensors";
constexpr const char* kShard2 = "model-00002-of-00002.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr const char* kOutput = "model.layers.0.self_attn.o_proj.weight";
constexpr const char* kOutputScale = "model.layers.0.self_attn.o_proj.weight_scale_inv";
constexpr const char* kNorm = "model.norm.weight";
constexpr const char* kExpert = "model.layers.1.mlp.experts.3.up_proj.weight";
constexpr const char* kBias = "model.layers.1.mlp.gate.e_score_correction_bias";

void ExpectRefused(const std::string& folder, const std::vector<std::string>& message_parts) {
  const auto checkpoint = Checkpoint::Open(folder);
  ASSERT_FALSE(checkpoint.ok());
  const absl::StatusCode code = checkpoint.status().code();
  EXPECT_TRUE(code == absl::StatusCode::kInvalidArgument || code == absl::StatusCode::kNotFound ||
              code == absl::StatusCode::kUnimplemented)
      << checkpoint.status();
  for (const std::string& part : message_parts) {
    EXPECT_THAT(std::string(MessageOf(checkpoint.status())), HasSubstr(part));
  }
}

std::string TestName(const auto& info) {
  return info.param.name;
}

// Replaces the tensor by one of ones.
void Replace(TestCheckpoint& checkpoint,
             const std::string& name,
             DType dtype,
             std::vector<int64_t> shape) {
  checkpoint.Get(name) = MakeTestTensor(name, dtype, std::move(shape));
}

void SetScale(TestCheckpoint& checkpoint, float value) {
  std::string& data = checkpoint.Get(kOutputScale).data;
  std::memcpy(data.data() + 8, &value, sizeof(value));
}

boost::json::object& WeightMapOf(TestCheckpoint& checkpoint) {
  return checkpoint.index.at("weight_map").as_object();
}

// --- Whole files with the wrong tensors in them.

struct WrongTensors {
  const char* name;
  std::function<void(TestCheckpoint&)> edit;
  std::vector<std::string> message_parts;

  // How the test is listed.
  friend void PrintTo(const WrongTensors& param, std::ostream* out) { *out << param.name; }
};

class WrongTensorsTest : public testing::TestWithParam<WrongTensors> {};

TEST_P(WrongTensorsTest, IsRefused) {
  TestCheckpoint checkpoint = MakeTestCheckpoint(TinyConfig());
  GetParam().edit(checkpoint);
  ExpectRefused(WriteFolder(ToFiles(checkpoint)), GetParam().message_parts);
}

const WrongTensors kWrongTensors[] = {
    {"MissingNorm", [](auto& c) { c.Remove(kNorm); }, {kNorm, "missing, expected shape [24]"}},
    {"MissingExpert", [](auto& c) { c.Remove(kExpert); }, {kExpert, "missing"}},
    {"MissingHead", [](auto& c) { c.Remove("lm_head.weight"); }, {"lm_head.weight", "missing"}},
    {"MissingGateBias", [](auto& c) { c.Remove(kBias); }, {kBias, "missing"}},
    {"PartOfTheMtpLayerMissing",
     [](auto& c) { c.Remove("model.layers.2.eh_proj.weight"); },
     {"model.layers.2.eh_proj.weight", "missing"}},
    {"OnlyTheMtpTablesLeft",
     [](auto& c) {
       const auto config = ParseModelConfig(c.config);
       for (const ExpectedTensor& tensor : ListExpectedTensors(*config)) {
         if (tensor.layer == 2 && tensor.presence == TensorPresence::kRequired) {
           c.Remove(tensor.name);
         }
       }
     },
     {"model.layers.2.enorm.weight", "missing", "more problems"}},
    {"MostMissing",
     [](auto& c) {
       while (c.shards[1].tensors.size() > 1) {
         c.Remove(std::string(c.shards[1].tensors.back().name));
       }
     },
     {"missing", "more problems"}},
    {"UnknownTensor",
     [](auto& c) { c.Add("model.layers.0.self_attn.q_bias", DType::kBf16, {4}); },
     {kShard2, "model.layers.0.self_attn.q_bias", "not a tensor of this model"}},
    {"LayerBeyondTheConfig",
     [](auto& c) { c.Add("model.layers.3.input_layernorm.weight", DType::kBf16, {24}); },
     {"model.layers.3.input_layernorm.weight", "not a tensor of this model"}},
    {"MtpLayerThatTheConfigDenies",
     [](auto& c) { c.config["num_nextn_predict_layers"] = 0; },
     {"model.layers.2.", "not a tensor of this model", "more problems"}},
    {"ExpertBeyondTheConfig",
     [](auto& c) {
       c.Add("model.layers.1.mlp.experts.4.up_proj.weight", DType::kBf16, {10, 24});
     },
     {"mlp.experts.4.up_proj.weight", "not a tensor of this model"}},
    {"FusedExperts",
     [](auto& c) {
       c.Add("model.layers.1.mlp.experts.gate_up_proj", DType::kBf16, {4, 20, 24});
     },
     {kShard2, "model.layers.1.mlp.experts.gate_up_proj", "fused", "not supported"}},
    {"FusedDownProjections",
     [](auto& c) {
       c.Add("model.layers.1.mlp.experts.down_proj", DType::kBf16, {4, 24, 10});
     },
     {"model.layers.1.mlp.experts.down_proj", "fused"}},
    {"TransposedMatrix",
     [](auto& c) {
       Replace(c, kExpert, DType::kFp8E4m3, {24, 10});
     },
     {kShard2, kExpert, "expected shape [10, 24], found [24, 10]"}},
    {"ExtraRow",
     [](auto& c) {
       Replace(c, "lm_head.weight", DType::kBf16, {41, 24});
     },
     {kShard1, "lm_head.weight", "expected shape [40, 24], found [41, 24]"}},
    {"WrongRank",
     [](auto& c) {
       Replace(c, kNorm, DType::kBf16, {24, 1});
     },
     {kNorm, "expected shape [24], found [24, 1]"}},
    {"ScalarForVector",
     [](auto& c) { Replace(c, kNorm, DType::kBf16, {}); },
     {kNorm, "expected shape [24], found []"}},
    {"EmptyTensor",
     [](auto& c) { Replace(c, kNorm, DType::kBf16, {0}); },
     {kNorm, "expected shape [24], found [0]"}},
    {"IntegerMatrix",
     [](auto& c) {
       Replace(c, kExpert, DType::kI8, {10, 24});
     },
     {kExpert, "expected dtype F8_E4M3, BF16, F16 or F32, found I8"}},
    {"Fp8Norm",
     [](auto& c) { Replace(c, kNorm, DType::kFp8E4m3, {24}); },
     {kNorm, "expected dtype BF16, F16 or F32, found F8_E4M3"}},
    {"Fp8Embedding",
     [](auto& c) {
       Replace(c, "model.embed_tokens.weight", DType::kFp8E4m3, {40, 24});
     },
     {"model.embed_tokens.weight", "found F8_E4M3"}},
    {"Fp8Router",
     [](auto& c) {
       Replace(c, "model.layers.1.mlp.gate.weight", DType::kFp8E4m3, {4, 24});
     },
     {"model.layers.1.mlp.gate.weight", "found F8_E4M3"}},
    {"Fp8MtpProjection",
     [](auto& c) {
       Replace(c, "model.layers.2.eh_proj.weight", DType::kFp8E4m3, {24, 48});
     },
     {"model.layers.2.eh_proj.weight", "found F8_E4M3"}},
    {"IntegerGateBias",
     [](auto& c) { Replace(c, kBias, DType::kI32, {4}); },
     {kBias, "expected dtype BF16, F16 or F32, found I32"}},
    {"Fp8WithoutQuantizationConfig",
     [](auto& c) { c.config.erase("quantization_config"); },
     {"expected dtype BF16, F16 or F32, found F8_E4M3", "more problems"}},
    {"Fp8WithoutScale",
     [](auto& c) { c.Remove(kOutputScale); },
     {kShard1, kOutput, "F8_E4M3 without its scale", kOutputScale}},
    {"ScaleWithoutFp8",
     [](auto& c) {
       Replace(c, kOutput, DType::kBf16, {24, 10});
     },
     {kOutputScale, "a scale, but", "is not F8_E4M3"}},
    {"ScaleOfAMissingMatrix",
     [](auto& c) { c.Remove(kOutput); },
     {kOutput, "missing", kOutputScale, "a scale, but"}},
    {"ScaleUnderTheV4Name",
     [](auto& c) {
       c.Remove(kOutputScale);
       c.Add("model.layers.0.self_attn.o_proj.scale", DType::kF32, {3, 2});
     },
     {"without its scale", "o_proj.scale\": not a tensor of this model"}},
    {"ScaleRoundedDown",
     [](auto& c) {
       Replace(c, kOutputScale, DType::kF32, {3, 1});
     },
     {kOutputScale, "expected shape [3, 2], found [3, 1]"}},
    {"ScaleTransposed",
     [](auto& c) {
       Replace(c, kOutputScale, DType::kF32, {2, 3});
     },
     {kOutputScale, "expected shape [3, 2], found [2, 3]"}},
    {"ScaleInBf16",
     [](auto& c) {
       Replace(c, kOutputScale, DType::kBf16, {3, 2});
     },
     {kOutputScale, "expected dtype F32, found BF16"}},
    {"ScaleInE8m0",
     [](auto& c) {
       Replace(c, kOutputScale, DType::kE8m0, {3, 2});
     },
     {kOutputScale, "expected dtype F32, found F8_E8M0"}},
    {"ScaleNan",
     [](auto& c) { SetScale(c, std::numeric_limits<float>::quiet_NaN()); },
     {kShard1, kOutputScale, "scale 2 is nan"}},
    {"ScaleInfinite",
     [](auto& c) { SetScale(c, std::numeric_limits<float>::infinity()); },
     {kOutputScale, "scale 2 is inf"}},
    {"ScaleNegative", [](auto& c) { SetScale(c, -1); }, {kOutputScale, "scale 2 is -1"}},
    {"WrongHiddenSizeInTheConfig",
     [](auto& c) { c.config["hidden_size"] = 26; },
     {"expected shape [40, 26], found [40, 24]", "more problems"}},
    {"OtherBlockSizeInTheConfig",
     [](auto& c) {
       c.config["quantization_config"].as_object()["weight_block_size"] = {128, 128};
     },
     {"weight_scale_inv", "expected shape [1, 1]"}},
    {"UnknownModelType",
     [](auto& c) { c.config["model_type"] = "llama"; },
     {"config.json", "model_type", "llama"}},
    {"ConfigTypeError",
     [](auto& c) { c.config["hidden_size"] = "abc"; },
     {"config.json", "hidden_size: expected an integer", "found \"abc\""}},
    {"ConfigWithoutASize",
     [](auto& c) { c.config.erase("kv_lora_rank"); },
     {"config.json", "kv_lora_rank: ", "found nothing"}},
    {"UnsupportedQuantization",
     [](auto& c) {
       c.config["quantization_config"] = {{"quant_method", "awq"}};
     },
     {"config.json", "quantization_config.quant_method", "awq"}},
    {"TensorInTheWrongShard",
     [](auto& c) { WeightMapOf(c)[kNorm] = kShard2; },
     {kShard1, kNorm, "the index says that it is in", kShard2}},
    {"TensorInTwoShards",
     [](auto& c) { c.shards[1].tensors.push_back(c.Get(kNorm)); },
     {kShard2, kNorm, "the index says that it is in", kShard1}},
    {"TensorOutsideTheIndex",
     [](auto& c) { WeightMapOf(c).erase(kNorm); },
     {kShard1, kNorm, "not in the index"}},
    {"IndexOfAMissingTensor",
     [](auto& c) { WeightMapOf(c)["ghost"] = kShard1; },
     {kIndex, "ghost", "not in model-00001"}},
    {"IndexOfAMissingShard",
     [](auto& c) { WeightMapOf(c)["ghost"] = "model-00003-of-00002.safetensors"; },
     {"model-00003-of-00002.safetensors", "no such file"}},
    {"ShardNameWithAFolder",
     [](auto& c) { WeightMapOf(c)[kNorm] = "sub/model.safetensors"; },
     {kIndex, kNorm, "plain name", "sub/model.safetensors"}},
    {"ShardNameAboveTheFolder",
     [](auto& c) { WeightMapOf(c)[kNorm] = "../model.safetensors"; },
     {kIndex, kNorm, "plain name"}},
    {"ShardNameAbsolute",
     [](auto& c) { WeightMapOf(c)[kNorm] = "/etc/model.safetensors"; },
     {kIndex, kNorm, "plain name"}},
    {"ShardNameDots",
     [](auto& c) { WeightMapOf(c)[kNorm] = "..safetensors"; },
     {kIndex, kNorm, "plain name"}},
    {"ShardNameWithNul",
     [](auto& c) { WeightMapOf(c)[kNorm] = std::string_view("a\0.safetensors", 14); },
     {kIndex, kNorm, "plain name"}},
    {"ShardNameOfAnotherFormat",
     [](auto& c) { WeightMapOf(c)[kNorm] = "pytorch_model.bin"; },
     {kIndex, kNorm, "pytorch_model.bin"}},
    {"ShardNameEmpty", [](auto& c) { WeightMapOf(c)[kNorm] = ""; }, {kIndex, kNorm}},
    {"ShardNameNumber",
     [](auto& c) { WeightMapOf(c)[kNorm] = 1; },
     {kIndex, kNorm, "expected a file name, found 1"}},
    {"IndexWithoutWeightMap",
     [](auto& c) { c.index.erase("weight_map"); },
     {kIndex, "weight_map: ", "found nothing"}},
    {"IndexOfNothing", [](auto& c) { WeightMapOf(c).clear(); }, {kIndex, "weight_map: "}},
    {"WeightMapArray",
     [](auto& c) {
       c.index["weight_map"] = {1, 2};
     },
     {kIndex, "weight_map: expected an object, found an array of 2"}},
};
INSTANTIATE_TEST_SUITE_P(Checkpoint,
                         WrongTensorsTest,
                         testing::ValuesIn(kWrongTensors),
                         TestName<testing::TestParamInfo<WrongTensors>>);

// --- Damaged files.

struct DamagedFiles {
  const char* name;
  std::function<void(TestFiles&)> damage;
  std::vector<std::string> message_parts;

  // How the test is listed.
  friend void PrintTo(const DamagedFiles& param, std::ostream* out) { *out << param.name; }
};

class DamagedFilesTest : public testing::TestWithParam<DamagedFiles> {};

TEST_P(DamagedFilesTest, IsRefused) {
  TestFiles files = ToFiles(MakeTestCheckpoint(TinyConfig()));
  GetParam().damage(files);
  ExpectRefused(WriteFolder(files), GetParam().message_parts);
}

const DamagedFiles kDamagedFiles[] = {
    {"NoConfig", [](auto& f) { f.erase("config.json"); }, {"config.json", "no such file"}},
    {"EmptyConfig", [](auto& f) { f["config.json"] = ""; }, {"config.json", "invalid JSON"}},
    {"ConfigCut", [](auto& f) { f["config.json"].pop_back(); }, {"config.json", "invalid JSON"}},
    {"ConfigIsAnArray",
     [](auto& f) { f["config.json"] = "[]"; },
     {"config.json: expected an object"}},
    {"ConfigKeyTwice",
     [](auto& f) { f["config.json"].insert(1, "\"hidden_size\":24,"); },
     {"config.json", "duplicate key \"hidden_size\""}},
    {"ConfigTooLarge",
     [](auto& f) { f["config.json"] += std::string(2 << 20, ' '); },
     {"config.json", "more than the limit"}},
    {"IndexCut", [](auto& f) { f[kIndex].resize(100); }, {kIndex, "invalid JSON"}},
    {"IndexIsAString", [](auto& f) { f[kIndex] = "\"x\""; }, {kIndex, "expected an object"}},
    {"IndexKeyTwice",
     [](auto& f) {
       std::string& index = f[kIndex];
       index.insert(index.find("\"weight_map\":{") + 14, "\"model.norm.weight\":\"a\",");
     },
     {kIndex, "duplicate key \"model.norm.weight\""}},
    {"StaleSingleFile",
     [](auto& f) { f["model.safetensors"] = f[kShard1]; },
     {kIndex, "model.safetensors", "stale"}},
    {"NoIndex", [](auto& f) { f.erase(kIndex); }, {"but no model.safetensors.index.json"}},
    {"NoTensorsAtAll",
     [](auto& f) { f.erase(kIndex), f.erase(kShard1), f.erase(kShard2); },
     {"neither model.safetensors.index.json nor model.safetensors"}},
    {"NoShard", [](auto& f) { f.erase(kShard2); }, {kShard2, "no such file"}},
    {"EmptyShard", [](auto& f) { f[kShard2] = ""; }, {kShard2, "0 bytes are too few"}},
    {"ShardCutInTheLength", [](auto& f) { f[kShard2].resize(7); }, {kShard2, "too few"}},
    {"ShardCutAfterTheLength",
     [](auto& f) { f[kShard2].resize(8); },
     {kShard2, "in a file of 8 bytes"}},
    {"ShardCutInTheHeader",
     [](auto& f) { f[kShard2].resize(100); },
     {kShard2, "in a file of 100 bytes"}},
    {"ShardCutInTheData",
     [](auto& f) { f[kShard2].resize(f[kShard2].size() - 1000); },
     {kShard2, "not a range within the file"}},
    {"ShardCutByOneByte",
     [](auto& f) { f[kShard2].pop_back(); },
     {kShard2, "not a range within the file"}},
    {"ShardWithOneByteMore",
     [](auto& f) { f[kShard2] += 'x'; },
     {kShard2, "tensors end at data byte"}},
    {"ShardTwiceInAFile",
     [](auto& f) { f[kShard2] += f[kShard2]; },
     {kShard2, "tensors end at data byte"}},
    {"ShardIsAGitLfsPointer",
     [](auto& f) { f[kShard2] = "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"; },
     {kShard2, "more than the limit"}},
};
INSTANTIATE_TEST_SUITE_P(Checkpoint,
                         DamagedFilesTest,
                         testing::ValuesIn(kDamagedFiles),
                         TestName<testing::TestParamInfo<DamagedFiles>>);

TEST(CheckpointCorruptionTest, EveryCutOfAShardIsRefused) {
  const TestFiles files = ToFiles(MakeTestCheckpoint(TinyConfig()));
  const std::string folder = WriteFolder(files);
  const std::string& shard = files.at(kShard1);
  for (size_t size = 0; size < shard.size(); size += size < 64 ? 1 : 97) {
    std::filesystem::resize_file(folder + "/" + kShard1, size);
    ExpectRefused(folder, {kShard1});
    std::filesystem::resize_file(folder + "/" + kShard1, 0);
    WriteFolder(files);
  }
}

TEST(CheckpointCorruptionTest, FoldersAndBrokenLinksAreNotFiles) {
  const TestFiles files = ToFiles(MakeTestCheckpoint(TinyConfig()));
  for (const char* name : {"config.json", kIndex, kShard1}) {
    const std::string folder = WriteFolder(files);
    std::filesystem::remove(folder + "/" + name);
    std::filesystem::create_directory(folder + "/" + name);
    ExpectRefused(folder, {name, "not a regular file"});
    std::filesystem::remove(folder + "/" + name);
    std::filesystem::create_symlink("nowhere", folder + "/" + name);
    ExpectRefused(folder, {name, "no such file"});
  }
  ExpectRefused(WriteFolder({}) + "/none", {"/none: no such folder"});
  ExpectRefused(WriteFolder(files) + "/config.json", {"/config.json: no such folder"});
}

// --- Headers that a writer of safetensors would not write.

struct BadHeader {
  const char* name;
  std::string header;
  size_t num_data_bytes;
  std::string message_part;

  // How the test is listed.
  friend void PrintTo(const BadHeader& param, std::ostream* out) { *out << param.name; }
};

class BadHeaderTest : public testing::TestWithParam<BadHeader> {};

TEST_P(BadHeaderTest, IsRefused) {
  const BadHeader& bad = GetParam();
  TestFiles files = ToFiles(MakeTestCheckpoint(TinyConfig()));
  files[kShard2] = SafetensorsBytes(bad.header, std::string(bad.num_data_bytes, '\0'));
  ExpectRefused(WriteFolder(files), {kShard2, bad.message_part});
}

std::string OneTensor(const std::string& dtype,
                      const std::string& shape,
                      const std::string& range) {
  return R"({"a":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + range +
         "}}";
}

const BadHeader kBadHeaders[] = {
    {"Empty", "", 0, "header: invalid JSON"},
    {"NotJson", "{\"a\": ", 0, "header: invalid JSON"},
    {"BadUtf8", "{\"\xFF\": 1}", 0, "header: invalid JSON"},
    {"TextBehind", "{} {}", 0, "header: invalid JSON"},
    {"ZeroPadded", std::string("{}\0\0", 4), 0, "header: invalid JSON"},
    {"Array", "[]", 0, "header: expected an object"},
    {"DuplicateTensor",
     R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
     R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
     1,
     "duplicate key \"a\""},
    {"DuplicateKeyInATensor",
     R"({"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}})",
     1,
     "duplicate key \"dtype\""},
    {"DeepNesting", std::string(1000, '[') + std::string(1000, ']'), 0, "header: invalid JSON"},
    {"MetadataArray", R"({"__metadata__":[]})", 0, "__metadata__: expected an object"},
    {"MetadataNumber", R"({"__metadata__":{"a":1}})", 0, "__metadata__: expected strings"},
    {"TensorIsANumber", R"({"a":1})", 0, "\"a\": expected an object of dtype"},
    {"NoDType", R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1, "\"a\": expected an object of"},
    {"NoShape", R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1, "\"a\": expected an object of"},
    {"NoOffsets", R"({"a":{"dtype":"U8","shape":[1]}})", 1, "\"a\": expected an object of"},
    {"ExtraKey",
     R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"strides":[1]}})",
     1,
     "\"a\": expected an object of"},
    {"DTypeNumber", OneTensor("8", "[1]", "[0,1]"), 1, "\"a\": dtype: expected a string"},
    {"DTypeUnknown", OneTensor("\"F4\"", "[1]", "[0,1]"), 1, "\"a\": unknown dtype \"F4\""},
    {"DTypeLowerCase", OneTensor("\"u8\"", "[1]", "[0,1]"), 1, "\"a\": unknown dtype \"u8\""},
    {"ShapeNumber", OneTensor("\"U8\"", "1", "[0,1]"), 1, "\"a\": shape: expected an array"},
    {"ShapeNegative", OneTensor("\"U8\"", "[-1]", "[0,1]"), 1, "\"a\": shape: expected integers"},
    {"ShapeFraction", OneTensor("\"U8\"", "[1.0]", "[0,1]"), 1, "\"a\": shape: expected integers"},
    {"ShapeString", OneTensor("\"U8\"", "[\"1\"]", "[0,1]"), 1, "\"a\": shape: expected integers"},
    {"ShapeBeyondInt64",
     OneTensor("\"U8\"", "[9223372036854775808]", "[0,1]"),
     1,
     "\"a\": shape: expected integers"},
    {"ShapeOverflows",
     OneTensor("\"U8\"", "[4294967296,4294967296]", "[0,0]"),
     0,
     "\"a\": data_offsets [0, 0]: not the byte count"},
    {"ShapeOverflowsInBytes",
     OneTensor("\"F32\"", "[4611686018427387904]", "[0,0]"),
     0,
     "not the byte count"},
    {"ShapeOverflowsToTheRange",
     OneTensor("\"U8\"", "[4294967296,4294967296,1]", "[0,1]"),
     1,
     "not the byte count"},
    {"RangeTooShort", OneTensor("\"F32\"", "[2]", "[0,4]"), 4, "\"a\": data_offsets [0, 4]: not"},
    {"RangeTooLong", OneTensor("\"F32\"", "[1]", "[0,8]"), 8, "\"a\": data_offsets [0, 8]: not"},
    {"RangeReversed", OneTensor("\"U8\"", "[1]", "[1,0]"), 1, "not a range within the file"},
    {"RangeBeyondTheFile", OneTensor("\"U8\"", "[2]", "[0,2]"), 1, "not a range within the file"},
    {"RangeHuge",
     OneTensor("\"U8\"", "[1]", "[18446744073709551614,18446744073709551615]"),
     1,
     "not a range within the file"},
    {"RangeNegative", OneTensor("\"U8\"", "[1]", "[-1,0]"), 1, "data_offsets: expected two"},
    {"RangeFraction", OneTensor("\"U8\"", "[1]", "[0,1.0]"), 1, "data_offsets: expected two"},
    {"RangeOfThree", OneTensor("\"U8\"", "[1]", "[0,1,2]"), 1, "data_offsets: expected two"},
    {"RangeIsAnObject", OneTensor("\"U8\"", "[1]", "{}"), 1, "data_offsets: expected two"},
    {"Overlap",
     R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
     R"("b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
     6,
     "\"b\": data begins at 2, but the tensors before it end at 4"},
    {"SameRangeTwice",
     R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
     R"("b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
     4,
     "\"b\": data begins at 0, but the tensors before it end at 4"},
    {"Gap",
     R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
     R"("b":{"dtype":"U8","shape":[4],"data_offsets":[5,9]}})",
     9,
     "\"b\": data begins at 5, but the tensors before it end at 4"},
    {"GapAtTheStart", OneTensor("\"U8\"", "[1]", "[1,2]"), 2, "\"a\": data begins at 1"},
    {"RestAtTheEnd", OneTensor("\"U8\"", "[1]", "[0,1]"), 2, "tensors end at data byte 1"},
    {"DataWithoutTensors", "{}", 1, "tensors end at data byte 0"},
};
INSTANTIATE_TEST_SUITE_P(Safetensors,
                         BadHeaderTest,
                         testing::ValuesIn(kBadHeaders),
                         TestName<testing::TestParamInfo<BadHeader>>);

struct BadLength {
  const char* name;
  uint64_t length;
  std::string message_part;

  // How the test is listed.
  friend void PrintTo(const BadLength& param, std::ostream* out) { *out << param.name; }
};

class BadLengthTest : public testing::TestWithParam<BadLength> {};

TEST_P(BadLengthTest, IsRefused) {
  TestFiles files = ToFiles(MakeTestCheckpoint(TinyConfig()));
  std::string& shard = files[kShard1];
  for (size_t i = 0; i < 8; ++i) {
    shard[i] = static_cast<char>(GetParam().length >> (8 * i));
  }
  ExpectRefused(WriteFolder(files), {kShard1, GetParam().message_part});
}

INSTANTIATE_TEST_SUITE_P(
    Safetensors,
    BadLengthTest,
    testing::Values(BadLength{"Zero", 0, "header: invalid JSON"},
                    BadLength{"One", 1, "header: invalid JSON"},
                    BadLength{"BeyondTheFile", 99'000'000, "header of 99000000 bytes in a file"},
                    BadLength{"BeyondTheLimit", 100'000'001, "more than the limit of 100000000"},
                    BadLength{"Largest", ~uint64_t{0}, "more than the limit"}),
    TestName<testing::TestParamInfo<BadLength>>);

}  // namespace
}  // namespace hadal
