#include "engine/simulated_executor.h"

#include <algorithm>
#include <bit>
#include <chrono>

#include "base/check.h"

namespace hadal {
namespace {

constexpr int64_t kAlwaysCheckedTokens = 512;
constexpr int64_t kCheckedEvery = 16;  // beyond

// What faults are drawn for.
enum Draw : uint64_t { kStepFailure, kSlowStep, kNotFinite, kWrongDraft };

constexpr uint64_t kEmptyPrefix = 0x9E3779B97F4A7C15;

// Murmur3's finisher, which spreads each bit over all.
uint64_t Mix(uint64_t a, uint64_t b) {
  uint64_t hash = a ^ (b + kEmptyPrefix + (a << 6U) + (a >> 2U));
  hash ^= hash >> 33U;
  hash *= 0xFF51AFD7ED558CCD;
  hash ^= hash >> 33U;
  hash *= 0xC4CEB9FE1A85EC53;
  return hash ^ (hash >> 33U);
}

uint64_t Extend(uint64_t prefix, TokenId token) {
  return Mix(prefix, static_cast<uint64_t>(token));
}

uint64_t Extend(uint64_t prefix, std::span<const TokenId> tokens) {
  for (const TokenId token : tokens) {
    prefix = Extend(prefix, token);
  }
  return prefix;
}

uint64_t HashOf(std::span<const TokenId> tokens) {
  return Extend(kEmptyPrefix, tokens);
}

TokenId Choose(uint64_t prefix, const SamplingParams& params, int32_t vocab_size) {
  uint64_t hash = prefix;
  if (params.temperature > 0) {  // as in sampling proper, the highest logit needs no seed
    hash = Mix(Mix(hash, params.seed), std::bit_cast<uint32_t>(params.temperature));
  }
  return static_cast<TokenId>(Mix(hash, 1) % static_cast<uint64_t>(vocab_size));
}

Duration Microseconds(double us) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::micro>(us));
}

int32_t NumTokensOf(const ForwardBatch& batch, int64_t sequence) {
  return batch.query_starts[sequence + 1] - batch.query_starts[sequence];
}

int32_t FirstPositionOf(const ForwardBatch& batch, int64_t sequence) {
  return batch.positions[batch.query_starts[sequence]];
}

int64_t BlockOf(const ForwardBatch& batch, int64_t sequence, int64_t position) {
  CHECK_LT(position / kBlockSize, batch.max_blocks);
  return batch.block_tables[sequence * batch.max_blocks + position / kBlockSize];
}

}  // namespace

SimulatedExecutor::SimulatedExecutor(const Args& args)
    : clock_(args.clock),
      vocab_size_(args.vocab_size),
      draft_accuracy_(args.draft_accuracy),
      cost_(args.cost),
      faults_(args.faults),
      blocks_(args.num_blocks),
      hashes_(args.num_blocks * kBlockSize),
      written_in_(args.num_blocks * kBlockSize, -1) {
  CHECK_GE(args.num_blocks, 1);
  CHECK_GE(args.vocab_size, 1);
}

void SimulatedExecutor::FailStep(int64_t step) {
  CHECK_GE(step, num_steps_);
  failing_steps_.insert(step);
}

void SimulatedExecutor::Submit(const StepInput& input) {
  CHECK(input_ == nullptr);
  input_ = &input;
}

// All the work is done here, so that a caller who touches the input of a running step is noticed.
absl::Status SimulatedExecutor::Wait(StepOutput& output) {
  CHECK(input_ != nullptr);
  const StepInput& input = *input_;
  const ForwardBatch& batch = input.batch;
  input_ = nullptr;

  // 1. The cache: copies, then tokens, with what they rest on held to be sound before and after.
  CheckShape(input);
  for (const BlockCopy& copy : input.copies) {
    Copy(copy);
  }
  for (int64_t i = 0; i < batch.num_sequences(); ++i) {
    CheckPrefix(batch, i, FirstPositionOf(batch, i));
  }
  output.stats = {};
  for (int64_t i = 0; i < batch.num_sequences(); ++i) {
    WriteTokens(batch, i);
    const int64_t first = FirstPositionOf(batch, i);
    const int64_t num_tokens = NumTokensOf(batch, i);
    output.stats.context_tokens += first + num_tokens;
    output.stats.attended_tokens += num_tokens * first + num_tokens * (num_tokens + 1) / 2;
    output.stats.attendable_tokens = output.stats.attended_tokens;
  }
  for (int64_t i = 0; i < batch.num_sequences(); ++i) {
    CheckPrefix(batch, i, FirstPositionOf(batch, i) + NumTokensOf(batch, i));
  }

  // 2. Time.
  const double factor = Happens(faults_.slow_step, kSlowStep, 0) ? faults_.slow_factor : 1;
  const auto num_samples = static_cast<double>(input.samples.size());
  output.forward_time = Microseconds(
      factor * (cost_.fixed_us + cost_.per_token_us * static_cast<double>(batch.num_tokens()) +
                cost_.per_context_token_us * static_cast<double>(output.stats.attended_tokens)));
  output.sample_time = Microseconds(factor * cost_.per_sample_us * num_samples);
  double num_drafts = 0;
  for (const DraftRow& order : input.drafts) {
    num_drafts += order.num_drafts;
  }
  output.draft_time = Microseconds(factor * cost_.per_draft_us * num_drafts);
  clock_.Advance(output.forward_time + output.sample_time + output.draft_time);

  // 3. What comes of it.
  const bool fails =
      failing_steps_.erase(num_steps_) > 0 || Happens(faults_.step_failure, kStepFailure, 0);
  output.health.resize(batch.num_sequences());
  for (int64_t i = 0; i < batch.num_sequences(); ++i) {
    output.health[i] = IsFinite(batch, i) ? RowHealth::kFinite : RowHealth::kNotFinite;
  }
  output.samples.resize(input.samples.size());
  for (size_t i = 0; i < input.samples.size(); ++i) {
    Sample(input, input.samples[i], output.samples[i]);
  }
  Draft(input, output);
  for (int64_t i = 0; i < batch.num_sequences(); ++i) {
    if (fails || output.health[i] == RowHealth::kNotFinite) {
      ForgetTokens(batch, i);
    }
  }
  if (fails) {
    for (const BlockCopy& copy : input.copies) {
      blocks_[copy.destination].num_rows = 0;
    }
  }
  ++num_steps_;
  return fails ? Internal("simulated failure of step %d", num_steps_ - 1) : absl::OkStatus();
}

TokenId SimulatedExecutor::NextToken(std::span<const TokenId> tokens,
                                     const SamplingParams& params,
                                     int32_t vocab_size) {
  return Choose(HashOf(tokens), params, vocab_size);
}

void SimulatedExecutor::CheckShape(const StepInput& input) const {
  const ForwardBatch& batch = input.batch;
  CHECK_GE(batch.num_tokens(), 1);
  CHECK_EQ(std::ssize(batch.positions), batch.num_tokens());
  CHECK_EQ(std::ssize(batch.slots), batch.num_tokens());
  CHECK_GE(batch.num_sequences(), 1);
  CHECK_EQ(std::ssize(batch.block_tables), batch.num_sequences() * batch.max_blocks);
  CHECK_EQ(batch.query_starts.front(), 0);
  CHECK_EQ(batch.query_starts.back(), batch.num_tokens());
  for (int64_t i = 0; i < batch.num_sequences(); ++i) {
    CHECK_GE(NumTokensOf(batch, i), 1);
    CHECK_GE(FirstPositionOf(batch, i), 0);
  }
  int32_t last_row = 0;
  for (const SampleRow& sample : input.samples) {
    CHECK_GE(sample.row, last_row);
    CHECK(sample.sequence >= 0 && sample.sequence < batch.num_sequences());
    CHECK_GE(sample.row, batch.query_starts[sample.sequence]);
    CHECK_LT(sample.row, batch.query_starts[sample.sequence + 1]);
    CHECK(sample.params != nullptr);
    CHECK_EQ(std::ssize(sample.tokens) + std::ssize(sample.drafts),
             batch.positions[sample.row] + 1);
    CHECK_EQ(sample.drafts.empty() ? sample.tokens.back() : sample.drafts.back(),
             batch.token_ids[sample.row]);
    CHECK(sample.num_prompt_tokens >= 1 && sample.num_prompt_tokens <= std::ssize(sample.tokens));
    last_row = sample.row;
  }
}

void SimulatedExecutor::Copy(const BlockCopy& copy) {
  CHECK(copy.source >= 0 && copy.source < std::ssize(blocks_));
  CHECK(copy.destination >= 0 && copy.destination < std::ssize(blocks_));
  CHECK_NE(copy.source, copy.destination);
  blocks_[copy.destination] = blocks_[copy.source];
  const auto source = hashes_.begin() + copy.source * kBlockSize;
  std::copy(source, source + kBlockSize, hashes_.begin() + copy.destination * kBlockSize);
}

// The rows that hold positions [0, num_positions) of a sequence are one chain.
void SimulatedExecutor::CheckPrefix(const ForwardBatch& batch,
                                    int64_t sequence,
                                    int64_t num_positions) const {
  uint64_t prefix = kEmptyPrefix;
  for (int64_t begin = 0; begin < num_positions; begin += kBlockSize) {
    const int64_t block = BlockOf(batch, sequence, begin);
    CHECK(block >= 0 && block < std::ssize(blocks_));
    const int64_t num_rows_needed = std::min(kBlockSize, num_positions - begin);
    CHECK_GE(blocks_[block].num_rows, num_rows_needed);
    CHECK_EQ(blocks_[block].parent, prefix);
    prefix = hashes_[block * kBlockSize + num_rows_needed - 1];
  }
}

void SimulatedExecutor::WriteTokens(const ForwardBatch& batch, int64_t sequence) {
  const int32_t begin = batch.query_starts[sequence];
  const int64_t first = batch.positions[begin];
  uint64_t prefix = kEmptyPrefix;
  if (first > 0) {
    const int64_t slot =
        BlockOf(batch, sequence, first - 1) * kBlockSize + (first - 1) % kBlockSize;
    CHECK_NE(written_in_[slot], num_steps_);  // else that position is not in the cache already
    prefix = hashes_[slot];
  }
  for (int32_t i = 0; i < NumTokensOf(batch, sequence); ++i) {
    const int64_t position = first + i;
    CHECK_EQ(batch.positions[begin + i], position);
    const int64_t block = BlockOf(batch, sequence, position);
    CHECK(block >= 0 && block < std::ssize(blocks_));
    const int64_t row = position % kBlockSize;
    const int64_t slot = block * kBlockSize + row;
    CHECK_EQ(batch.slots[begin + i], slot);
    CHECK_NE(written_in_[slot], num_steps_);  // else two tokens have one slot
    written_in_[slot] = num_steps_;
    Block& state = blocks_[block];
    if (row == 0 && state.parent != prefix) {
      state = {.parent = prefix, .num_rows = 0};
    }
    CHECK_LE(row, state.num_rows);  // else another sequence of this step spoilt the block
    prefix = Extend(prefix, batch.token_ids[begin + i]);
    // What was made from another row than this is garbage from now on.
    const bool same = row < state.num_rows && hashes_[slot] == prefix;
    hashes_[slot] = prefix;
    state.num_rows = same ? state.num_rows : row + 1;
  }
}

void SimulatedExecutor::ForgetTokens(const ForwardBatch& batch, int64_t sequence) {
  for (int32_t i = batch.query_starts[sequence]; i < batch.query_starts[sequence + 1]; ++i) {
    Block& block = blocks_[batch.slots[i] / kBlockSize];
    block.num_rows = std::min(block.num_rows, batch.slots[i] % kBlockSize);
  }
}

void SimulatedExecutor::Sample(const StepInput& input,
                               const SampleRow& row,
                               SampledToken& sampled) const {
  const uint64_t prefix = hashes_[input.batch.slots[row.row]];
  const int64_t num_tokens = std::ssize(row.tokens);
  if (num_tokens <= kAlwaysCheckedTokens || num_tokens % kCheckedEvery == 0 ||
      num_tokens == row.num_prompt_tokens) {
    CHECK_EQ(prefix, Extend(HashOf(row.tokens), row.drafts));
  }
  sampled.token = Choose(prefix, *row.params, vocab_size_);
  sampled.logprob = 0;
  sampled.top_logprobs.clear();
  if (row.params->num_logprobs < 0) {
    return;
  }
  sampled.logprob = -static_cast<float>(prefix % 1024) / 128;
  for (int32_t i = 0; i < row.params->num_logprobs; ++i) {
    sampled.top_logprobs.push_back({.token = (sampled.token + i) % vocab_size_,
                                    .logprob = sampled.logprob - static_cast<float>(i)});
  }
}

void SimulatedExecutor::Draft(const StepInput& input, StepOutput& output) const {
  const ForwardBatch& batch = input.batch;
  CHECK(input.drafts.empty() || std::ssize(input.drafts) == batch.num_sequences());
  output.drafts.assign(input.drafts.size(), {});
  size_t end = 0;
  for (size_t s = 0; s < input.drafts.size(); ++s) {
    const size_t first = end;
    while (end < input.samples.size() && input.samples[end].sequence == static_cast<int32_t>(s)) {
      ++end;
    }
    const int32_t num_drafts = input.drafts[s].num_drafts;
    CHECK(num_drafts == 0 || first < end);
    if (num_drafts == 0) {
      continue;
    }
    const SampleRow& sample = input.samples[first];
    const auto samples = std::span(output.samples).subspan(first, end - first);
    const auto rows = std::span(batch.token_ids).subspan(sample.row + 1, end - first - 1);
    const int64_t last_row = sample.row + NumAccepted(rows, samples);
    // Its rows go on behind the last one of the batch, were all drafts accepted.
    const int64_t last_position = batch.positions[batch.query_starts[s + 1] - 1] + num_drafts - 1;
    for (int64_t position = batch.positions[sample.row]; position <= last_position; ++position) {
      const int64_t block = BlockOf(batch, static_cast<int64_t>(s), position);
      CHECK(block >= 0 && block < std::ssize(blocks_));
    }
    uint64_t prefix = Extend(hashes_[batch.slots[last_row]], samples[last_row - sample.row].token);
    DraftTokens& drafts = output.drafts[s];
    while (drafts.size < num_drafts) {
      const bool is_wrong =
          Happens(1 - draft_accuracy_, kWrongDraft, std::bit_cast<int64_t>(prefix));
      const TokenId token = Choose(prefix, *sample.params, vocab_size_);
      drafts.tokens[drafts.size++] = is_wrong ? (token + 1) % vocab_size_ : token;
      prefix = Extend(prefix, token);
    }
  }
}

bool SimulatedExecutor::IsFinite(const ForwardBatch& batch, int64_t sequence) const {
  const auto first = batch.token_ids.begin() + batch.query_starts[sequence];
  const auto last = batch.token_ids.begin() + batch.query_starts[sequence + 1];
  return std::find(first, last, faults_.poison_token) == last &&
         !Happens(faults_.not_finite, kNotFinite, sequence);
}

// Drawn from the step's number, not from a generator: what one fault does never moves the others.
bool SimulatedExecutor::Happens(double probability, uint64_t kind, int64_t index) const {
  const uint64_t draw = Mix(Mix(Mix(faults_.seed, kind), static_cast<uint64_t>(num_steps_)),
                            static_cast<uint64_t>(index));
  return static_cast<double>(draw >> 11U) * 0x1p-53 < probability;
}

}  // namespace hadal
