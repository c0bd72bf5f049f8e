// Attention over paged latents: each sequence in the form that is asked for.

#include "kernels/cpu/attention/attention.h"
#include "kernels/cpu/ops.h"

namespace hadal::cpu {
namespace {

// Multiply-adds per head of each form, for `queries` tokens over `context` rows.
MlaForm CheaperForm(const Attention& attention, int64_t queries, int64_t context) {
  const int64_t rank = attention.args.kv_lora_rank;
  const int64_t expand = attention.head_rows * rank;
  const int64_t materialised =
      context * (expand + queries * (attention.qk_head_dim + attention.args.v_head_dim));
  const int64_t absorbed = queries * (expand + context * (attention.row_width + rank));
  return materialised < absorbed ? MlaForm::kMaterialised : MlaForm::kAbsorbed;
}

MlaForm FormOf(const Attention& attention, int64_t sequence) {
  const MlaAttentionArgs& args = attention.args;
  if (args.kv_b_proj.is_quantized()) {
    return MlaForm::kAbsorbed;
  }
  if (args.form != MlaForm::kAuto) {
    return args.form;
  }
  const int64_t end = args.query_starts(sequence + 1);
  const int64_t num_queries = end - args.query_starts(sequence);
  return num_queries == 0
             ? MlaForm::kAbsorbed
             : CheaperForm(attention, num_queries, args.positions(end - 1) + int64_t{1});
}

}  // namespace

void MlaAttention(const VectorKernels& vector,
                  const MlaAttentionArgs& args,
                  ExecutionContext& context) {
  const Attention attention = {.vector = vector, .args = args};
  const int64_t num_sequences = args.block_tables.extent(0);
  // Neighbours of one form are run together.
  for (int64_t first = 0; first < num_sequences;) {
    const MlaForm form = FormOf(attention, first);
    int64_t end = first + 1;
    while (end < num_sequences && FormOf(attention, end) == form) {
      ++end;
    }
    if (form == MlaForm::kMaterialised) {
      RunMaterialised(attention, first, end, context);
    } else {
      RunAbsorbed(attention, first, end, context);
    }
    first = end;
  }
}

}  // namespace hadal::cpu
