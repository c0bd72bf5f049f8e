#pragma once

#include <string>

namespace hadal {

/// An empty folder for the running test, which no other test and no other process uses. It is
/// removed when the test program ends. REQUIRES: a test is running. Calls in one test give one
/// folder, emptied again.
std::string FreshTestFolder();

}  // namespace hadal
