#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "server/generation/generation.h"
#include "server/grpc/grpc_context.h"
#include "server/grpc/stream_worker.h"
#include "server/grpc/update_writer.h"

namespace hadal {

/// The call of one generation, from its start until gRPC has let go of it. gRPC's threads tell the
/// worker of what happens; all else is done on the worker's thread.
///
/// Invariants:
///   1. At most one message is being written. News wait for it, and are then one message.
///   2. Finish is called once, never while a message is being written; the call's context is not
///      touched afterwards.
///   3. The generation goes before Finish is called: what a client does not take holds nothing.
class AnswerStream final : public grpc::ServerWriteReactor<grpc::ByteBuffer>, public WorkerStream {
 public:
  struct Args {
    const GrpcContext& context;        // outlives the stream
    grpc::CallbackServerContext& rpc;  // likewise, until Finish
    CallRecord record;
    Prompt prompt;
    GenerationParams params;
    AnswerKind kind;
    Admission::Reservation reservation;
  };

  /// Starts a generation and hands its stream to the worker. The reactor is for gRPC, which tells
  /// when it ends. AlreadyExists for the id of a live request; the errors of Generation::Start.
  static absl::StatusOr<grpc::ServerWriteReactor<grpc::ByteBuffer>*> Start(Args args);

  ~AnswerStream() override;

  // gRPC's threads.
  void OnWriteDone(bool ok) override {
    Tell(ok ? StreamEvent::kWritten : StreamEvent::kNotWritten);
  }
  void OnCancel() override { Tell(StreamEvent::kClientGone); }
  void OnDone() override { Tell(StreamEvent::kClosed); }

  // The worker's thread.
  void Handle(StreamEvent event) override;

 private:
  AnswerStream(const GrpcContext& context,
               grpc::CallbackServerContext& rpc,
               CallRecord record,
               GenerationParams params);

  void Tell(StreamEvent event);
  void Proceed();
  void ReadGeneration();
  void Write(bool more);
  void CheckStall();
  void EndGone();
  void End(absl::Status status);
  void FinishUnlessWriting();

  const GrpcContext& context_;
  grpc::CallbackServerContext& rpc_;
  const StreamId id_;
  CallRecord record_;
  const GenerationParams params_;
  bool is_registered_ = false;

  std::unique_ptr<Generation> generation_;
  UpdateWriter writer_;
  std::vector<ChoiceDelta> deltas_;
  grpc::ByteBuffer message_;              // that is being written
  std::optional<TimePoint> write_began_;  // set while one is
  std::optional<absl::Status> end_;       // how the call ends, once that is known
  bool is_finished_ = false;
};

}  // namespace hadal
