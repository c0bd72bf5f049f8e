#include "server/grpc/live_calls.h"

#include "base/check.h"

namespace hadal {

void LiveCalls::Enter() {
  const absl::MutexLock lock(&mutex_);
  ++num_calls_;
}

void LiveCalls::Leave() {
  const absl::MutexLock lock(&mutex_);
  CHECK_GT(num_calls_, 0);
  --num_calls_;
}

bool LiveCalls::WaitUntilNone(absl::Duration timeout) {
  const absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(this, &LiveCalls::IsNone), timeout);
}

absl::Status LiveCalls::AddRequest(TenantId tenant,
                                   const std::string& request_id,
                                   StreamId stream) {
  const absl::MutexLock lock(&mutex_);
  if (!requests_.emplace(Key(tenant, request_id), stream).second) {
    return AlreadyExists("request_id: a request of the id \"%s\" is live", request_id);
  }
  return absl::OkStatus();
}

void LiveCalls::RemoveRequest(TenantId tenant, const std::string& request_id) {
  const absl::MutexLock lock(&mutex_);
  requests_.erase(Key(tenant, request_id));
}

std::optional<StreamId> LiveCalls::FindRequest(TenantId tenant, const std::string& request_id) {
  const absl::MutexLock lock(&mutex_);
  const auto found = requests_.find(Key(tenant, request_id));
  return found == requests_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace hadal
