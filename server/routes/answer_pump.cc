#include "server/routes/answer_pump.h"

#include <algorithm>
#include <utility>

#include "server/openai/responses.h"

namespace hadal {
namespace {

constexpr std::string_view kComment = ": keep-alive\n\n";

// Counts a stream as open for as long as it lives.
class OpenStream {
 public:
  explicit OpenStream(ServerMetrics& metrics) : metrics_(metrics) { metrics_.ChangeOpenStreams(1); }
  OpenStream(const OpenStream&) = delete;
  OpenStream& operator=(const OpenStream&) = delete;
  ~OpenStream() { metrics_.ChangeOpenStreams(-1); }

 private:
  ServerMetrics& metrics_;
};

absl::Status ClientGone() {
  return WithHttpStatus(499, Cancelled("the client went away"));
}

}  // namespace

absl::Status AnswerPump::Stream(const EventWriter& writer) {
  const OpenStream open(args_.metrics);
  std::vector<ChoiceDelta> deltas;
  std::string events;
  if (writer.begin != nullptr) {
    writer.begin(events);
  }
  bool has_news = false;  // there is more to send than what `begin` wrote
  TimePoint next_comment = args_.clock.Now() + args_.keep_alive_interval;
  while (true) {
    deltas.clear();
    const absl::StatusOr<Progress> progress = Read(deltas);
    FillCall();
    if (!progress.ok()) {
      if (!args_.call.is_streaming()) {
        return progress.status();
      }
      events += ErrorEvent(progress.status());
      Send(events);
      args_.call.exchange().EndStream();
      return absl::OkStatus();
    }
    for (const ChoiceDelta& delta : deltas) {
      writer.append(delta, events);
      has_news = true;
    }
    if (*progress == Progress::kDone) {
      writer.end(usage(), events);
      if (Send(events)) {
        args_.call.exchange().EndStream();
      }
      return absl::OkStatus();
    }
    const TimePoint now = args_.clock.Now();
    if (now >= next_comment) {
      events += kComment;
      has_news = true;
    }
    if (has_news) {
      if (!Send(events)) {
        args_.call.finish_reason = NameOf(FinishReason::kCancelled);
        return absl::OkStatus();
      }
      has_news = false;
      next_comment = now + args_.keep_alive_interval;
    }
    if (args_.call.exchange().Wait(next_comment) == Exchange::Event::kClientGone) {
      args_.call.finish_reason = NameOf(FinishReason::kCancelled);
      return args_.call.is_streaming() ? absl::OkStatus() : ClientGone();
    }
  }
}

absl::StatusOr<std::vector<ChoiceDelta>> AnswerPump::Collect() {
  std::vector<ChoiceDelta> deltas;
  while (true) {
    const absl::StatusOr<Progress> progress = Read(deltas);
    FillCall();
    RETURN_IF_ERROR(progress.status());
    if (*progress == Progress::kDone) {
      return deltas;
    }
    if (args_.call.exchange().Wait(TimePoint::max()) == Exchange::Event::kClientGone) {
      args_.call.finish_reason = NameOf(FinishReason::kCancelled);
      return ClientGone();
    }
  }
}

Usage AnswerPump::usage() const {
  Usage sum = args_.generations.front()->usage();
  for (size_t g = 1; g < args_.generations.size(); ++g) {
    const Usage& usage = args_.generations[g]->usage();
    sum.prompt_tokens += usage.prompt_tokens;
    sum.completion_tokens += usage.completion_tokens;
    sum.reasoning_tokens += usage.reasoning_tokens;
    sum.drafted_tokens += usage.drafted_tokens;
    sum.cache.cached_tokens += usage.cache.cached_tokens;
  }
  return sum;
}

absl::StatusOr<AnswerPump::Progress> AnswerPump::Read(std::vector<ChoiceDelta>& deltas) {
  if (args_.health.is_aborting()) {
    return Unavailable("the server is shutting down");
  }
  bool more = false;
  for (size_t g = 0; g < args_.generations.size(); ++g) {
    Generation& generation = *args_.generations[g];
    const size_t first = deltas.size();
    more = generation.Read(deltas) || more;
    for (size_t i = first; i < deltas.size(); ++i) {
      deltas[i].choice += static_cast<int32_t>(g) * args_.n;
      if (deltas[i].finish.has_value() && args_.call.finish_reason.empty()) {
        args_.call.finish_reason = NameOf(*deltas[i].finish);
      }
    }
    RETURN_IF_ERROR(generation.failure());
  }
  return more ? Progress::kMore : Progress::kDone;
}

// Sends `events`, with the head before them when that has not been sent, and empties them.
bool AnswerPump::Send(std::string& events) {
  if (!args_.call.is_streaming()) {
    args_.call.BeginEvents();
  }
  const bool sent = events.empty() || args_.call.exchange().Write(events);
  events.clear();
  return sent;
}

void AnswerPump::FillCall() {
  args_.call.usage = usage();
  args_.call.times = args_.generations.front()->times();
}

}  // namespace hadal
