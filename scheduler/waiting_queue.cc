#include "scheduler/waiting_queue.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "base/check.h"

namespace hadal {

bool WaitingQueue::ByLatestStart::operator()(const LiveRequest* a, const LiveRequest* b) const {
  return std::tuple(a->latest_start, a->arrival_number) <
         std::tuple(b->latest_start, b->arrival_number);
}

bool WaitingQueue::ByArrival::operator()(const LiveRequest* a, const LiveRequest* b) const {
  return a->arrival_number < b->arrival_number;
}

WaitingQueue::WaitingQueue(const Limits& limits)
    : quantum_tokens_(limits.fairness_quantum_tokens), starvation_age_(limits.starvation_age) {}

void WaitingQueue::Push(LiveRequest& request) {
  CHECK(by_arrival_.insert(&request).second);
  Level& level = levels_[request.request.priority];
  const auto [tenant, is_new] = level.tenants.try_emplace(request.request.tenant);
  if (is_new) {
    tenant->second.turn = level.turns.insert(level.turns.end(), request.request.tenant);
  }
  tenant->second.requests.insert(&request);
  num_tokens_ += request.num_prompt_tokens();
}

void WaitingQueue::Remove(LiveRequest& request) {
  CHECK_EQ(by_arrival_.erase(&request), size_t{1});
  num_tokens_ -= request.num_prompt_tokens();
  const auto level = levels_.find(request.request.priority);
  const auto tenant = level->second.tenants.find(request.request.tenant);
  CHECK_EQ(tenant->second.requests.erase(&request), size_t{1});
  if (!tenant->second.requests.empty()) {
    return;
  }
  // A tenant without requests has no turn and keeps no claim.
  level->second.turns.erase(tenant->second.turn);
  level->second.tenants.erase(tenant);
  if (level->second.turns.empty()) {
    levels_.erase(level);
  }
}

LiveRequest* WaitingQueue::Next(TimePoint now) {
  if (by_arrival_.empty()) {
    return nullptr;
  }
  LiveRequest* oldest = *by_arrival_.begin();
  if (now - oldest->arrival >= starvation_age_) {
    oldest->aged = true;
    return oldest;
  }
  return &ChooseOf(levels_.begin()->second);
}

void WaitingQueue::Pop(LiveRequest& request) {
  Level& level = levels_.at(request.request.priority);
  level.tenants.at(request.request.tenant).deficit_tokens -= request.max_cost_tokens();
  Remove(request);
}

// The first tenant in turn that can pay for its next request. A tenant that cannot gets a quantum
// and goes to the back; when nobody can, all get as many quanta as the first to be able needs.
LiveRequest& WaitingQueue::ChooseOf(Level& level) const {
  for (;;) {
    int64_t fewest_rounds = std::numeric_limits<int64_t>::max();
    for (size_t i = 0; i < level.turns.size(); ++i) {
      Tenant& tenant = level.tenants.at(level.turns.front());
      LiveRequest& request = **tenant.requests.begin();
      const int64_t missing = request.max_cost_tokens() - tenant.deficit_tokens;
      if (missing <= 0) {
        return request;
      }
      tenant.deficit_tokens += quantum_tokens_;
      fewest_rounds = std::min(fewest_rounds, (missing - 1) / quantum_tokens_);
      level.turns.splice(level.turns.end(), level.turns, level.turns.begin());
    }
    for (auto& [id, tenant] : level.tenants) {
      tenant.deficit_tokens += fewest_rounds * quantum_tokens_;
    }
  }
}

void WaitingQueue::CheckInvariants() const {
  size_t num_requests = 0;
  int64_t num_tokens = 0;
  for (const auto& [priority, level] : levels_) {
    CHECK_EQ(level.turns.size(), level.tenants.size());
    for (const TenantId turn : level.turns) {
      CHECK(level.tenants.contains(turn));
    }
    for (const auto& [id, tenant] : level.tenants) {
      CHECK(!tenant.requests.empty());
      num_requests += tenant.requests.size();
      for (const LiveRequest* request : tenant.requests) {
        CHECK(by_arrival_.contains(const_cast<LiveRequest*>(request)));
        num_tokens += request->num_prompt_tokens();
      }
    }
  }
  CHECK_EQ(num_requests, by_arrival_.size());
  CHECK_EQ(num_tokens, num_tokens_);
}

}  // namespace hadal
