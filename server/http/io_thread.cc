#include "server/http/io_thread.h"

#include <pthread.h>
#include <utility>

#include <absl/strings/str_format.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>
#include <boost/asio/post.hpp>

#include "base/check.h"

namespace hadal {
namespace {

constexpr Duration kDelayInterval = std::chrono::milliseconds(250);
constexpr int kOneThread = 1;  // Asio then spares itself some synchronisation

std::mt19937_64 SeededGenerator() {
  std::random_device device;
  std::seed_seq seed{device(), device(), device(), device()};
  return std::mt19937_64(seed);
}

}  // namespace

IoThread::IoThread(std::function<void(Duration delay)> was_busy)
    : context_(kOneThread),
      wake_queue_(std::make_shared<WakeQueue>(context_)),
      was_busy_(std::move(was_busy)),
      delay_timer_(context_),
      random_(SeededGenerator()),
      work_(boost::asio::make_work_guard(context_)) {
  if (was_busy_ != nullptr) {
    delay_timer_.expires_after(kDelayInterval);
    MeasureDelay();
  }
}

IoThread::~IoThread() {
  CHECK(!thread_.joinable());
  CHECK(connections_.empty());
  wake_queue_->Close();
}

void IoThread::Start(const std::string& name) {
  thread_ = std::thread([this] { context_.run(); });
  pthread_setname_np(thread_.native_handle(), name.c_str());
}

void IoThread::Post(std::function<void()> function) {
  boost::asio::post(context_, std::move(function));
}

void IoThread::Finish() {
  Post([this] {
    work_.reset();
    delay_timer_.cancel();
  });
}

void IoThread::MeasureDelay() {
  delay_timer_.async_wait([this](const boost::system::error_code& error) {
    if (error || !work_.owns_work()) {
      return;
    }
    was_busy_(std::chrono::steady_clock::now() - delay_timer_.expiry());
    delay_timer_.expires_after(kDelayInterval);
    MeasureDelay();
  });
}

std::string_view IoThread::Date() {
  const absl::Time now = absl::Now();
  const int64_t second = absl::ToUnixSeconds(now);
  if (second != date_second_) {
    date_second_ = second;
    date_ = absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", now, absl::UTCTimeZone());
  }
  return date_;
}

std::string IoThread::FreshRequestId() {
  const uint64_t high = random_();
  const uint64_t low = random_();
  return absl::StrFormat("%016x%016x", high, low);
}

}  // namespace hadal
