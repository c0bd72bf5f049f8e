#include "server/operations/stack_dump.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <dirent.h>
#include <execinfo.h>
#include <fcntl.h>
#include <string>
#include <string_view>
#include <sys/poll.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

#include <absl/strings/str_format.h>

#include "base/clock.h"

namespace hadal {
namespace {

constexpr int kSignal = SIGUSR2;
constexpr int kMaxFrames = 64;
constexpr std::chrono::milliseconds kLongestWait(1000);
constexpr std::chrono::milliseconds kLongestWaitForOne(200);

// A signal handler has nothing but globals. DumpStacks writes them, under `dump_is_running`.
std::atomic<bool> dump_is_running = false;
std::atomic<pid_t> asked_thread = 0;  // whose stack is wanted; 0: nobody's
std::atomic<int> answer_pipe = -1;    // where a thread that is done writes its id; never closed,
                                      // since that may be late
static_assert(std::atomic<pid_t>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

pid_t CurrentThread() {
  return static_cast<pid_t>(syscall(SYS_gettid));
}

void WriteOwnStack() {
  std::array<void*, kMaxFrames> frames = {};
  const int num_frames = backtrace(frames.data(), kMaxFrames);
  backtrace_symbols_fd(frames.data(), num_frames, STDERR_FILENO);
}

// Only calls that are allowed in a handler. `backtrace` was called before, so that it need not load
// its library here.
extern "C" void HadalWriteStackOnSignal(int /*signal*/) {
  const int saved_errno = errno;
  const pid_t self = CurrentThread();
  pid_t expected = self;
  // A signal that comes after its time is over finds another thread asked, or none.
  if (asked_thread.compare_exchange_strong(expected, 0)) {
    WriteOwnStack();
    const ssize_t written = write(answer_pipe.load(), &self, sizeof(self));
    static_cast<void>(written);  // a full pipe means that nobody reads
  }
  errno = saved_errno;
}

// The ids of all threads of the process, in the order of /proc.
std::vector<pid_t> Threads() {
  std::vector<pid_t> threads;
  DIR* const folder = opendir("/proc/self/task");
  if (folder == nullptr) {
    return threads;
  }
  while (const dirent* entry = readdir(folder)) {  // NOLINT(concurrency-mt-unsafe): own stream
    const std::string_view name = entry->d_name;
    pid_t thread = 0;
    if (std::from_chars(name.begin(), name.end(), thread).ec == std::errc()) {
      threads.push_back(thread);
    }
  }
  closedir(folder);
  return threads;
}

std::string NameOfThread(pid_t thread) {
  std::array<char, 64> name = {};
  const int file = open(absl::StrFormat("/proc/self/task/%d/comm", thread).c_str(), O_RDONLY);
  if (file < 0) {
    return "?";
  }
  const ssize_t num_bytes = read(file, name.data(), name.size());
  close(file);
  const std::string_view text(name.data(), static_cast<size_t>(std::max<ssize_t>(num_bytes, 0)));
  return std::string(text.substr(0, text.find('\n')));
}

void Print(const std::string& text) {
  const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
  static_cast<void>(written);  // there is no other place to say that stderr is gone
}

// Whether `thread` wrote its stack before `deadline`.
bool AskThread(pid_t thread, int answers, TimePoint deadline, const Clock& clock) {
  asked_thread.store(thread);
  bool answered = false;
  if (syscall(SYS_tgkill, getpid(), thread, kSignal) == 0) {  // else it has ended meanwhile
    while (!answered && clock.Now() < deadline) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - clock.Now());
      pollfd waiting = {.fd = answers, .events = POLLIN, .revents = 0};
      pid_t who = 0;
      // Other ids are answers to questions whose time was over.
      answered = poll(&waiting, 1, static_cast<int>(left.count()) + 1) == 1 &&
                 read(answers, &who, sizeof(who)) == sizeof(who) && who == thread;
    }
  }
  asked_thread.store(0);
  return answered;
}

void DumpAll(int answers) {
  const SteadyClock clock;
  const TimePoint deadline = clock.Now() + kLongestWait;
  for (const pid_t thread : Threads()) {
    Print(absl::StrFormat("--- thread %d (%s)\n", thread, NameOfThread(thread)));
    const TimePoint own_deadline = std::min(deadline, clock.Now() + kLongestWaitForOne);
    if (thread == CurrentThread()) {
      WriteOwnStack();
    } else if (!AskThread(thread, answers, own_deadline, clock)) {
      Print("no answer\n");
    }
  }
}

// Made once; -1 where that failed.
int AnswerPipe() {
  static const int kReadEnd = [] {
    std::array<int, 2> ends = {-1, -1};
    if (pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0) {
      answer_pipe.store(ends[1]);
    }
    return ends[0];
  }();
  return kReadEnd;
}

}  // namespace

void DumpStacks() {
  if (dump_is_running.exchange(true)) {
    return;
  }
  std::array<void*, 1> frame = {};
  backtrace(frame.data(), 1);  // loads the unwinder, which a handler must not do

  struct sigaction action = {};
  action.sa_handler = &HadalWriteStackOnSignal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  const int answers = AnswerPipe();
  if (answers >= 0 && sigaction(kSignal, &action, nullptr) == 0) {
    DumpAll(answers);
  }
  dump_is_running.store(false);
}

}  // namespace hadal
