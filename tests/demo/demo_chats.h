#pragma once

#include <cstdint>
#include <vector>

#include "scheduler/request.h"

namespace hadal {

/// The prompts of models/demo/chats.json, which the demo model never saw, as its chat format has
/// them. A file that cannot be read ends the test program.
std::vector<std::vector<TokenId>> DemoChats();

/// Greedy requests for answers to them, with ids from 0 on.
std::vector<Request> DemoRequests(int64_t max_new_tokens);

}  // namespace hadal
