// The files of models/demo, as they are (builtin_files.cc). The build puts that folder on the path.

.macro file symbol, path
  .globl \symbol\()_begin, \symbol\()_end
  .hidden \symbol\()_begin, \symbol\()_end
  .balign 4096
\symbol\()_begin:
  .incbin "\path"
\symbol\()_end:
.endm

  .section .rodata.builtin, "a"
  file hadal_demo_chats, "chats.json"
  file hadal_demo_config, "config.json"
  file hadal_demo_generation_config, "generation_config.json"
  file hadal_demo_model, "model.safetensors"
  file hadal_demo_tokenizer, "tokenizer.json"
  file hadal_demo_tokenizer_config, "tokenizer_config.json"

  .section .note.GNU-stack, "", @progbits
