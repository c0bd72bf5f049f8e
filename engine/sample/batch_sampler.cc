#include "engine/sample/batch_sampler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace hadal {
namespace {

constexpr int64_t kSliceRows = 64;  // of logits at a time
constexpr int32_t kNoRow = -1;

TensorView<float, 2> ViewOf(const DeviceBuffer& buffer, int64_t rows, int64_t columns) {
  return MakeView(static_cast<float*>(buffer.data()), rows, columns);
}

}  // namespace

absl::StatusOr<BatchSampler> BatchSampler::Create(const Args& args) {
  const auto allocate = [&args](int64_t rows, int64_t columns) {
    return DeviceBuffer::Allocate(args.device, static_cast<size_t>(rows * columns) * sizeof(float));
  };
  ASSIGN_OR_RETURN(DeviceBuffer hidden, allocate(kSliceRows, args.config.hidden_size));
  ASSIGN_OR_RETURN(DeviceBuffer logits, allocate(kSliceRows, args.config.vocab_size));
  ASSIGN_OR_RETURN(DeviceBuffer copies, allocate(args.num_threads, args.config.vocab_size));
  return BatchSampler(args, std::move(hidden), std::move(logits), std::move(copies));
}

BatchSampler::BatchSampler(const Args& args,
                           DeviceBuffer hidden,
                           DeviceBuffer logits,
                           DeviceBuffer copies)
    : hidden_buffer_(std::move(hidden)),
      logits_buffer_(std::move(logits)),
      copies_buffer_(std::move(copies)),
      hidden_(ViewOf(hidden_buffer_, kSliceRows, args.config.hidden_size)),
      logits_(ViewOf(logits_buffer_, kSliceRows, args.config.vocab_size)),
      copies_(ViewOf(copies_buffer_, args.num_threads, args.config.vocab_size)),
      slice_rows_(static_cast<size_t>(args.max_samples)) {
  samplers_.reserve(static_cast<size_t>(args.num_threads));
  for (int32_t worker = 0; worker < args.num_threads; ++worker) {
    samplers_.emplace_back(args.config.vocab_size);
  }
}

int64_t BatchSampler::Sample(const Work& work,
                             std::span<const RowHealth> health,
                             std::span<SampledToken> chosen) {
  const size_t num_samples = work.samples.size();
  CHECK_LE(num_samples, slice_rows_.size());
  CHECK_LE(num_samples, chosen.size());
  int64_t num_logits_rows = 0;
  for (size_t begin = 0; begin < num_samples;) {
    const size_t end = FillSlice(work, health, begin);
    if (num_slice_rows_ > 0) {
      work.model.ComputeLogits(
          hidden_.Slice(0, num_slice_rows_), work.context, logits_.Slice(0, num_slice_rows_));
    }
    ChooseAll(work, begin, end, chosen);
    num_logits_rows += num_slice_rows_;
    begin = end;
  }
  return num_logits_rows;
}

// Puts the distinct rows of samples from `begin` on side by side, as many as a slice has room for;
// returns where they end.
size_t BatchSampler::FillSlice(const Work& work, std::span<const RowHealth> health, size_t begin) {
  num_slice_rows_ = 0;
  int32_t last_row = kNoRow;
  size_t end = begin;
  for (; end < work.samples.size(); ++end) {
    const SampleRow& sample = work.samples[end];
    slice_rows_[end] = kNoRow;
    if (health[static_cast<size_t>(sample.sequence)] != RowHealth::kFinite) {
      continue;
    }
    if (sample.row != last_row) {
      if (num_slice_rows_ == kSliceRows) {
        break;
      }
      const auto row = work.hidden.Row(sample.row);
      std::copy(row.begin(), row.end(), hidden_.Row(num_slice_rows_).begin());
      last_row = sample.row;
      ++num_slice_rows_;
    }
    slice_rows_[end] = num_slice_rows_ - 1;
  }
  return end;
}

void BatchSampler::ChooseAll(const Work& work,
                             size_t begin,
                             size_t end,
                             std::span<SampledToken> chosen) {
  const auto choose = [&](int64_t first, int64_t last, int32_t worker) {
    for (size_t i = begin + static_cast<size_t>(first); i < begin + static_cast<size_t>(last);
         ++i) {
      const int32_t row = slice_rows_[i];
      const bool is_shared =
          (i > begin && slice_rows_[i - 1] == row) || (i + 1 < end && slice_rows_[i + 1] == row);
      chosen[i].token = kNoToken;
      if (row != kNoRow) {
        ChooseOne(work, i, is_shared, worker, chosen[i]);
      }
    }
  };
  work.context.pool.ParallelFor(static_cast<int64_t>(end - begin), 1, choose);
}

// A sampler overwrites its logits: a row that others read too is copied first.
void BatchSampler::ChooseOne(
    const Work& work, size_t i, bool is_shared, int32_t worker, SampledToken& chosen) {
  const SampleRow& sample = work.samples[i];
  std::span<float> logits = logits_.Row(slice_rows_[i]);
  if (is_shared) {
    const auto copy = copies_.Row(worker);
    std::copy(logits.begin(), logits.end(), copy.begin());
    logits = copy;
  }
  const bool with_logprobs = work.logprobs == Logprobs::kAsAsked;
  const absl::Status status = samplers_[static_cast<size_t>(worker)].Sample(
      {.params = *sample.params,
       .tokens = sample.tokens,
       .drafts = sample.drafts,
       .num_prompt_tokens = sample.num_prompt_tokens,
       .num_logprobs = with_logprobs ? sample.params->num_logprobs : -1,
       .logits = logits},
      chosen);
  if (!status.ok()) {
    chosen.token = kNoToken;
  }
}

}  // namespace hadal
