#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <set>

#include "scheduler/limits.h"
#include "scheduler/sequence.h"

namespace hadal {

/// Requests that no step has begun, and which of them goes next: one that waits for starvation_age
/// or longer; else of the best priority, tenants taking turns by deficit round-robin over tokens
/// (Shreedhar and Varghese 1995, doi 10.1145/217391.217453), of the tenant's own the one whose
/// latest start is nearest. Adding and removing cost O(log n), choosing O(tenants). Owned by the
/// scheduler's thread; borrows the requests.
class WaitingQueue {
 public:
  explicit WaitingQueue(const Limits& limits);

  void Push(LiveRequest& request);

  /// REQUIRES: the request waits here.
  void Remove(LiveRequest& request);

  /// The request that goes next, null when none waits. Marks it as aged where it is. The answer
  /// stays the same until something is pushed, removed or popped, or a request comes of age.
  LiveRequest* Next(TimePoint now);

  /// Removes what Next returned, which has begun: its tenant pays for it.
  void Pop(LiveRequest& request);

  [[nodiscard]] int64_t size() const { return std::ssize(by_arrival_); }
  [[nodiscard]] int64_t num_tokens() const { return num_tokens_; }

  void CheckInvariants() const;

 private:
  struct ByLatestStart {
    bool operator()(const LiveRequest* a, const LiveRequest* b) const;
  };
  struct ByArrival {
    bool operator()(const LiveRequest* a, const LiveRequest* b) const;
  };
  struct Tenant {
    int64_t deficit_tokens = 0;
    std::set<LiveRequest*, ByLatestStart> requests;  // not empty
    std::list<TenantId>::iterator turn;              // its own in Level::turns
  };
  struct Level {
    std::map<TenantId, Tenant> tenants;  // not empty
    std::list<TenantId> turns;           // each tenant once; the first is being served
  };

  LiveRequest& ChooseOf(Level& level) const;

  const int64_t quantum_tokens_;
  const Duration starvation_age_;
  std::map<int32_t, Level> levels_;  // by priority
  std::set<LiveRequest*, ByArrival> by_arrival_;
  int64_t num_tokens_ = 0;
};

}  // namespace hadal
