#include "server/grpc/answer_stream.h"

#include <chrono>
#include <grpcpp/server_context.h>
#include <string>
#include <utility>

#include "base/check.h"
#include "proto/hadal/v1/inference.pb.h"
#include "server/grpc/grpc_status.h"
#include "server/grpc/message_buffer.h"

namespace hadal {

absl::StatusOr<grpc::ServerWriteReactor<grpc::ByteBuffer>*> AnswerStream::Start(Args args) {
  const GrpcContext& context = args.context;
  std::unique_ptr<AnswerStream> stream(
      new AnswerStream(context, args.rpc, std::move(args.record), std::move(args.params)));
  const CallRecord& record = stream->record_;
  RETURN_IF_ERROR(context.calls.AddRequest(record.tenant, record.request_id, stream->id_));
  stream->is_registered_ = true;
  ASSIGN_OR_RETURN(
      stream->generation_,
      Generation::Start({.context = context.generation,
                         .prompt = std::move(args.prompt),
                         .params = stream->params_,
                         .kind = args.kind,
                         .tenant = record.tenant,
                         .arrival = record.arrival,
                         .reservation = std::move(args.reservation),
                         .on_news = [events = context.worker.events(), id = stream->id_] {
                           events->Push({.id = id, .event = StreamEvent::kNews});
                         }}));
  args.rpc.AddInitialMetadata("x-request-id", record.request_id);
  AnswerStream* const reactor = stream.get();
  context.metrics().ChangeOpenStreams(1);
  // At once, so that a client can cancel by the id while it waits for the first token.
  reactor->StartSendInitialMetadata();
  context.worker.Open(reactor->id_, std::move(stream));
  return reactor;
}

AnswerStream::AnswerStream(const GrpcContext& context,
                           grpc::CallbackServerContext& rpc,
                           CallRecord record,
                           GenerationParams params)
    : context_(context),
      rpc_(rpc),
      id_(context.worker.NewId()),
      record_(std::move(record)),
      params_(std::move(params)),
      writer_(params_.n, FreshId()) {
  context_.calls.Enter();
}

AnswerStream::~AnswerStream() {
  if (is_registered_) {
    context_.calls.RemoveRequest(record_.tenant, record_.request_id);
  }
  context_.calls.Leave();
}

void AnswerStream::Tell(StreamEvent event) {
  context_.worker.events()->Push({.id = id_, .event = event});
}

void AnswerStream::Handle(StreamEvent event) {
  switch (event) {
    case StreamEvent::kOpened:
    case StreamEvent::kNews:
      break;
    case StreamEvent::kTick:
      CheckStall();
      break;
    case StreamEvent::kWritten:
      write_began_.reset();
      break;
    case StreamEvent::kNotWritten:
      write_began_.reset();
      EndGone();
      break;
    case StreamEvent::kClientGone:
      EndGone();
      break;
    case StreamEvent::kCancelled:
      End(Cancelled("the request was cancelled"));
      break;
    case StreamEvent::kClosed:
      CHECK(is_finished_);
      context_.metrics().ChangeOpenStreams(-1);
      CountCall(context_, record_, *end_);
      return;
  }
  Proceed();
}

// Goes as far as it can without waiting: to a message that is being written, to a generation
// without news, or to the end.
void AnswerStream::Proceed() {
  if (!end_.has_value() && context_.health.is_aborting()) {
    End(Unavailable("the server is shutting down"));
  }
  if (write_began_.has_value() || is_finished_) {
    return;
  }
  if (!end_.has_value()) {
    ReadGeneration();
  }
  FinishUnlessWriting();
}

void AnswerStream::ReadGeneration() {
  deltas_.clear();
  const bool more = generation_->Read(deltas_);
  record_.usage = generation_->usage();
  for (const ChoiceDelta& delta : deltas_) {
    if (delta.finish.has_value() && record_.finish_reason.empty()) {
      record_.finish_reason = NameOf(*delta.finish);
    }
  }
  if (!more) {
    record_.times = generation_->times();
  }
  if (!generation_->failure().ok()) {
    End(generation_->failure());
    return;
  }
  if (!more || !deltas_.empty()) {
    Write(more);
  }
  if (!more) {
    End(absl::OkStatus());
  }
}

void AnswerStream::Write(bool more) {
  v1::AnswerUpdate update;
  for (ChoiceDelta& delta : deltas_) {
    writer_.Append(std::move(delta), update);
  }
  if (!more) {
    UpdateWriter::SetUsage(generation_->usage(), update);
  }
  WriteMessage(update, message_);
  write_began_ = context_.clock().Now();
  StartWrite(&message_);
}

// A client that has not taken one message for so long is cut off: its call ends for both sides.
void AnswerStream::CheckStall() {
  if (write_began_.has_value() && context_.clock().Now() - *write_began_ > context_.stall_timeout) {
    context_.metrics().CountSlowClient();
    End(Cancelled("the client took nothing for too long"));
    rpc_.TryCancel();
  }
}

void AnswerStream::EndGone() {
  if (is_finished_ || (end_.has_value() && !end_->ok())) {
    return;
  }
  if (rpc_.deadline() <= std::chrono::system_clock::now()) {
    End(DeadlineExceeded("the deadline of the call passed"));
  } else {
    context_.metrics().CountDisconnect();
    End(Cancelled("the client went away"));
  }
}

// The first failure counts; an answer that is complete may still fail on its way.
void AnswerStream::End(absl::Status status) {
  if (is_finished_ || (end_.has_value() && !end_->ok())) {
    return;
  }
  if (absl::IsCancelled(status)) {
    record_.finish_reason = NameOf(FinishReason::kCancelled);
  } else if (absl::IsDeadlineExceeded(status)) {
    record_.finish_reason = NameOf(FinishReason::kDeadlineExceeded);
  }
  end_ = std::move(status);
  generation_.reset();
}

void AnswerStream::FinishUnlessWriting() {
  if (end_.has_value() && !write_began_.has_value() && !is_finished_) {
    is_finished_ = true;
    Finish(ToGrpcStatus(*end_));
  }
}

}  // namespace hadal
