#include "engine/drafter.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/finite.h"

namespace hadal {

absl::StatusOr<Drafter> Drafter::Create(const Args& args) {
  CHECK_GT(args.config.num_nextn_predict_layers, 0);
  ASSIGN_OR_RETURN(
      DeviceBuffer buffer,
      DeviceBuffer::Allocate(
          args.device,
          static_cast<size_t>(args.max_step_tokens * args.config.hidden_size) * sizeof(float)));
  return Drafter(args, std::move(buffer));
}

Drafter::Drafter(const Args& args, DeviceBuffer buffer)
    : buffer_(std::move(buffer)),
      hidden_(MakeView(
          static_cast<float*>(buffer_.data()), args.max_step_tokens, args.config.hidden_size)) {
  const auto num_tokens = static_cast<size_t>(args.max_step_tokens);
  batch_.token_ids.reserve(num_tokens);
  batch_.positions.reserve(num_tokens);
  batch_.slots.reserve(num_tokens);
  batch_.query_starts.reserve(num_tokens + 1);
  batch_sequences_.reserve(num_tokens);
  guesses_.reserve(num_tokens);
  samples_.reserve(num_tokens);
  chosen_.reserve(num_tokens);
  health_.reserve(num_tokens);
}

void Drafter::Draft(const Work& work, std::vector<DraftTokens>& drafts) {
  drafts.resize(work.input.drafts.size());
  for (DraftTokens& tokens : drafts) {
    tokens.size = 0;
  }
  health_.assign(work.health.begin(), work.health.end());
  guesses_.clear();
  FillFromStep(work);
  while (batch_.num_tokens() > 0) {
    RunModule(work);
    GuessNext(work, drafts);
    FillFromGuesses(work);
  }
}

// Every token that the step made certain, beside the hidden state before it.
void Drafter::FillFromStep(const Work& work) {
  const StepInput& input = work.input;
  BeginBatch(input.batch);
  size_t sample = 0;
  for (int32_t s = 0; s < static_cast<int32_t>(input.batch.num_sequences()); ++s) {
    size_t end = sample;
    while (end < input.samples.size() && input.samples[end].sequence == s) {
      ++end;
    }
    if (health_[static_cast<size_t>(s)] == RowHealth::kFinite) {
      FillFromSequence(work, s, static_cast<int32_t>(sample), static_cast<int64_t>(end - sample));
    }
    sample = end;
  }
}

void Drafter::FillFromSequence(const Work& work,
                               int32_t sequence,
                               int32_t sample,
                               int64_t num_samples) {
  const ForwardBatch& step = work.input.batch;
  const DraftRow& order = work.input.drafts[static_cast<size_t>(sequence)];
  const auto begin = static_cast<size_t>(step.query_starts[static_cast<size_t>(sequence)]);
  const auto end = static_cast<size_t>(step.query_starts[static_cast<size_t>(sequence) + 1]);
  const auto copy_row = [&](size_t row) {
    const auto from = work.hidden.Row(static_cast<int64_t>(row));
    std::copy(from.begin(), from.end(), hidden_.Row(batch_.num_tokens()).begin());
  };
  // 1. Rows whose next token was known before the step.
  const bool is_sampled = num_samples > 0;
  const auto first = static_cast<size_t>(sample);
  const size_t known_end = is_sampled ? static_cast<size_t>(work.input.samples[first].row) : end;
  for (size_t row = begin; row < known_end; ++row) {
    copy_row(row);
    AddRow(step,
           sequence,
           step.positions[row],
           row + 1 < end ? step.token_ids[row + 1] : order.next_token);
  }
  // 2. Rows whose next token was sampled: the last known one and the drafts that came true.
  if (is_sampled) {
    const auto samples = work.samples.subspan(first, static_cast<size_t>(num_samples));
    const auto drafts = std::span(step.token_ids).subspan(known_end + 1, end - known_end - 1);
    const int64_t num_certain = 1 + NumAccepted(drafts, samples);
    Guess guess = {.sequence = sequence, .sample = sample, .num_drafts = order.num_drafts};
    for (int64_t i = 0; i < num_certain; ++i) {
      const TokenId token = samples[static_cast<size_t>(i)].token;
      copy_row(known_end + static_cast<size_t>(i));
      AddRow(step, sequence, step.positions[known_end + static_cast<size_t>(i)], token);
      guess.tail[static_cast<size_t>(i)] = token;
    }
    guess.tail_size = static_cast<int32_t>(num_certain);
    guess.row = static_cast<int32_t>(batch_.num_tokens() - 1);
    guess.position = batch_.positions.back();
    if (guess.num_drafts > 0) {
      guesses_.push_back(guess);
    }
  }
  EndSequence(step, sequence);
}

// One row for each sequence that goes on: its newest draft, beside the module's own output. Rows
// move to the front, each over one that has moved already.
void Drafter::FillFromGuesses(const Work& work) {
  const ForwardBatch& step = work.input.batch;
  BeginBatch(step);
  for (Guess& guess : guesses_) {
    const auto from = hidden_.Row(guess.row);
    guess.row = static_cast<int32_t>(batch_.num_tokens());
    std::copy(from.begin(), from.end(), hidden_.Row(guess.row).begin());
    ++guess.position;
    AddRow(
        step, guess.sequence, guess.position, guess.tail[static_cast<size_t>(guess.tail_size) - 1]);
    EndSequence(step, guess.sequence);
  }
}

void Drafter::BeginBatch(const ForwardBatch& step) {
  batch_.token_ids.clear();
  batch_.positions.clear();
  batch_.slots.clear();
  batch_.query_starts.assign(1, 0);
  batch_.block_tables.clear();
  batch_.block_tables.reserve(step.block_tables.capacity());  // once, for steps still to come
  batch_.max_blocks = step.max_blocks;
  batch_sequences_.clear();
}

void Drafter::AddRow(const ForwardBatch& step, int32_t sequence, int32_t position, TokenId token) {
  CHECK_LT(position / kBlockSize, step.max_blocks);
  const int64_t block =
      step.block_tables[static_cast<size_t>(sequence * step.max_blocks + position / kBlockSize)];
  batch_.token_ids.push_back(token);
  batch_.positions.push_back(position);
  batch_.slots.push_back(block * kBlockSize + position % kBlockSize);
}

void Drafter::EndSequence(const ForwardBatch& step, int32_t sequence) {
  const auto table = std::span(step.block_tables)
                         .subspan(static_cast<size_t>(sequence * step.max_blocks),
                                  static_cast<size_t>(step.max_blocks));
  batch_.query_starts.push_back(static_cast<int32_t>(batch_.num_tokens()));
  batch_.block_tables.insert(batch_.block_tables.end(), table.begin(), table.end());
  batch_sequences_.push_back(sequence);
}

void Drafter::RunModule(const Work& work) {
  const TensorView<float, 2> rows = hidden_.Slice(0, batch_.num_tokens());
  constexpr int64_t kModule = 0;  // published checkpoints have one, which goes on from itself
  work.model.ForwardMtp(kModule, batch_, rows, work.cache, work.context, rows);
  DropNotFinite(work);
}

// What the module reads later must not be NaN, even by mistake.
void Drafter::DropNotFinite(const Work& work) {
  for (size_t i = 0; i < batch_sequences_.size(); ++i) {
    for (int32_t row = batch_.query_starts[i]; row < batch_.query_starts[i + 1]; ++row) {
      if (!AllFinite(hidden_.Row(row))) {
        health_[static_cast<size_t>(batch_sequences_[i])] = RowHealth::kNotFinite;
        work.cache.ZeroRow(batch_.slots[static_cast<size_t>(row)],
                           work.model.config().num_hidden_layers);
      }
    }
  }
}

// A draft for every sequence that goes on; those that have enough leave.
void Drafter::GuessNext(const Work& work, std::vector<DraftTokens>& drafts) {
  samples_.clear();
  for (const Guess& guess : guesses_) {
    const SampleRow& sample = work.input.samples[static_cast<size_t>(guess.sample)];
    samples_.push_back({.row = guess.row,
                        .sequence = guess.sequence,
                        .params = sample.params,
                        .tokens = sample.tokens,
                        .drafts = std::span(guess.tail).first(static_cast<size_t>(guess.tail_size)),
                        .num_prompt_tokens = sample.num_prompt_tokens});
  }
  chosen_.resize(samples_.size());
  work.sampler.Sample({.model = work.model,
                       .context = work.context,
                       .hidden = hidden_.Slice(0, batch_.num_tokens()),
                       .samples = samples_,
                       .logprobs = BatchSampler::Logprobs::kNone},
                      health_,
                      chosen_);
  for (size_t i = 0; i < guesses_.size(); ++i) {
    Guess& guess = guesses_[i];
    const TokenId token = chosen_[i].token;
    if (token == kNoToken) {
      guess.num_drafts = 0;
    } else {
      DraftTokens& tokens = drafts[static_cast<size_t>(guess.sequence)];
      guess.tail[static_cast<size_t>(guess.tail_size++)] = token;
      tokens.tokens[static_cast<size_t>(tokens.size++)] = token;
    }
  }
  std::erase_if(guesses_, [&](const Guess& guess) {
    return drafts[static_cast<size_t>(guess.sequence)].size >= guess.num_drafts;
  });
}

}  // namespace hadal
