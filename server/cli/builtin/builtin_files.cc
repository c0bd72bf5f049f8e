// The demo model, as `builtin:demo`: its files, which demo_model.S brings into the program.

#include <array>

#include "base/mapped_file.h"

extern "C" {
extern const std::byte hadal_demo_chats_begin[], hadal_demo_chats_end[];
extern const std::byte hadal_demo_config_begin[], hadal_demo_config_end[];
extern const std::byte hadal_demo_generation_config_begin[], hadal_demo_generation_config_end[];
extern const std::byte hadal_demo_model_begin[], hadal_demo_model_end[];
extern const std::byte hadal_demo_tokenizer_begin[], hadal_demo_tokenizer_end[];
extern const std::byte hadal_demo_tokenizer_config_begin[], hadal_demo_tokenizer_config_end[];
}

namespace hadal {

std::span<const BuiltinFile> BuiltinFiles() {
  static const std::array kFiles = {
      BuiltinFile{"builtin:demo/chats.json", {hadal_demo_chats_begin, hadal_demo_chats_end}},
      BuiltinFile{"builtin:demo/config.json", {hadal_demo_config_begin, hadal_demo_config_end}},
      BuiltinFile{"builtin:demo/generation_config.json",
                  {hadal_demo_generation_config_begin, hadal_demo_generation_config_end}},
      BuiltinFile{"builtin:demo/model.safetensors", {hadal_demo_model_begin, hadal_demo_model_end}},
      BuiltinFile{"builtin:demo/tokenizer.json",
                  {hadal_demo_tokenizer_begin, hadal_demo_tokenizer_end}},
      BuiltinFile{"builtin:demo/tokenizer_config.json",
                  {hadal_demo_tokenizer_config_begin, hadal_demo_tokenizer_config_end}},
  };
  return kFiles;
}

}  // namespace hadal
