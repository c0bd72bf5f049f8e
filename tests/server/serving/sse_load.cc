// hadal-sse-load PORT [NAME=VALUE...]: streamed chats for a server on this machine, each on a
// connection of its own, from one thread. Prints what became of them as one line of JSON.
//
// Names, with their defaults: see Settings below. Requests come at `rate` a second for `seconds`,
// by chance, or, without a rate, all `streams` of them at once; each has its time from when it
// should have come, however late this program was. Statistics are of requests that began after
// `warmup`. With abort_max the client breaks off, by a reset, after a random number of events. With
// read_rate it takes so many bytes a second, one at a time.

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <queue>
#include <random>
#include <span>
#include <string>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>

#include "base/check.h"
#include "base/status.h"
#include "tests/server/serving/load_stream.h"

namespace hadal {
namespace {

using Settings = std::map<std::string, double>;

Settings DefaultSettings() {
  return {{"streams", 64},
          {"rate", 0},
          {"seconds", 5},
          {"warmup", 0},
          {"max_tokens", 100},
          {"spread", 0},  // 0.5: from half of max_tokens to one and a half
          {"n", 1},
          {"obfuscated", 0},  // 1: every event is filled up to 512 bytes at least
          {"prompt_words", 8},
          {"abort_min", 0},
          {"abort_max", 0},
          {"read_rate", 0},
          {"open_per_ms", 10},
          {"give_up", 120},
          {"seed", 1}};
}

constexpr int32_t kNumClientAddresses = 8;  // each has ports of its own
constexpr int kSmallBuffer = 1;             // the kernel takes its smallest instead
constexpr uint64_t kMaxReadyEvents = 1024;
constexpr size_t kReadBytes = 64 << 10;
constexpr double kMillion = 1e6;

Duration Seconds(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

double Milliseconds(Duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

// What was measured of one kind, in milliseconds.
class Samples {
 public:
  void Add(Duration duration) { values_.push_back(Milliseconds(duration)); }

  std::string Json() {
    std::sort(values_.begin(), values_.end());
    return absl::StrFormat(R"({"count":%d,"p50":%.3f,"p90":%.3f,"p99":%.3f,"max":%.3f})",
                           values_.size(),
                           At(0.5),
                           At(0.9),
                           At(0.99),
                           At(1));
  }

 private:
  [[nodiscard]] double At(double share) const {
    if (values_.empty()) {
      return 0;
    }
    const double index = share * static_cast<double>(values_.size() - 1);
    return values_[static_cast<size_t>(std::lround(index))];
  }

  std::vector<double> values_;
};

class Load {
 public:
  Load(uint16_t port, Settings settings)
      : settings_(std::move(settings)),
        port_(port),
        random_(static_cast<uint64_t>(Get("seed"))),
        epoll_(epoll_create1(0)) {
    CHECK_GE(epoll_, 0);
  }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;
  ~Load() { close(epoll_); }

  void Run();
  std::string Json();

 private:
  struct Client {
    LoadStream stream;
    int socket = -1;
    std::string request = {};    // that is not sent yet
    int64_t events_to_take = 0;  // then it breaks off; 0: never
    TimePoint last_event{};
  };

  double Get(const char* name) const { return settings_.at(name); }
  std::string MakeRequest();
  void Schedule();
  void OpenDue(TimePoint now);
  void Open(TimePoint start);
  void Serve(Client& client);
  void Read(Client& client, size_t max_bytes);
  void End(Client& client, LoadEnd end);
  void ReadSlowly(TimePoint now);
  [[nodiscard]] int NextWaitMs(TimePoint now) const;

  const Settings settings_;
  const uint16_t port_;
  std::mt19937_64 random_;
  const int epoll_;
  std::vector<char> buffer_ = std::vector<char>(kReadBytes);
  TimePoint begin_{};
  std::queue<TimePoint> arrivals_;
  std::map<int, std::unique_ptr<Client>> clients_;  // by their sockets
  int32_t num_opened_ = 0;
  TimePoint next_slow_read_{};

  std::map<LoadEnd, int64_t> ends_;
  std::map<int32_t, int64_t> statuses_;
  Samples first_events_;
  Samples gaps_;
  Samples refusals_;
  Samples lags_;
  int64_t num_events_ = 0;
  int64_t num_good_ = 0;  // done between warm-up and the last arrival
  int64_t num_without_retry_after_ = 0;
  int64_t min_retry_after_ = 0;
  int64_t max_retry_after_ = 0;
  int64_t num_open_at_most_ = 0;
};

std::string Load::MakeRequest() {
  const double spread = Get("spread");
  const double max_tokens =
      Get("max_tokens") * std::uniform_real_distribution(1 - spread, 1 + spread)(random_);
  std::string prompt;
  for (int64_t i = 0; i < static_cast<int64_t>(Get("prompt_words")); ++i) {
    prompt += " word";
  }
  const std::string options =
      Get("obfuscated") > 0 ? R"(,"stream_options":{"include_obfuscation":true})" : "";
  const std::string body = absl::StrFormat(
      R"({"model":"sim","messages":[{"role":"user","content":"Tell me.%s"}],"max_tokens":%d,)"
      R"("ignore_eos":true,"stream":true,"n":%d%s})",
      prompt,
      std::max(std::lround(max_tokens), 1L),
      static_cast<int64_t>(Get("n")),
      options);
  return absl::StrFormat(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
      "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
      body.size(),
      body);
}

void Load::Schedule() {
  const double rate = Get("rate");
  if (rate == 0) {
    const auto pause = Seconds(1e-3 / Get("open_per_ms"));
    for (int64_t i = 0; i < static_cast<int64_t>(Get("streams")); ++i) {
      arrivals_.push(begin_ + i * pause);
    }
    return;
  }
  std::exponential_distribution<double> gap(rate);
  double time = gap(random_);
  while (time < Get("seconds")) {
    arrivals_.push(begin_ + Seconds(time));
    time += gap(random_);
  }
}

void Load::Run() {
  begin_ = SteadyClock().Now();
  Schedule();
  const TimePoint end = begin_ + Seconds(Get("give_up"));
  std::vector<epoll_event> ready(kMaxReadyEvents);
  TimePoint now = begin_;
  while ((!arrivals_.empty() || !clients_.empty()) && now < end) {
    OpenDue(now);
    const int num_ready =
        epoll_wait(epoll_, ready.data(), static_cast<int>(ready.size()), NextWaitMs(now));
    for (int i = 0; i < num_ready; ++i) {
      const auto found = clients_.find(ready[static_cast<size_t>(i)].data.fd);
      if (found != clients_.end()) {
        Serve(*found->second);
      }
    }
    now = SteadyClock().Now();
    ReadSlowly(now);
  }
  while (!clients_.empty()) {
    End(*clients_.begin()->second, LoadEnd::kAborted);
  }
}

int Load::NextWaitMs(TimePoint now) const {
  double wait = 100;
  if (!arrivals_.empty()) {
    wait = std::min(wait, Milliseconds(arrivals_.front() - now));
  }
  if (Get("read_rate") > 0) {
    wait = std::min(wait, Milliseconds(next_slow_read_ - now));
  }
  return static_cast<int>(std::max(wait, 0.0));  // rounded down: late is worse than busy
}

void Load::OpenDue(TimePoint now) {
  while (!arrivals_.empty() && arrivals_.front() <= now) {
    lags_.Add(now - arrivals_.front());
    Open(arrivals_.front());
    arrivals_.pop();
  }
}

void Load::Open(TimePoint start) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  CHECK_GE(socket, 0);
  const int on = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
  const bool is_slow = Get("read_rate") > 0;
  if (is_slow) {
    setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &kSmallBuffer, sizeof(kSmallBuffer));
  }
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr =
      htonl(INADDR_LOOPBACK + static_cast<uint32_t>(num_opened_++ % kNumClientAddresses));
  CHECK_EQ(bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port_);
  auto client = std::make_unique<Client>(
      Client{.stream = LoadStream(start), .socket = socket, .request = MakeRequest()});
  if (Get("abort_max") > 0) {
    client->events_to_take = std::uniform_int_distribution<int64_t>(
        static_cast<int64_t>(Get("abort_min")), static_cast<int64_t>(Get("abort_max")))(random_);
  }
  const int connected = connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address));
  const bool failed = connected != 0 && errno != EINPROGRESS;
  Client& added = *clients_.emplace(socket, std::move(client)).first->second;
  num_open_at_most_ = std::max(num_open_at_most_, static_cast<int64_t>(clients_.size()));
  if (failed) {
    End(added, LoadEnd::kBroken);
    return;
  }
  epoll_event event = {.events = EPOLLOUT | EPOLLIN, .data = {.fd = socket}};
  CHECK_EQ(epoll_ctl(epoll_, EPOLL_CTL_ADD, socket, &event), 0);
}

void Load::Serve(Client& client) {
  if (!client.request.empty()) {
    const ssize_t sent =
        send(client.socket, client.request.data(), client.request.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
      End(client, LoadEnd::kBroken);
      return;
    }
    client.request.erase(0, static_cast<size_t>(std::max(sent, ssize_t{0})));
    if (!client.request.empty()) {
      return;
    }
    const bool is_slow = Get("read_rate") > 0;  // reads by time, not when there is something
    epoll_event event = {.events = is_slow ? 0U : static_cast<uint32_t>(EPOLLIN),
                         .data = {.fd = client.socket}};
    CHECK_EQ(epoll_ctl(epoll_, EPOLL_CTL_MOD, client.socket, &event), 0);
    return;
  }
  Read(client, buffer_.size());
}

// One read: level-triggered polling tells of the rest.
void Load::Read(Client& client, size_t max_bytes) {
  const ssize_t num_bytes = recv(client.socket, buffer_.data(), max_bytes, 0);
  const TimePoint now = SteadyClock().Now();
  if (num_bytes <= 0) {
    if (num_bytes == 0 || errno != EAGAIN) {
      End(client, num_bytes == 0 ? client.stream.End() : LoadEnd::kBroken);
    }
    return;
  }
  LoadStream& stream = client.stream;
  const int64_t num_before = stream.num_events();
  stream.Take({buffer_.data(), static_cast<size_t>(num_bytes)}, now);
  if (stream.num_events() > num_before) {
    const bool counts = stream.start() >= begin_ + Seconds(Get("warmup"));
    if (num_before > 0 && counts) {
      gaps_.Add(now - client.last_event);
    }
    client.last_event = now;
  }
  if (client.events_to_take > 0 && stream.num_events() >= client.events_to_take) {
    const linger reset = {.l_onoff = 1, .l_linger = 0};
    setsockopt(client.socket, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    End(client, LoadEnd::kAborted);
  }
}

void Load::ReadSlowly(TimePoint now) {
  const double rate = Get("read_rate");
  if (rate == 0 || now < next_slow_read_) {
    return;
  }
  next_slow_read_ = now + Seconds(1 / rate);
  std::vector<Client*> clients;
  for (const auto& [socket, client] : clients_) {
    clients.push_back(client.get());
  }
  for (Client* const client : clients) {
    if (client->request.empty()) {
      Read(*client, 1);
    }
  }
}

void Load::End(Client& client, LoadEnd end) {
  const LoadStream& stream = client.stream;
  const TimePoint now = SteadyClock().Now();
  ++ends_[end];
  ++statuses_[stream.status()];
  num_events_ += stream.num_events();
  if (end == LoadEnd::kRefused && stream.status() == 429) {
    const int64_t seconds = stream.retry_after_s().value_or(0);
    const bool is_first = min_retry_after_ == 0;
    num_without_retry_after_ += stream.retry_after_s().has_value() ? 0 : 1;
    min_retry_after_ = is_first ? seconds : std::min(min_retry_after_, seconds);
    max_retry_after_ = std::max(max_retry_after_, seconds);
  }
  const TimePoint warm = begin_ + Seconds(Get("warmup"));
  if (end == LoadEnd::kDone && now >= warm && now < begin_ + Seconds(Get("seconds"))) {
    ++num_good_;
  }
  if (stream.start() >= warm) {
    if (end == LoadEnd::kRefused) {
      refusals_.Add(stream.head_time() - stream.start());
    } else if (stream.num_events() > 0) {
      first_events_.Add(stream.first_event_time() - stream.start());
    }
  }
  close(client.socket);
  clients_.erase(client.socket);
}

std::string Load::Json() {
  std::string statuses;
  for (const auto& [status, count] : statuses_) {
    absl::StrAppendFormat(&statuses, R"(%s"%d":%d)", statuses.empty() ? "" : ",", status, count);
  }
  const double seconds = std::chrono::duration<double>(SteadyClock().Now() - begin_).count();
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto cpu_of = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / kMillion;
  };
  return absl::StrFormat(
      R"({"done":%d,"error_events":%d,"refused":%d,"aborted":%d,"broken":%d,"statuses":{%s},)"
      R"("events":%d,"seconds":%.3f,"goodput":%.3f,"open_at_most":%d,"retry_after":)"
      R"({"missing":%d,"min":%d,"max":%d},"cpu_seconds":%.3f,"ttft_ms":%s,"gap_ms":%s,)"
      R"("refusal_ms":%s,"lag_ms":%s})",
      ends_[LoadEnd::kDone],
      ends_[LoadEnd::kErrorEvent],
      ends_[LoadEnd::kRefused],
      ends_[LoadEnd::kAborted],
      ends_[LoadEnd::kBroken],
      statuses,
      num_events_,
      seconds,
      static_cast<double>(num_good_) / (Get("seconds") - Get("warmup")),
      num_open_at_most_,
      num_without_retry_after_,
      min_retry_after_,
      max_retry_after_,
      cpu_of(usage.ru_utime) + cpu_of(usage.ru_stime),
      first_events_.Json(),
      gaps_.Json(),
      refusals_.Json(),
      lags_.Json());
}

absl::StatusOr<Settings> ReadSettings(std::span<char* const> arguments) {
  Settings settings = DefaultSettings();
  for (const std::string argument : arguments) {
    const size_t equals = argument.find('=');
    const auto found = settings.find(argument.substr(0, equals));
    if (equals == std::string::npos || found == settings.end() ||
        !absl::SimpleAtod(argument.substr(equals + 1), &found->second)) {
      return InvalidArgument("%s: expected NAME=NUMBER of a known name", argument);
    }
  }
  return settings;
}

absl::Status Run(std::span<char* const> arguments) {
  int32_t port = 0;
  if (arguments.size() < 2 || !absl::SimpleAtoi(arguments[1], &port)) {
    return InvalidArgument("usage: hadal-sse-load PORT [NAME=VALUE...]");
  }
  ASSIGN_OR_RETURN(const Settings settings, ReadSettings(arguments.subspan(2)));
  Load load(static_cast<uint16_t>(port), settings);
  load.Run();
  std::printf("%s\n", load.Json().c_str());
  return absl::OkStatus();
}

}  // namespace
}  // namespace hadal

int main(int argc, char** argv) {
  const absl::Status status = hadal::Run(std::span(argv, static_cast<size_t>(argc)));
  if (!status.ok()) {
    std::fprintf(stderr, "hadal-sse-load: %s\n", status.ToString().c_str());
    return 2;
  }
  return 0;
}
