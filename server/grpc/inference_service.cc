#include "server/grpc/inference_service.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "proto/hadal/v1/inference.grpc.pb.h"
#include "server/grpc/answer_stream.h"
#include "server/grpc/conversation_fields.h"
#include "server/grpc/generation_fields.h"
#include "server/grpc/grpc_status.h"
#include "server/grpc/message_buffer.h"
#include "server/grpc/text_calls.h"

namespace hadal {
namespace {

using grpc::ByteBuffer;
using Rpc = grpc::CallbackServerContext;

// A call that is answered at once, as gRPC sees it: it owns itself until gRPC lets go of it.
template <typename Reactor>
class FinishedCall final : public Reactor {
 public:
  static Reactor* Make(LiveCalls& calls, const grpc::Status& status) {
    auto call = std::make_unique<FinishedCall>(calls);
    call->Finish(status);
    return call.release();
  }

  explicit FinishedCall(LiveCalls& calls) : calls_(calls) { calls_.Enter(); }
  ~FinishedCall() override { calls_.Leave(); }

  void OnDone() override { const std::unique_ptr<FinishedCall> self(this); }

 private:
  LiveCalls& calls_;
};

using RefusedStream = FinishedCall<grpc::ServerWriteReactor<ByteBuffer>>;
using UnaryCall = FinishedCall<grpc::ServerUnaryReactor>;

std::optional<std::string> FindMetadata(const Rpc& rpc, const char* key) {
  const auto found = rpc.client_metadata().find(key);
  if (found == rpc.client_metadata().end()) {
    return std::nullopt;
  }
  return std::string(found->second.data(), found->second.size());
}

// What a generation is made from.
struct EncodedRequest {
  GenerationParams params;
  Prompt prompt;
  std::string request_id;
};

absl::StatusOr<Prompt> EncodePrompt(const ServedModel& model, v1::GenerateRequest& message) {
  switch (message.prompt_case()) {
    case v1::GenerateRequest::kText:
      return model.EncodeText(message.text());
    case v1::GenerateRequest::kTokens: {
      const auto& ids = message.tokens().ids();
      return model.TakeIds({ids.begin(), ids.end()});
    }
    case v1::GenerateRequest::kFillInTheMiddle:
      return model.EncodeFill(message.fill_in_the_middle().prefix(),
                              message.fill_in_the_middle().suffix());
    case v1::GenerateRequest::PROMPT_NOT_SET:
      break;
  }
  return InvalidArgument("prompt: expected text, tokens or fill_in_the_middle");
}

absl::StatusOr<EncodedRequest> EncodeGenerate(const GrpcContext& context, const ByteBuffer& bytes) {
  v1::GenerateRequest message;
  RETURN_IF_ERROR(ReadMessage(bytes, message));
  RETURN_IF_ERROR(context.model().CheckName(message.model()));
  EncodedRequest request;
  ASSIGN_OR_RETURN(request.params, ReadGenerationParams(message.params(), context.limits));
  ASSIGN_OR_RETURN(request.prompt, EncodePrompt(context.model(), message));
  if (request.prompt.tokens.empty()) {
    return InvalidArgument("prompt: expected at least one token");
  }
  request.request_id = std::move(*message.mutable_request_id());
  return request;
}

absl::StatusOr<EncodedRequest> EncodeChat(const GrpcContext& context, const ByteBuffer& bytes) {
  v1::ChatRequest message;
  RETURN_IF_ERROR(ReadMessage(bytes, message));
  RETURN_IF_ERROR(context.model().CheckName(message.model()));
  EncodedRequest request;
  ASSIGN_OR_RETURN(request.params, ReadGenerationParams(message.params(), context.limits));
  if (message.has_parallel_tool_calls()) {
    request.params.parallel_tool_calls = message.parallel_tool_calls();
  }
  ASSIGN_OR_RETURN(const ChatRequest chat,
                   ReadConversation(message.conversation(), context.limits));
  ASSIGN_OR_RETURN(request.prompt, context.model().EncodeChat(chat));
  request.request_id = std::move(*message.mutable_request_id());
  return request;
}

using Encode = absl::StatusOr<EncodedRequest> (*)(const GrpcContext& context,
                                                  const ByteBuffer& bytes);

// What differs between the two calls that generate.
struct GenerationMethod {
  RouteName route;
  AnswerKind kind;
  Encode encode;
};

constexpr GenerationMethod kGenerate = {
    .route = RouteName::kGrpcGenerate, .kind = AnswerKind::kText, .encode = EncodeGenerate};
constexpr GenerationMethod kChat = {
    .route = RouteName::kGrpcChat, .kind = AnswerKind::kChat, .encode = EncodeChat};

// The one that the request names, or the metadata, or a fresh one.
absl::StatusOr<std::string> ChooseRequestId(const Rpc& rpc, std::string request_id) {
  if (!request_id.empty()) {
    if (!IsRequestId(request_id)) {
      return InvalidArgument("request_id: expected 1 to 64 of letters, digits, '.', '_' and '-'");
    }
    return request_id;
  }
  std::optional<std::string> named = FindMetadata(rpc, "x-request-id");
  return named.has_value() && IsRequestId(*named) ? *std::move(named) : FreshId();
}

absl::StatusOr<grpc::ServerWriteReactor<ByteBuffer>*> StartGeneration(
    const GrpcContext& context,
    const GenerationMethod& method,
    Rpc& rpc,
    const ByteBuffer& bytes,
    CallRecord& record) {
  // 1. Let in, read, understood.
  ASSIGN_OR_RETURN(record.tenant,
                   context.keys.Authenticate(FindMetadata(rpc, "authorization").value_or("")));
  const auto time_left = TimeLeft(rpc.deadline(), std::chrono::system_clock::now(), context.limits);
  if (!time_left.ok()) {
    context.metrics().CountRejection(RejectReason::kDeadline);
    return time_left.status();
  }
  constexpr int64_t kBytesPerToken = 3;  // of text, few have less
  const int64_t num_bytes = NumBytes(bytes);
  ASSIGN_OR_RETURN(Admission::Reservation reservation,
                   context.admission.Reserve(
                       {.requests = 1,
                        .prompt_tokens = std::clamp(
                            num_bytes / kBytesPerToken, int64_t{1}, context.model().max_tokens()),
                        .body_bytes = num_bytes}));
  ASSIGN_OR_RETURN(EncodedRequest request, method.encode(context, bytes));
  ASSIGN_OR_RETURN(record.request_id, ChooseRequestId(rpc, std::move(request.request_id)));
  request.params.timeout = *time_left;
  RETURN_IF_ERROR(reservation.Change(
      {.requests = request.params.n, .prompt_tokens = std::ssize(request.prompt.tokens)}));
  // 2. Generated and sent.
  return AnswerStream::Start({.context = context,
                              .rpc = rpc,
                              .record = record,
                              .prompt = std::move(request.prompt),
                              .params = std::move(request.params),
                              .kind = method.kind,
                              .reservation = std::move(reservation)});
}

// Every method is raw, so that a request is let in before it is read, and a malformed one gets an
// answer that says so.
using RawService = v1::Inference::WithRawCallbackMethod_Generate<
    v1::Inference::WithRawCallbackMethod_Chat<v1::Inference::WithRawCallbackMethod_Tokenize<
        v1::Inference::WithRawCallbackMethod_Detokenize<v1::Inference::WithRawCallbackMethod_Cancel<
            v1::Inference::WithRawCallbackMethod_GetLoad<v1::Inference::Service>>>>>>;

class InferenceService final : public RawService {
 public:
  explicit InferenceService(const GrpcContext& context) : context_(context) {}

  grpc::ServerWriteReactor<ByteBuffer>* Generate(Rpc* rpc, const ByteBuffer* request) override {
    return Answer(kGenerate, *rpc, *request);
  }
  grpc::ServerWriteReactor<ByteBuffer>* Chat(Rpc* rpc, const ByteBuffer* request) override {
    return Answer(kChat, *rpc, *request);
  }
  grpc::ServerUnaryReactor* Tokenize(Rpc* rpc,
                                     const ByteBuffer* request,
                                     ByteBuffer* response) override {
    return Answer(AnswerTokenize, *rpc, *request, *response);
  }
  grpc::ServerUnaryReactor* Detokenize(Rpc* rpc,
                                       const ByteBuffer* request,
                                       ByteBuffer* response) override {
    return Answer(AnswerDetokenize, *rpc, *request, *response);
  }
  grpc::ServerUnaryReactor* Cancel(Rpc* rpc,
                                   const ByteBuffer* request,
                                   ByteBuffer* response) override {
    return Answer(AnswerCancel, *rpc, *request, *response);
  }
  grpc::ServerUnaryReactor* GetLoad(Rpc* rpc,
                                    const ByteBuffer* request,
                                    ByteBuffer* response) override {
    return Answer(AnswerGetLoad, *rpc, *request, *response);
  }

 private:
  [[nodiscard]] CallRecord NewRecord(RouteName route, Rpc& rpc) const {
    return {.route = route, .client_address = rpc.peer(), .arrival = context_.clock().Now()};
  }

  // Counts a call that ends here, and makes its status.
  [[nodiscard]] grpc::Status Close(const CallRecord& record,
                                   const absl::Status& status,
                                   Rpc& rpc) const {
    CountCall(context_, record, status);
    if (absl::IsResourceExhausted(status)) {
      const int64_t milliseconds = context_.admission.RetryAfterSeconds() * 1000;
      rpc.AddTrailingMetadata("grpc-retry-pushback-ms", std::to_string(milliseconds));
    }
    return ToGrpcStatus(status);
  }

  grpc::ServerWriteReactor<ByteBuffer>* Answer(const GenerationMethod& method,
                                               Rpc& rpc,
                                               const ByteBuffer& request) const {
    CallRecord record = NewRecord(method.route, rpc);
    const auto stream = StartGeneration(context_, method, rpc, request, record);
    return stream.ok() ? *stream
                       : RefusedStream::Make(context_.calls, Close(record, stream.status(), rpc));
  }

  grpc::ServerUnaryReactor* Answer(TextCall call,
                                   Rpc& rpc,
                                   const ByteBuffer& request,
                                   ByteBuffer& response) const {
    CallRecord record = NewRecord(RouteName::kGrpcOther, rpc);
    const auto tenant = context_.keys.Authenticate(FindMetadata(rpc, "authorization").value_or(""));
    absl::Status status = tenant.status();
    if (tenant.ok()) {
      record.tenant = *tenant;
      status = call(context_, *tenant, request, response);
    }
    return UnaryCall::Make(context_.calls, Close(record, status, rpc));
  }

  const GrpcContext& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewInferenceService(const GrpcContext& context) {
  return std::make_unique<InferenceService>(context);
}

}  // namespace hadal
