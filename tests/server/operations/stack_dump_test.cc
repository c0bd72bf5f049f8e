#include "server/operations/stack_dump.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <pthread.h>
#include <string>
#include <sys/poll.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <absl/synchronization/notification.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/check.h"

namespace hadal {
namespace {

using testing::HasSubstr;
using testing::Not;

// A thread that waits with a name until the test ends. It waits in `poll`, where ThreadSanitizer
// lets signals through.
class WaitingThread {
 public:
  enum class Signals : int8_t { kTaken, kBlocked };

  WaitingThread(const char* name, Signals signals) {
    CHECK_EQ(pipe(pipe_.data()), 0);
    thread_ = std::thread([this, name, signals] {
      pthread_setname_np(pthread_self(), name);
      if (signals == Signals::kBlocked) {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, nullptr);
      }
      started_.Notify();
      pollfd end = {.fd = pipe_[0], .events = POLLIN, .revents = 0};
      while (poll(&end, 1, -1) != 1) {
        CHECK_EQ(errno, EINTR);
      }
    });
    started_.WaitForNotification();
  }
  WaitingThread(const WaitingThread&) = delete;
  WaitingThread& operator=(const WaitingThread&) = delete;
  ~WaitingThread() {
    EXPECT_EQ(write(pipe_[1], "", 1), 1);
    thread_.join();
    close(pipe_[0]);
    close(pipe_[1]);
  }

 private:
  std::array<int, 2> pipe_ = {};
  absl::Notification started_;
  std::thread thread_;
};

std::string Dump() {
  testing::internal::CaptureStderr();
  DumpStacks();
  return testing::internal::GetCapturedStderr();
}

// What `dump` says after the line that names `thread`, up to the next thread.
std::string StackOf(const std::string& dump, const std::string& thread) {
  const size_t name = dump.find("(" + thread + ")\n");
  if (name == std::string::npos) {
    return "";
  }
  const size_t begin = dump.find('\n', name) + 1;
  return dump.substr(begin, dump.find("--- thread", begin) - begin);
}

// Dumps until the frames of all `threads` are there: on a machine that is busy a thread may come
// too late for its share of a second.
std::string DumpUntilShown(const std::vector<std::string>& threads) {
  while (true) {
    std::string dump = Dump();
    const bool all_shown =
        std::all_of(threads.begin(), threads.end(), [&](const std::string& name) {
          return StackOf(dump, name).find("[0x") != std::string::npos;
        });
    if (all_shown) {
      return dump;
    }
  }
}

TEST(DumpStacksTest, EveryThreadShowsItsFrames) {
  const WaitingThread first("first-waits", WaitingThread::Signals::kTaken);
  const WaitingThread second("second-waits", WaitingThread::Signals::kTaken);
  for (int i = 0; i < 3; ++i) {
    const std::string dump = DumpUntilShown({"first-waits", "second-waits"});
    EXPECT_THAT(StackOf(dump, "first-waits"), Not(HasSubstr("no answer"))) << dump;
    EXPECT_THAT(StackOf(dump, "second-waits"), Not(HasSubstr("no answer"))) << dump;
  }
}

TEST(DumpStacksTest, TheCallerShowsItsOwn) {
  pthread_setname_np(pthread_self(), "the-caller");
  EXPECT_THAT(StackOf(Dump(), "the-caller"), HasSubstr("[0x"));
}

TEST(DumpStacksTest, AThreadThatDoesNotAnswerIsNamedAndTheOthersShown) {
  const WaitingThread deaf("deaf", WaitingThread::Signals::kBlocked);
  const WaitingThread other("other", WaitingThread::Signals::kTaken);
  const std::string dump = DumpUntilShown({"other"});
  EXPECT_THAT(StackOf(dump, "deaf"), HasSubstr("no answer")) << dump;
}

TEST(DumpStacksTest, ALateSignalDoesNoHarm) {
  Dump();
  testing::internal::CaptureStderr();
  ASSERT_EQ(raise(SIGUSR2), 0);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace hadal
