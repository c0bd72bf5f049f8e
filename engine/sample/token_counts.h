#pragma once

#include <cstdint>
#include <span>

#include <absl/container/flat_hash_map.h>

#include "base/token_id.h"

namespace hadal {

/// Which tokens a sequence holds, for penalties. Grows with the sequence; one thread.
class TokenCounts {
 public:
  struct Count {
    int32_t generated = 0;   // times generated
    bool in_prompt = false;  // stands in the prompt
  };

  void AddPrompt(std::span<const TokenId> prompt) {
    for (const TokenId token : prompt) {
      counts_[token].in_prompt = true;
    }
  }
  void AddGenerated(TokenId token) { ++counts_[token].generated; }

  [[nodiscard]] const absl::flat_hash_map<TokenId, Count>& counts() const { return counts_; }

 private:
  absl::flat_hash_map<TokenId, Count> counts_;
};

}  // namespace hadal
