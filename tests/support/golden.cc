#include "tests/support/golden.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include <gtest/gtest.h>

#include "base/checked_cast.h"
#include "engine/sequence_runner.h"

namespace hadal {
namespace {

template <typename T>
T ValueOrDie(absl::StatusOr<T> value) {
  if (!value.ok()) {
    CheckFailed(__FILE__, __LINE__, std::string(MessageOf(value.status())));
  }
  return *std::move(value);
}

}  // namespace

std::vector<std::string> Golden::Names() {
  return {"v2-lite",
          "v2",
          "v2-sharded",
          "v3-bf16",
          "v3-fp8",
          "v3-f32",
          "moonlight",
          "kimi",
          "hf-saved-v3"};
}

Golden Golden::Load(const std::string& name) {
  return LoadPacked(name, WeightPacking::kNative);
}

Golden Golden::LoadPacked(const std::string& name, WeightPacking packing) {
  const std::string dir = std::string(HADAL_SOURCE_DIR) + "/tests/golden/" + name;
  Golden golden = Open(dir, packing);
  golden.outputs_ = std::make_unique<SafetensorsFile>(
      ValueOrDie(SafetensorsFile::Open(dir + "/golden.safetensors")));
  return golden;
}

Golden Golden::Demo() {
  return Open(std::string(HADAL_SOURCE_DIR) + "/models/demo", WeightPacking::kNative);
}

Golden Golden::Open(const std::string& dir, WeightPacking packing) {
  Golden golden;
  ThreadPool pool(2);
  golden.checkpoint_ = std::make_unique<Checkpoint>(ValueOrDie(Checkpoint::Open(dir)));
  golden.weights_ = std::make_unique<Weights>(
      ValueOrDie(Weights::Load({.checkpoint = *golden.checkpoint_,
                                .packing = packing,
                                .packed_folder = "",
                                .read_ahead = Weights::ReadAhead::kNone,
                                .pool = pool,
                                .progress = [](int64_t /*done*/, int64_t /*total*/) {}})));
  return golden;
}

const TensorInfo& Golden::Find(const std::string& tensor) const {
  const auto& tensors = outputs_->tensors;
  const auto found = std::find_if(
      tensors.begin(), tensors.end(), [&tensor](const TensorInfo& t) { return t.name == tensor; });
  CHECK(found != tensors.end());
  return *found;
}

bool Golden::Has(const std::string& tensor) const {
  return std::any_of(outputs_->tensors.begin(),
                     outputs_->tensors.end(),
                     [&tensor](const TensorInfo& t) { return t.name == tensor; });
}

void Golden::Poison(WeightMatrix& table, TokenId token) {
  CHECK(poisoned_table_.empty());
  const auto* begin = static_cast<const std::byte*>(table.payload);
  poisoned_table_.assign(begin, begin + SizeBytes(table));
  const auto last = static_cast<size_t>((token + 1) * table.cols - 1);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  if (table.format == WeightFormat::kF32) {
    std::memcpy(poisoned_table_.data() + last * sizeof(nan), &nan, sizeof(nan));
  } else {
    CHECK(table.format == WeightFormat::kBf16);
    const bf16 narrow = ToBf16(nan);
    std::memcpy(poisoned_table_.data() + last * sizeof(narrow), &narrow, sizeof(narrow));
  }
  table.payload = poisoned_table_.data();
}

std::vector<TokenId> Golden::Ids(const std::string& tensor) const {
  const TensorInfo& info = Find(tensor);
  CHECK(info.dtype == DType::kI64);
  std::vector<int64_t> wide(info.data.size() / sizeof(int64_t));
  std::memcpy(wide.data(), info.data.data(), info.data.size());
  std::vector<TokenId> ids;
  for (const int64_t id : wide) {
    ids.push_back(CheckedCast<TokenId>(id));
  }
  return ids;
}

std::vector<float> Golden::Floats(const std::string& tensor) const {
  const TensorInfo& info = Find(tensor);
  CHECK(info.dtype == DType::kF32);
  std::vector<float> values(info.data.size() / sizeof(float));
  std::memcpy(values.data(), info.data.data(), info.data.size());
  return values;
}

std::optional<Weights> WeightsOn(const Device& device, const Golden& golden) {
  if (device.is_host) {
    return std::nullopt;
  }
  return ValueOrDie(golden.weights().CopyTo(device, [](int64_t /*done*/, int64_t /*total*/) {}));
}

ModelRunner::ModelRunner(const Golden& golden, const std::string& kernels, MlaForm form)
    : ModelRunner({.golden = golden,
                   .kernels = ValueOrDie(BuildKernelTable(kernels)),
                   .form = form,
                   .num_threads = 3}) {}

DeviceRows::DeviceRows(const Device& device, int64_t num_rows, int64_t width)
    : buffer_(ValueOrDie(
          DeviceBuffer::Allocate(device, static_cast<size_t>(num_rows * width) * sizeof(float)))),
      view_(MakeView(static_cast<float*>(buffer_.data()), num_rows, width)) {}

DeviceRows::DeviceRows(const Device& device, std::span<const float> values, int64_t width)
    : DeviceRows(device, std::ssize(values) / width, width) {
  device.copy(view_.data, values.data(), values.size_bytes());
}

std::vector<float> Fetch(const Device& device, const TensorView<const float, 2>& rows) {
  CHECK(rows.extent(0) <= 1 || rows.strides[0] == rows.extent(1));
  std::vector<float> values(static_cast<size_t>(rows.num_elements()));
  device.copy(values.data(), rows.data, values.size() * sizeof(float));
  return values;
}

ModelRunner::ModelRunner(const Args& args)
    : pool_(args.num_threads),
      kernels_(args.kernels),
      device_weights_(WeightsOn(*kernels_.device, args.golden)),
      model_({.config = args.golden.config(),
              .weights = device_weights_.has_value() ? *device_weights_ : args.golden.weights(),
              .kernels = kernels_,
              .mla_form = args.form}) {}

std::vector<float> ModelRunner::Logits(const std::vector<TokenId>& tokens,
                                       int64_t chunk_tokens,
                                       DType cache_dtype) {
  SequenceRunner sequence = ValueOrDie(SequenceRunner::Create({.model = model_,
                                                               .context = context_,
                                                               .cache_dtype = cache_dtype,
                                                               .max_tokens = std::ssize(tokens),
                                                               .chunk_tokens = chunk_tokens}));
  const int64_t vocab_size = model_.config().vocab_size;
  std::vector<float> logits(tokens.size() * static_cast<size_t>(vocab_size));
  sequence.Append(tokens, [&](int64_t first, const TensorView<const float, 2>& hidden) {
    model_.FetchLogits(hidden,
                       context_,
                       MakeView(logits.data() + first * vocab_size, hidden.extent(0), vocab_size));
  });
  return logits;
}

std::vector<TokenId> ModelRunner::Greedy(const std::vector<TokenId>& prompt,
                                         int64_t num_tokens,
                                         DType cache_dtype) {
  SequenceRunner sequence =
      ValueOrDie(SequenceRunner::Create({.model = model_,
                                         .context = context_,
                                         .cache_dtype = cache_dtype,
                                         .max_tokens = std::ssize(prompt) + num_tokens,
                                         .chunk_tokens = 40}));
  std::vector<TokenId> next = prompt;
  std::vector<TokenId> generated;
  while (std::ssize(generated) < num_tokens) {
    const std::span<const float> logits = sequence.AppendAndPredict(next);
    const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
    next = {CheckedCast<TokenId>(best)};
    generated.push_back(next.front());
  }
  return generated;
}

double RmsDifference(const std::vector<float>& a, const std::vector<float>& b) {
  CHECK_EQ(a.size(), b.size());
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    sum += (double{a[i]} - double{b[i]}) * (double{a[i]} - double{b[i]});
  }
  return std::sqrt(sum / static_cast<double>(std::max<size_t>(a.size(), 1)));
}

}  // namespace hadal
