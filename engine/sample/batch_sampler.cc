#include "engine/sample/batch_sampler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace hadal {
namespace {

TensorView<float, 2> ViewOf(const DeviceBuffer& buffer, int64_t rows, int64_t columns) {
  return MakeView(static_cast<float*>(buffer.data()), rows, columns);
}

Sampler::Args ArgsOf(const BatchSampler::Work& work,
                     const SampleRow& sample,
                     std::span<float> logits) {
  const bool with_logprobs = work.logprobs == BatchSampler::Logprobs::kAsAsked;
  return {.params = *sample.params,
          .tokens = sample.tokens,
          .drafts = sample.drafts,
          .num_prompt_tokens = sample.num_prompt_tokens,
          .num_logprobs = with_logprobs ? sample.params->num_logprobs : -1,
          .logits = logits};
}

}  // namespace

absl::StatusOr<BatchSampler> BatchSampler::Create(const Args& args) {
  const auto allocate = [](const Device& device, int64_t rows, int64_t columns) {
    return DeviceBuffer::Allocate(device, static_cast<size_t>(rows * columns) * sizeof(float));
  };
  const int64_t vocab_size = args.config.vocab_size;
  ASSIGN_OR_RETURN(DeviceBuffer hidden,
                   allocate(args.model_device, kSliceRows, args.config.hidden_size));
  ASSIGN_OR_RETURN(DeviceBuffer logits, allocate(args.model_device, kSliceRows, vocab_size));
  ASSIGN_OR_RETURN(DeviceBuffer copies, allocate(args.device, args.num_threads, vocab_size));
  return BatchSampler(args, std::move(hidden), std::move(logits), std::move(copies));
}

BatchSampler::BatchSampler(const Args& args,
                           DeviceBuffer hidden,
                           DeviceBuffer logits,
                           DeviceBuffer copies)
    : model_device_(&args.model_device),
      hidden_buffer_(std::move(hidden)),
      logits_buffer_(std::move(logits)),
      copies_buffer_(std::move(copies)),
      hidden_(ViewOf(hidden_buffer_, kSliceRows, args.config.hidden_size)),
      logits_(ViewOf(logits_buffer_, kSliceRows, args.config.vocab_size)),
      copies_(ViewOf(copies_buffer_, args.num_threads, args.config.vocab_size)),
      slice_rows_(static_cast<size_t>(args.max_samples)) {
  gathered_.reserve(static_cast<size_t>(kSliceRows));
  plain_.reserve(slice_rows_.size());
  choices_.reserve(slice_rows_.size());
  others_.reserve(slice_rows_.size());
  samplers_.reserve(static_cast<size_t>(args.num_threads));
  for (int32_t worker = 0; worker < args.num_threads; ++worker) {
    samplers_.emplace_back(args.config.vocab_size);
  }
}

StepTail BatchSampler::Begin(const Work& work) {
  CHECK_LE(work.samples.size(), slice_rows_.size());
  return FillSlice(work, 0);
}

int64_t BatchSampler::Finish(const Work& work,
                             std::span<const RowHealth> health,
                             const TensorView<const TokenId, 1>& token_ids,
                             std::span<SampledToken> chosen) {
  const size_t num_samples = work.samples.size();
  CHECK_LE(num_samples, chosen.size());
  int64_t num_logits_rows = std::ssize(gathered_);
  TakePlain(token_ids, chosen);
  ChooseOthers(work, chosen);
  while (slice_end_ < num_samples) {
    const ScratchScope scope(HostScratch(work.context));
    const StepTail tail = FillSlice(work, slice_end_);
    num_logits_rows += std::ssize(gathered_);
    TakePlain(work.model.Choose(work.hidden, tail, work.context), chosen);
    ChooseOthers(work, chosen);
  }
  for (size_t i = 0; i < num_samples; ++i) {
    if (health[static_cast<size_t>(work.samples[i].sequence)] != RowHealth::kFinite) {
      chosen[i].token = kNoToken;
    }
  }
  return num_logits_rows;
}

// Lists the distinct rows of samples from `begin` on, as many as a slice has room for, and who
// chooses each.
StepTail BatchSampler::FillSlice(const Work& work, size_t begin) {
  plain_.clear();
  choices_.clear();
  others_.clear();
  gathered_.clear();
  for (slice_end_ = begin; slice_end_ < work.samples.size(); ++slice_end_) {
    const SampleRow& sample = work.samples[slice_end_];
    if (gathered_.empty() || sample.row != gathered_.back()) {
      if (std::ssize(gathered_) == kSliceRows) {
        break;
      }
      gathered_.push_back(sample.row);
    }
    const auto row = static_cast<int32_t>(gathered_.size()) - 1;
    slice_rows_[slice_end_] = row;
    const auto choice = Sampler::PlainChoice(ArgsOf(work, sample, {}), row);
    if (choice.has_value()) {
      plain_.push_back(slice_end_);
      choices_.push_back(*choice);
    } else {
      others_.push_back(slice_end_);
    }
  }
  const int64_t num_rows = std::ssize(gathered_);
  return {.rows = MakeView(std::as_const(gathered_).data(), num_rows),
          .choices = MakeView(std::as_const(choices_).data(), std::ssize(choices_)),
          .hidden = hidden_.Slice(0, num_rows),
          .logits = logits_.Slice(0, num_rows)};
}

void BatchSampler::TakePlain(const TensorView<const TokenId, 1>& token_ids,
                             std::span<SampledToken> chosen) const {
  for (size_t i = 0; i < plain_.size(); ++i) {
    SampledToken& token = chosen[plain_[i]];
    token.token = token_ids(i);
    token.logprob = 0;
    token.top_logprobs.clear();
  }
}

// Where logits lie elsewhere, as many as there are copies at a time: a device is asked by one
// thread.
void BatchSampler::ChooseOthers(const Work& work, std::span<SampledToken> chosen) {
  const bool is_host = model_device_->is_host;
  const int64_t num_others = std::ssize(others_);
  const int64_t most = is_host ? num_others : copies_.extent(0);
  for (int64_t begin = 0; begin < num_others; begin += most) {
    const int64_t count = std::min(most, num_others - begin);
    for (int64_t i = 0; i < count && !is_host; ++i) {
      const std::span<float> copy = copies_.Row(i);
      const size_t sample = others_[static_cast<size_t>(begin + i)];
      model_device_->copy(copy.data(), logits_.Row(slice_rows_[sample]).data(), copy.size_bytes());
    }
    const auto choose = [&](int64_t first, int64_t last, int32_t worker) {
      for (int64_t i = first; i < last; ++i) {
        const auto other = static_cast<size_t>(begin + i);
        const size_t sample = others_[other];
        const std::span<float> logits = is_host ? OwnLogits(other, worker) : copies_.Row(i);
        const absl::Status status = samplers_[static_cast<size_t>(worker)].Sample(
            ArgsOf(work, work.samples[sample], logits), chosen[sample]);
        if (!status.ok()) {
          chosen[sample].token = kNoToken;
        }
      }
    };
    work.context.pool.ParallelFor(count, 1, choose);
  }
}

// A sampler overwrites its logits: a row that another reads too is copied first.
std::span<float> BatchSampler::OwnLogits(size_t other, int32_t worker) {
  const int32_t row = slice_rows_[others_[other]];
  const auto has_it = [&](size_t i) { return slice_rows_[others_[i]] == row; };
  const std::span<float> logits = logits_.Row(row);
  if (!(other > 0 && has_it(other - 1)) && !(other + 1 < others_.size() && has_it(other + 1))) {
    return logits;
  }
  const std::span<float> copy = copies_.Row(worker);
  std::copy(logits.begin(), logits.end(), copy.begin());
  return copy;
}

}  // namespace hadal
