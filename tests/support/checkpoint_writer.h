#pragma once

// Small checkpoints for tests: a config, the tensors it asks for, and the files they make.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>

#include "base/dtype.h"

namespace hadal {

struct TestTensor {
  std::string name;
  DType dtype = DType::kBf16;
  std::vector<int64_t> shape;
  std::string data;  // the bytes of the elements
};

struct TestShard {
  std::string file_name;
  std::vector<TestTensor> tensors;
};

/// What a checkpoint folder holds. A shard's tensors and the index may be edited apart.
struct TestCheckpoint {
  boost::json::object config;
  std::vector<TestShard> shards;
  boost::json::object index;  // model.safetensors.index.json; empty: not written

  /// The tensor of that name in any shard. REQUIRES: there is one.
  TestTensor& Get(std::string_view name);

  /// Takes the tensor out of its shard and out of the index.
  void Remove(std::string_view name);

  /// Adds a tensor of ones to the last shard and to the index.
  void Add(std::string_view name, DType dtype, std::vector<int64_t> shape);
};

/// File contents by name.
using TestFiles = std::map<std::string, std::string>;

/// A config of the V3 form with every size different: 2 layers, the first dense; 4 experts in 2
/// groups; 1 MTP layer; fp8 in blocks of 8 × 6.
boost::json::object TinyConfig();

/// All tensors of `config`, filled with ones, in two shards with an index. REQUIRES: a valid
/// config.
TestCheckpoint MakeTestCheckpoint(const boost::json::object& config);

/// A tensor of ones.
TestTensor MakeTestTensor(std::string_view name, DType dtype, std::vector<int64_t> shape);

/// A safetensors file from a header's text and the data behind it.
std::string SafetensorsBytes(std::string_view header, std::string_view data);

/// The files of a checkpoint as they would be published.
TestFiles ToFiles(const TestCheckpoint& checkpoint);

/// Writes `files` into a fresh folder for the running test and returns its path.
std::string WriteFolder(const TestFiles& files);

}  // namespace hadal
