#include "tests/server/grpc/test_grpc_server.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <utility>

#include "base/check.h"
#include "tests/server/operations/metric_text.h"

namespace hadal {
namespace {

constexpr int64_t kNumBlocks = 64;
constexpr int32_t kVocab = 100'000;  // of the simulated model: no added tokens among them

grpc::ByteBuffer BufferOf(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return {&slice, 1};
}

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  CHECK(buffer.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

void Append(const v1::AnswerPart& part, WholeAnswer::Choice& choice) {
  switch (part.part_case()) {
    case v1::AnswerPart::kContent:
      choice.content += part.content();
      return;
    case v1::AnswerPart::kReasoning:
      choice.reasoning += part.reasoning();
      return;
    case v1::AnswerPart::kToolCallBegin:
      CHECK_EQ(part.tool_call_begin().index(), std::ssize(choice.calls));
      choice.calls.push_back(
          {.id = part.tool_call_begin().id(), .name = part.tool_call_begin().name()});
      return;
    case v1::AnswerPart::kToolCallArguments:
      choice.calls.at(part.tool_call_arguments().index()).arguments +=
          part.tool_call_arguments().text();
      return;
    case v1::AnswerPart::kToolCallEnd:
      choice.calls.at(part.tool_call_end().index()).complete = part.tool_call_end().complete();
      return;
    case v1::AnswerPart::PART_NOT_SET:
      CHECK(false);
  }
}

}  // namespace

TestGrpcServer::TestGrpcServer(const Options& options)
    : executor(clock, kNumBlocks, kVocab),
      metrics(ServerMetrics::Create({})),
      model(MakeTestModel(options.format, options.context_tokens)),
      admission(options.load, clock, *metrics) {
  if (options.with_keys) {
    auto parsed = ApiKeys::Parse(std::string("one ") + kKey + "\nother " + kOtherKey + "\n");
    CHECK(parsed.ok());
    keys = *std::move(parsed);
  }
  auto created = SchedulerLoop::Create({.limits = {.vocab_size = 129'280,
                                                   .max_requests = 16,
                                                   .max_waiting_tokens = 2000,
                                                   .max_sequence_tokens = options.context_tokens,
                                                   .num_blocks = kNumBlocks},
                                        .executor = executor,
                                        .clock = clock,
                                        .observe = [this](const StepReport& report) {
                                          const absl::MutexLock lock(&mutex_);
                                          counts_ = report.counts;
                                        }});
  CHECK(created.ok());
  loop = *std::move(created);
  generation.emplace(model, *loop, clock, *metrics);
  health.SetPhase(options.phase);
  auto started = GrpcServer::Start({.generation = *generation,
                                    .admission = admission,
                                    .health = health,
                                    .keys = keys,
                                    .limits = options.limits,
                                    .scheduler_counts =
                                        [this] {
                                          const absl::MutexLock lock(&mutex_);
                                          return counts_;
                                        },
                                    .host = "127.0.0.1",
                                    .grpc_limits = options.grpc_limits,
                                    .reflection = options.reflection,
                                    .logs_requests = false});
  CHECK(started.ok());
  server = *std::move(started);
  channel = Connect({});
  stub = v1::Inference::NewStub(channel);
}

TestGrpcServer::~TestGrpcServer() {
  executor.AllowAllSteps();
  server.reset();
  loop.reset();  // its thread writes counts_
}

std::shared_ptr<grpc::Channel> TestGrpcServer::Connect(grpc::ChannelArguments arguments) const {
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(
      "127.0.0.1:" + std::to_string(server->port()), grpc::InsecureChannelCredentials(), arguments);
}

TestGrpcServer::Raw TestGrpcServer::CallRaw(const std::string& path,
                                            const std::string& request,
                                            const char* key) {
  grpc::ClientContext context;
  if (key != nullptr) {
    AddKey(key, context);
  }
  grpc::GenericStub generic(channel);
  grpc::CompletionQueue queue;
  const auto call = generic.PrepareCall(&context, path, &queue);
  void* tag = nullptr;
  bool ok = false;
  call->StartCall(nullptr);
  queue.Next(&tag, &ok);
  call->WriteLast(BufferOf(request), {}, nullptr);
  queue.Next(&tag, &ok);
  grpc::ByteBuffer response;
  call->Read(&response, nullptr);
  queue.Next(&tag, &ok);
  Raw raw;
  if (ok) {
    raw.bytes = BytesOf(response);
    context.TryCancel();  // of streams that would go on
  }
  call->Finish(&raw.status, nullptr);
  queue.Next(&tag, &ok);
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  return raw;
}

bool TestGrpcServer::DrainsToNothing() {
  executor.AllowAllSteps();
  loop->Drain();
  const bool idle = server->WaitUntilIdle(TimePoint::max());
  const Load held = admission.held();
  return idle && held.requests == 0 && held.prompt_tokens == 0 && held.body_bytes == 0;
}

double TestGrpcServer::Metric(const std::string& name,
                              std::map<std::string, std::string> labels) const {
  labels["model"] = "";
  return ValueOf(ParseMetricText(metrics->Serialize()), name, labels);
}

WholeAnswer ReadAnswer(grpc::ClientReader<v1::AnswerUpdate>& reader) {
  WholeAnswer answer;
  v1::AnswerUpdate update;
  while (reader.Read(&update)) {
    ++answer.num_messages;
    CHECK(!answer.usage.has_value());
    for (const v1::ChoiceDelta& delta : update.deltas()) {
      const auto place = static_cast<size_t>(delta.choice());
      if (answer.choices.size() <= place) {
        answer.choices.resize(place + 1);
      }
      WholeAnswer::Choice& choice = answer.choices[place];
      CHECK_EQ(choice.finish, v1::FINISH_REASON_UNSPECIFIED);
      for (const v1::AnswerPart& part : delta.parts()) {
        Append(part, choice);
      }
      choice.logprobs.insert(
          choice.logprobs.end(), delta.logprobs().begin(), delta.logprobs().end());
      choice.finish = delta.finish_reason();
    }
    if (update.has_usage()) {
      answer.usage = update.usage();
    }
  }
  answer.status = reader.Finish();
  return answer;
}

WholeAnswer Generate(TestGrpcServer& server, const v1::GenerateRequest& request) {
  grpc::ClientContext context;
  return ReadAnswer(*server.stub->Generate(&context, request));
}

WholeAnswer Chat(TestGrpcServer& server, const v1::ChatRequest& request) {
  grpc::ClientContext context;
  return ReadAnswer(*server.stub->Chat(&context, request));
}

v1::GenerateRequest TextRequest(int64_t max_tokens) {
  v1::GenerateRequest request;
  request.set_text("once upon a time");
  request.mutable_params()->set_seed(1);
  request.mutable_params()->set_max_tokens(max_tokens);
  return request;
}

v1::ChatRequest UserRequest(const std::string& content) {
  v1::ChatRequest request;
  v1::Message& message = *request.mutable_conversation()->add_messages();
  message.set_role(v1::ROLE_USER);
  message.set_content(content);
  return request;
}

void AddKey(const char* key, grpc::ClientContext& context) {
  context.AddMetadata("authorization", std::string("Bearer ") + key);
}

}  // namespace hadal
