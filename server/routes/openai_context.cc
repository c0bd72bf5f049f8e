#include "server/routes/openai_context.h"

#include <chrono>
#include <random>
#include <utility>

namespace hadal {
namespace {

// The prefix and 24 letters and digits.
std::string NewAnswerId(std::string_view prefix) {
  constexpr std::string_view kLetters =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  thread_local std::mt19937_64 random{std::random_device{}()};
  std::uniform_int_distribution<size_t> letter(0, kLetters.size() - 1);
  std::string id(prefix);
  for (int32_t i = 0; i < 24; ++i) {
    id.push_back(kLetters[letter(random)]);
  }
  return id;
}

int64_t SecondsSince1970() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

}  // namespace

AnswerHead OpenAiContext::NewHead(std::string_view id_prefix, const std::string& name) const {
  return {.id = NewAnswerId(id_prefix),
          .created = SecondsSince1970(),
          .model = name.empty() ? model().names().front() : name,
          .system_fingerprint = system_fingerprint};
}

absl::StatusOr<std::unique_ptr<Generation>> OpenAiContext::Start(
    Call& call,
    Prompt prompt,
    const GenerationParams& params,
    AnswerKind kind,
    Admission::Reservation reservation) const {
  return Generation::Start({.context = generation,
                            .prompt = std::move(prompt),
                            .params = params,
                            .kind = kind,
                            .tenant = call.tenant.value_or(TenantId{}),
                            .arrival = call.arrival(),
                            .reservation = std::move(reservation),
                            .on_news = [waker = call.exchange().waker()] { waker->Notify(); }});
}

AnswerPump OpenAiContext::NewPump(Call& call,
                                  std::vector<std::unique_ptr<Generation>> generations,
                                  int32_t n) const {
  return AnswerPump({.call = call,
                     .generations = std::move(generations),
                     .n = n,
                     .clock = generation.clock,
                     .health = health,
                     .metrics = generation.metrics,
                     .keep_alive_interval = keep_alive_interval});
}

}  // namespace hadal
