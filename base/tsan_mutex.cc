// ThreadSanitizer does not see through Debian's absl::Mutex, which is built without it. The linker
// sends calls of the functions below here (--wrap in CMakeLists.txt), and these tell it what a
// mutex means. Only in the tsan build.
//
// A condition may be evaluated by another thread, inside of its Unlock: it then reads what the lock
// still guards, after the release has been announced. Reads inside of Abseil are therefore ignored.

#include <sanitizer/tsan_interface.h>

#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#define HADAL_MUTEX(prefix, name) prefix##_ZN4absl7debian35Mutex##name

extern "C" {

void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);

void HADAL_MUTEX(__real_, 4LockEv)(absl::Mutex* mutex);
void HADAL_MUTEX(__real_, 6UnlockEv)(absl::Mutex* mutex);
void HADAL_MUTEX(__real_, 5AwaitERKNS0_9ConditionE)(absl::Mutex* mutex,
                                                    const absl::Condition& condition);
bool HADAL_MUTEX(__real_, 16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE)(
    absl::Mutex* mutex, const absl::Condition& condition, absl::Duration timeout);

void HADAL_MUTEX(__wrap_, 4LockEv)(absl::Mutex* mutex) {
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  HADAL_MUTEX(__real_, 4LockEv)(mutex);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  __tsan_acquire(mutex);
}

void HADAL_MUTEX(__wrap_, 6UnlockEv)(absl::Mutex* mutex) {
  __tsan_release(mutex);
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  HADAL_MUTEX(__real_, 6UnlockEv)(mutex);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}

void HADAL_MUTEX(__wrap_, 5AwaitERKNS0_9ConditionE)(absl::Mutex* mutex,
                                                    const absl::Condition& condition) {
  __tsan_release(mutex);
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  HADAL_MUTEX(__real_, 5AwaitERKNS0_9ConditionE)(mutex, condition);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  __tsan_acquire(mutex);
}

bool HADAL_MUTEX(__wrap_, 16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE)(
    absl::Mutex* mutex, const absl::Condition& condition, absl::Duration timeout) {
  __tsan_release(mutex);
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  const bool is_true = HADAL_MUTEX(__real_, 16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE)(
      mutex, condition, timeout);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  __tsan_acquire(mutex);
  return is_true;
}

}  // extern "C"
