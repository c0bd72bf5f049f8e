#include "server/grpc/text_calls.h"

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/checked_cast.h"
#include "proto/hadal/v1/inference.pb.h"
#include "server/grpc/conversation_fields.h"
#include "server/grpc/message_buffer.h"

namespace hadal {
namespace {

// Tokenizing takes memory and time of the server, but none of its engine.
absl::StatusOr<Admission::Reservation> Admit(const GrpcContext& context,
                                             const grpc::ByteBuffer& request) {
  return context.admission.Reserve({.body_bytes = NumBytes(request)});
}

absl::StatusOr<std::vector<TokenId>> EncodeInput(const GrpcContext& context,
                                                 const v1::TokenizeRequest& message) {
  const ServedModel& model = context.model();
  switch (message.input_case()) {
    case v1::TokenizeRequest::kText: {
      ASSIGN_OR_RETURN(Prompt prompt, model.EncodeText(message.text()));
      const bool without_special =
          message.has_add_special_tokens() && !message.add_special_tokens();
      if (without_special) {
        return model.tokenizer().Encode(message.text());
      }
      return std::move(prompt.tokens);
    }
    case v1::TokenizeRequest::kConversation: {
      if (message.has_add_special_tokens()) {
        return InvalidArgument("add_special_tokens: only beside text");
      }
      ASSIGN_OR_RETURN(const ChatRequest chat,
                       ReadConversation(message.conversation(), context.limits));
      ASSIGN_OR_RETURN(Prompt prompt, model.EncodeChat(chat));
      return std::move(prompt.tokens);
    }
    case v1::TokenizeRequest::INPUT_NOT_SET:
      break;
  }
  return InvalidArgument("input: expected text or conversation");
}

void FillLoad(const Load& load, v1::RequestLoad& message) {
  message.set_requests(load.requests);
  message.set_prompt_tokens(load.prompt_tokens);
  message.set_body_bytes(load.body_bytes);
}

}  // namespace

absl::Status AnswerTokenize(const GrpcContext& context,
                            TenantId /*tenant*/,
                            const grpc::ByteBuffer& request,
                            grpc::ByteBuffer& response) {
  ASSIGN_OR_RETURN(const Admission::Reservation reservation, Admit(context, request));
  v1::TokenizeRequest message;
  RETURN_IF_ERROR(ReadMessage(request, message));
  RETURN_IF_ERROR(context.model().CheckName(message.model()));
  ASSIGN_OR_RETURN(const std::vector<TokenId> tokens, EncodeInput(context, message));
  v1::TokenizeResponse answer;
  answer.mutable_tokens()->Add(tokens.begin(), tokens.end());
  if (message.return_pieces()) {
    for (const TokenId token : tokens) {
      answer.add_pieces(std::string(context.model().tokenizer().Piece(token)));
    }
  }
  answer.set_max_tokens(context.model().max_tokens());
  WriteMessage(answer, response);
  return absl::OkStatus();
}

absl::Status AnswerDetokenize(const GrpcContext& context,
                              TenantId /*tenant*/,
                              const grpc::ByteBuffer& request,
                              grpc::ByteBuffer& response) {
  ASSIGN_OR_RETURN(const Admission::Reservation reservation, Admit(context, request));
  const ServedModel& model = context.model();
  v1::DetokenizeRequest message;
  RETURN_IF_ERROR(ReadMessage(request, message));
  RETURN_IF_ERROR(model.CheckName(message.model()));
  v1::DetokenizeResponse answer;
  const std::span<const TokenId> tokens(message.tokens().data(),
                                        static_cast<size_t>(message.tokens_size()));
  ASSIGN_OR_RETURN(*answer.mutable_text(), model.DecodeIds(tokens));
  WriteMessage(answer, response);
  return absl::OkStatus();
}

absl::Status AnswerCancel(const GrpcContext& context,
                          TenantId tenant,
                          const grpc::ByteBuffer& request,
                          grpc::ByteBuffer& response) {
  v1::CancelRequest message;
  RETURN_IF_ERROR(ReadMessage(request, message));
  if (message.request_id().empty()) {
    return InvalidArgument("request_id: empty");
  }
  const std::optional<StreamId> stream = context.calls.FindRequest(tenant, message.request_id());
  if (stream.has_value()) {
    context.worker.events()->Push({.id = *stream, .event = StreamEvent::kCancelled});
  }
  v1::CancelResponse answer;
  answer.set_found(stream.has_value());
  WriteMessage(answer, response);
  return absl::OkStatus();
}

absl::Status AnswerGetLoad(const GrpcContext& context,
                           TenantId /*tenant*/,
                           const grpc::ByteBuffer& request,
                           grpc::ByteBuffer& response) {
  v1::GetLoadRequest message;
  RETURN_IF_ERROR(ReadMessage(request, message));
  const SchedulerCounts counts = context.scheduler_counts();
  const int64_t num_blocks =
      counts.num_free_blocks + counts.num_cached_blocks + counts.num_used_blocks;
  v1::GetLoadResponse answer;
  answer.set_running_sequences(counts.num_running);
  answer.set_preempted_sequences(counts.num_preempted);
  answer.set_waiting_requests(counts.num_waiting);
  answer.set_cache_usage(static_cast<double>(counts.num_used_blocks) /
                         static_cast<double>(std::max(num_blocks, int64_t{1})));
  answer.set_total_cache_blocks(num_blocks);
  FillLoad(context.admission.held(), *answer.mutable_held());
  FillLoad(context.admission.limits(), *answer.mutable_limits());
  answer.set_retry_after_seconds(context.admission.RetryAfterSeconds());
  constexpr bool kVerbose = true;
  answer.set_serving(context.health.Ready(!kVerbose).ok);
  WriteMessage(answer, response);
  return absl::OkStatus();
}

}  // namespace hadal
