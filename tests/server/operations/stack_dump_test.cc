#include "server/operations/stack_dump.h"

#include <csignal>
#include <pthread.h>
#include <string>
#include <thread>

#include <absl/strings/str_split.h>
#include <absl/synchronization/notification.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hadal {
namespace {

using testing::HasSubstr;
using testing::Not;

// Threads that wait with a name until the test ends.
class WaitingThread {
 public:
  explicit WaitingThread(const char* name, bool blocks_signals)
      : thread_([this, name, blocks_signals] {
          pthread_setname_np(pthread_self(), name);
          if (blocks_signals) {
            sigset_t all;
            sigfillset(&all);
            pthread_sigmask(SIG_BLOCK, &all, nullptr);
          }
          started_.Notify();
          end_.WaitForNotification();
        }) {
    started_.WaitForNotification();
  }
  WaitingThread(const WaitingThread&) = delete;
  WaitingThread& operator=(const WaitingThread&) = delete;
  ~WaitingThread() {
    end_.Notify();
    thread_.join();
  }

 private:
  absl::Notification started_;
  absl::Notification end_;
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

TEST(DumpStacksTest, EveryThreadShowsItsFrames) {
  const WaitingThread first("first-waits", false);
  const WaitingThread second("second-waits", false);
  for (int i = 0; i < 3; ++i) {
    const std::string dump = Dump();
    for (const char* thread : {"first-waits", "second-waits"}) {
      EXPECT_THAT(StackOf(dump, thread), HasSubstr("[0x")) << dump;
      EXPECT_THAT(StackOf(dump, thread), Not(HasSubstr("no answer"))) << dump;
    }
  }
}

TEST(DumpStacksTest, TheCallerShowsItsOwn) {
  pthread_setname_np(pthread_self(), "the-caller");
  EXPECT_THAT(StackOf(Dump(), "the-caller"), HasSubstr("[0x"));
}

TEST(DumpStacksTest, AThreadThatDoesNotAnswerIsNamedAndTheOthersShown) {
  const WaitingThread deaf("deaf", true);
  const WaitingThread other("other", false);
  const std::string dump = Dump();
  EXPECT_THAT(StackOf(dump, "deaf"), HasSubstr("no answer")) << dump;
  EXPECT_THAT(StackOf(dump, "other"), HasSubstr("[0x")) << dump;
}

TEST(DumpStacksTest, ALateSignalDoesNoHarm) {
  Dump();
  testing::internal::CaptureStderr();
  ASSERT_EQ(raise(SIGUSR2), 0);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace hadal
