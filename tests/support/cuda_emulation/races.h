#pragma once

// What ThreadSanitizer is told of the emulator's threads where it is there (nothing elsewhere), so
// that it finds their races as if they ran at once: each is a fiber of its own, and what orders
// their accesses is told by Release and Acquire. What ends the release of a tag happens before what
// follows a later acquire of it.

#ifdef HADAL_FINDS_RACES
#include <sanitizer/tsan_interface.h>
/// For functions of the emulator's own that threads share memory through.
#define HADAL_NO_RACES __attribute__((no_sanitize("thread")))
#else
#define HADAL_NO_RACES
#endif

namespace hadal::emulation {

#ifdef HADAL_FINDS_RACES
inline constexpr bool kFindsRaces = true;
#else
inline constexpr bool kFindsRaces = false;
#endif

/// An order of events; only its address counts.
struct alignas(8) OrderTag {
  char unused[8];
};

inline void Release([[maybe_unused]] OrderTag& tag) {
#ifdef HADAL_FINDS_RACES
  __tsan_release(&tag);
#endif
}

inline void Acquire([[maybe_unused]] OrderTag& tag) {
#ifdef HADAL_FINDS_RACES
  __tsan_acquire(&tag);
#endif
}

/// Whom accesses are ascribed to.
class Actor {
 public:
  /// Knows what its creator does.
  static Actor Create() {
#ifdef HADAL_FINDS_RACES
    return Actor(__tsan_create_fiber(0));
#else
    return Actor(nullptr);
#endif
  }
  static Actor Current() {
#ifdef HADAL_FINDS_RACES
    return Actor(__tsan_get_current_fiber());
#else
    return Actor(nullptr);
#endif
  }

  Actor() = default;

  /// From now on. What was before is ordered before what follows only when `is_ordered`.
  void Act([[maybe_unused]] bool is_ordered) const {
#ifdef HADAL_FINDS_RACES
    __tsan_switch_to_fiber(fiber_, is_ordered ? 0 : __tsan_switch_to_fiber_no_sync);
#endif
  }

  void Destroy() const {
#ifdef HADAL_FINDS_RACES
    __tsan_destroy_fiber(fiber_);
#endif
  }

 private:
  explicit Actor(void* fiber) : fiber_(fiber) {}

  [[maybe_unused]] void* fiber_ = nullptr;
};

}  // namespace hadal::emulation
