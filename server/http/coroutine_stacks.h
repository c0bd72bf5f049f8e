#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include <boost/context/stack_context.hpp>

namespace hadal {

/// Tells AddressSanitizer, which has to know when an exception is thrown, on which stack a thread
/// runs. Does nothing in other builds.
class CoroutineStackNote {
 public:
  explicit CoroutineStackNote(const boost::context::stack_context& stack) : stack_(stack) {}

  /// The thread has changed to this stack.
  void Enter();

  /// The thread is about to change back.
  void Leave();

 private:
  boost::context::stack_context stack_;
  [[maybe_unused]] const void* outer_bottom_ = nullptr;
  [[maybe_unused]] size_t outer_size_ = 0;
};

/// Stacks for the coroutines of one thread, each below a guard that faults when it is run over.
/// They are mapped, so that only what was touched costs memory, and some are kept for the
/// connections that come next. The thread's only.
class CoroutineStacks {
 public:
  /// A stack that was taken, as Boost.Context asks for it.
  class Allocator {
   public:
    Allocator(CoroutineStacks& stacks, const boost::context::stack_context& stack)
        : stacks_(&stacks), stack_(stack) {}
    boost::context::stack_context allocate() { return stack_; }
    void deallocate(boost::context::stack_context& stack) { stacks_->Give(stack); }

   private:
    CoroutineStacks* stacks_;
    boost::context::stack_context stack_;
  };

  CoroutineStacks() = default;
  CoroutineStacks(const CoroutineStacks&) = delete;
  CoroutineStacks& operator=(const CoroutineStacks&) = delete;

  /// REQUIRES: no stack is in use.
  ~CoroutineStacks();

  /// Nothing when the system gives no more memory or mappings.
  std::optional<boost::context::stack_context> Take();

  void Give(const boost::context::stack_context& stack);

 private:
  std::vector<boost::context::stack_context> free_;
  size_t num_used_ = 0;
};

}  // namespace hadal
