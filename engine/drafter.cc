#include "engine/drafter.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace hadal {

absl::StatusOr<Drafter> Drafter::Create(const Args& args) {
  CHECK_GT(args.config.num_nextn_predict_layers, 0);
  ASSIGN_OR_RETURN(
      DeviceBuffer hidden,
      DeviceBuffer::Allocate(
          args.device,
          static_cast<size_t>(args.max_step_tokens * args.config.hidden_size) * sizeof(float)));
  return Drafter(args, std::move(hidden));
}

Drafter::Drafter(const Args& args, DeviceBuffer hidden)
    : hidden_buffer_(std::move(hidden)),
      hidden_(MakeView(static_cast<float*>(hidden_buffer_.data()),
                       args.max_step_tokens,
                       args.config.hidden_size)) {
  const auto num_tokens = static_cast<size_t>(args.max_step_tokens);
  batch_.token_ids.reserve(num_tokens);
  batch_.positions.reserve(num_tokens);
  batch_.slots.reserve(num_tokens);
  batch_.query_starts.reserve(num_tokens + 1);
  previous_rows_.reserve(num_tokens);
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
  TensorView<const float, 2> states = work.hidden;
  while (batch_.num_tokens() > 0) {
    RunModule(work, states, drafts);
    FillFromGuesses(work);
    states = hidden_;
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
  const auto add_row = [&](size_t row, TokenId token) {
    AddRow(step,
           {.sequence = sequence,
            .previous = static_cast<int32_t>(row),
            .position = step.positions[row],
            .token = token});
  };
  // 1. Rows whose next token was known before the step.
  const bool is_sampled = num_samples > 0;
  const auto first = static_cast<size_t>(sample);
  const size_t known_end = is_sampled ? static_cast<size_t>(work.input.samples[first].row) : end;
  for (size_t row = begin; row < known_end; ++row) {
    add_row(row, row + 1 < end ? step.token_ids[row + 1] : order.next_token);
  }
  // 2. Rows whose next token was sampled: the last known one and the drafts that came true.
  if (is_sampled) {
    const auto samples = work.samples.subspan(first, static_cast<size_t>(num_samples));
    const auto drafts = std::span(step.token_ids).subspan(known_end + 1, end - known_end - 1);
    const int64_t num_certain = 1 + NumAccepted(drafts, samples);
    Guess guess = {.sequence = sequence, .sample = sample, .num_drafts = order.num_drafts};
    for (int64_t i = 0; i < num_certain; ++i) {
      const TokenId token = samples[static_cast<size_t>(i)].token;
      add_row(known_end + static_cast<size_t>(i), token);
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

// One row for each sequence that goes on: its newest draft, beside the module's own output.
void Drafter::FillFromGuesses(const Work& work) {
  const ForwardBatch& step = work.input.batch;
  BeginBatch(step);
  for (Guess& guess : guesses_) {
    const int32_t previous = guess.row;
    guess.row = static_cast<int32_t>(batch_.num_tokens());
    ++guess.position;
    AddRow(step,
           {.sequence = guess.sequence,
            .previous = previous,
            .position = guess.position,
            .token = guess.tail[static_cast<size_t>(guess.tail_size) - 1]});
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
  previous_rows_.clear();
  batch_sequences_.clear();
}

void Drafter::AddRow(const ForwardBatch& step, const Row& row) {
  CHECK_LT(row.position / kBlockSize, step.max_blocks);
  const int64_t block = step.block_tables[static_cast<size_t>(row.sequence * step.max_blocks +
                                                              row.position / kBlockSize)];
  batch_.token_ids.push_back(row.token);
  batch_.positions.push_back(row.position);
  batch_.slots.push_back(block * kBlockSize + row.position % kBlockSize);
  previous_rows_.push_back(row.previous);
}

void Drafter::EndSequence(const ForwardBatch& step, int32_t sequence) {
  const auto table = std::span(step.block_tables)
                         .subspan(static_cast<size_t>(sequence * step.max_blocks),
                                  static_cast<size_t>(step.max_blocks));
  batch_.query_starts.push_back(static_cast<int32_t>(batch_.num_tokens()));
  batch_.block_tables.insert(batch_.block_tables.end(), table.begin(), table.end());
  batch_sequences_.push_back(sequence);
}

// One sample for each sequence that goes on, behind what is known of it.
void Drafter::FillSamples(const Work& work) {
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
}

// `states` holds the rows that previous_rows_ names, and may be hidden_.
void Drafter::RunModule(const Work& work,
                        const TensorView<const float, 2>& states,
                        std::vector<DraftTokens>& drafts) {
  FillSamples(work);
  const ScratchScope scope(HostScratch(work.context));
  const TensorView<float, 2> hidden = hidden_.Slice(0, batch_.num_tokens());
  const BatchSampler::Work sampling = {.model = work.model,
                                       .context = work.context,
                                       .hidden = hidden,
                                       .samples = samples_,
                                       .logprobs = BatchSampler::Logprobs::kNone};
  constexpr int64_t kModule = 0;  // published checkpoints have one, which goes on from itself
  const StepResults results = work.model.BeginMtp(
      kModule,
      {.batch = batch_,
       .cache = work.cache,
       .context = work.context,
       .hidden = hidden,
       .tail = work.sampler.Begin(sampling)},
      {.states = states,
       .rows = MakeView(std::as_const(previous_rows_).data(), batch_.num_tokens())});
  work.model.kernels().device->finish_copies();
  DropNotFinite(work, results.is_finite);
  work.sampler.Finish(sampling, health_, results.token_ids, chosen_);
  TakeDrafts(drafts);
}

// What the module reads later must not be NaN, even by mistake.
void Drafter::DropNotFinite(const Work& work, const TensorView<const int32_t, 1>& is_finite) {
  for (size_t i = 0; i < batch_sequences_.size(); ++i) {
    for (int32_t row = batch_.query_starts[i]; row < batch_.query_starts[i + 1]; ++row) {
      if (is_finite(row) == 0) {
        health_[static_cast<size_t>(batch_sequences_[i])] = RowHealth::kNotFinite;
        work.cache.ZeroRow(batch_.slots[static_cast<size_t>(row)],
                           work.model.config().num_hidden_layers);
      }
    }
  }
}

// A draft for every sequence that goes on; those that have enough leave.
void Drafter::TakeDrafts(std::vector<DraftTokens>& drafts) {
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
