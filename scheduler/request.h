#pragma once

#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "base/token_id.h"
#include "engine/api/sampling_params.h"
#include "scheduler/limits.h"

namespace hadal {

enum class RequestId : int64_t {};

/// Who asks: an API key's number. Waiting requests take turns by tenant.
enum class TenantId : int32_t {};

/// Who may find a request's blocks in the prefix cache, and whose blocks it may find.
enum class CacheSharing : int8_t {
  kWithinTenant,  // requests of the same tenant: nobody learns, by its time, what others asked
  kAmongAll,      // requests of all tenants that say so too
};

/// What a caller asks for. Immutable once submitted.
struct Request {
  RequestId id{};                       // chosen by the caller, unique among live requests
  std::vector<TokenId> prompt;          // at least one token
  SamplingParams sampling;              // sequence i draws with seed + i
  int64_t max_new_tokens = 1;           // of each sequence; at least 1
  int32_t num_sequences = 1;            // n: continuations of the one prompt
  std::vector<TokenId> stop_token_ids;  // ends a sequence, which then holds that token
  int32_t priority = 0;                 // lower goes first
  TenantId tenant{};                    //
  CacheSharing cache_sharing = CacheSharing::kWithinTenant;
  uint64_t cache_salt = 0;                // of those, only requests with the same one
  TimePoint deadline = TimePoint::max();  // then the request ends, wherever it is
  Duration target_tpot{};  // wished time per output token, for which more is drafted; 0: none
};

/// InvalidArgument, naming the field, for a request that can never run under `limits`. Any thread.
absl::Status ValidateRequest(const Limits& limits, const Request& request);

/// Blocks are found by requests with an equal salt alone.
struct CacheSalt {
  int64_t tenant = 0;  // outside the range of TenantId: all tenants
  uint64_t value = 0;

  friend bool operator==(const CacheSalt&, const CacheSalt&) = default;
};
CacheSalt SaltOf(const Request& request);

/// Why a prompt's blocks ended being found in the prefix cache where they did.
enum class CacheMiss : int8_t {
  kNone,       // all that can be found was: every full block but that of the last token
  kDiverged,   // cached prompts differ from `position` on
  kEvicted,    // the block at `position` was cached and gave way
  kNeverSeen,  // nothing is known of what follows
};

/// What the prefix cache knew of a prompt when the request was admitted.
struct CacheReport {
  int64_t cached_tokens = 0;  // not computed again; a multiple of kBlockSize
  CacheMiss miss = CacheMiss::kNeverSeen;
  int64_t position = 0;  // first that was not found
};

}  // namespace hadal
