#include "server/openai/chunk_frame.h"

#include <functional>

namespace hadal {
namespace {

constexpr std::string_view kEventEnd = "}\n\n";
constexpr std::string_view kObfuscation = R"(,"obfuscation":")";
constexpr size_t kSmallestEvent = 512;
constexpr size_t kLargestClass = 32768;
constexpr std::string_view kLetters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static_assert(kLetters.size() == 64);

// The size that an event of `size` bytes is filled up to.
size_t SizeClass(size_t size) {
  for (size_t candidate = kSmallestEvent; candidate < kLargestClass; candidate *= 4) {
    if (size <= candidate) {
      return candidate;
    }
  }
  return (size + kLargestClass - 1) / kLargestClass * kLargestClass;
}

// Marsaglia's xorshift64. The letters need not be secret, only their number counts; they vary so
// that nobody compresses them away.
uint64_t Next(uint64_t& state) {
  state ^= state << 13U;
  state ^= state >> 7U;
  state ^= state << 17U;
  return state;
}

void AppendLetters(size_t number, uint64_t& state, std::string& events) {
  constexpr size_t kLettersPerDraw = 10;  // of 6 bits each
  while (number > 0) {
    uint64_t bits = Next(state);
    for (size_t i = 0; i < kLettersPerDraw && number > 0; ++i, --number) {
      events.push_back(kLetters[bits % kLetters.size()]);
      bits /= kLetters.size();
    }
  }
}

}  // namespace

ChunkFrame::ChunkFrame(const AnswerHead& head, std::string_view object, const Delivery& delivery)
    : prefix_("data: "),
      delivery_(delivery),
      random_(std::hash<std::string>()(head.id) | 1U) {  // xorshift64 must not begin with 0
  AppendHead(head, object, prefix_);
}

size_t ChunkFrame::Begin(std::string& events) const {
  const size_t begin = events.size();
  events.append(prefix_);
  return begin;
}

void ChunkFrame::End(size_t begin, std::string& events) {
  events.append(delivery_.include_usage ? R"(],"usage":null)" : "]");
  Close(begin, events);
}

void ChunkFrame::AppendEnd(const Usage& usage, std::string& events) {
  if (delivery_.include_usage) {
    const size_t begin = Begin(events);
    events.append(R"(],"usage":)");
    AppendUsage(usage, events);
    Close(begin, events);
  }
  events.append("data: [DONE]\n\n");
}

void ChunkFrame::Close(size_t begin, std::string& events) {
  if (delivery_.include_obfuscation) {
    const size_t size = events.size() - begin + kObfuscation.size() + 1 + kEventEnd.size();
    events.append(kObfuscation);
    AppendLetters(SizeClass(size) - size, random_, events);
    events.push_back('"');
  }
  events.append(kEventEnd);
}

}  // namespace hadal
