#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "base/status.h"
#include "scheduler/request.h"
#include "server/grpc/stream_worker.h"

namespace hadal {

/// The calls that have not ended, and the streams among them by the ids of their requests. Tenants
/// see their own requests alone. Any thread.
class LiveCalls {
 public:
  void Enter();
  void Leave();

  /// Waits until no call is live, or for `timeout`; whether none is.
  bool WaitUntilNone(absl::Duration timeout);

  /// AlreadyExists when the tenant has a live request of that id.
  absl::Status AddRequest(TenantId tenant, const std::string& request_id, StreamId stream);
  void RemoveRequest(TenantId tenant, const std::string& request_id);
  std::optional<StreamId> FindRequest(TenantId tenant, const std::string& request_id);

 private:
  using Key = std::pair<TenantId, std::string>;

  [[nodiscard]] bool IsNone() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return num_calls_ == 0;
  }

  absl::Mutex mutex_;
  int64_t num_calls_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<Key, StreamId> requests_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace hadal
