#pragma once

#include <cstddef>
#include <vector>

#include <boost/context/stack_context.hpp>

namespace hadal {

/// Stacks for the coroutines of one thread, each below a guard that faults when it is run over.
/// They are mapped, so that only what was touched costs memory, and some are kept for the
/// connections that come next. The thread's only.
class CoroutineStacks {
 public:
  /// What Boost.Context asks for; copies share the stacks.
  class Allocator {
   public:
    explicit Allocator(CoroutineStacks& stacks) : stacks_(&stacks) {}
    boost::context::stack_context allocate() { return stacks_->Take(); }
    void deallocate(boost::context::stack_context& stack) { stacks_->Give(stack); }

   private:
    CoroutineStacks* stacks_;
  };

  CoroutineStacks() = default;
  CoroutineStacks(const CoroutineStacks&) = delete;
  CoroutineStacks& operator=(const CoroutineStacks&) = delete;

  /// REQUIRES: no stack is in use.
  ~CoroutineStacks();

  /// Makes sure that the next allocation succeeds; false when the system gives no more memory or
  /// mappings.
  bool Reserve();

 private:
  boost::context::stack_context Take();
  void Give(const boost::context::stack_context& stack);

  std::vector<boost::context::stack_context> free_;
  size_t num_used_ = 0;
};

}  // namespace hadal
