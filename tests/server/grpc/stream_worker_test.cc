#include "server/grpc/stream_worker.h"

#include <latch>
#include <memory>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hadal {
namespace {

using testing::ElementsAre;

// Notes what it is told, and when it goes. Latches, because ThreadSanitizer sees into them.
class RecordingStream final : public WorkerStream {
 public:
  struct Record {
    std::vector<StreamEvent> events;  // read it behind `gone`
    std::latch gone{1};
    std::latch ticked{1};
  };

  explicit RecordingStream(Record& record) : record_(record) {}
  ~RecordingStream() override { record_.gone.count_down(); }

  void Handle(StreamEvent event) override {
    if (event != StreamEvent::kTick) {
      record_.events.push_back(event);
    } else if (!record_.ticked.try_wait()) {
      record_.ticked.count_down();
    }
  }

 private:
  Record& record_;
};

TEST(StreamWorkerTest, HandsEventsToTheirStreamsInOrder) {
  RecordingStream::Record first;
  RecordingStream::Record second;
  StreamWorker worker;
  const StreamId first_id = worker.NewId();
  const StreamId second_id = worker.NewId();
  EXPECT_NE(first_id, second_id);
  worker.events()->Push({.id = first_id, .event = StreamEvent::kNews});  // nobody knows it yet
  worker.Open(first_id, std::make_unique<RecordingStream>(first));
  worker.Open(second_id, std::make_unique<RecordingStream>(second));
  worker.events()->Push({.id = first_id, .event = StreamEvent::kWritten});
  worker.events()->Push({.id = second_id, .event = StreamEvent::kCancelled});
  worker.events()->Push({.id = first_id, .event = StreamEvent::kClosed});
  worker.events()->Push({.id = first_id, .event = StreamEvent::kNews});  // nobody any more
  worker.events()->Push({.id = second_id, .event = StreamEvent::kClosed});
  first.gone.wait();
  second.gone.wait();
  EXPECT_THAT(first.events,
              ElementsAre(StreamEvent::kOpened, StreamEvent::kWritten, StreamEvent::kClosed));
  EXPECT_THAT(second.events,
              ElementsAre(StreamEvent::kOpened, StreamEvent::kCancelled, StreamEvent::kClosed));
}

TEST(StreamWorkerTest, TicksWhenToldToAndByItself) {
  RecordingStream::Record told;
  StreamWorker worker;
  const StreamId id = worker.NewId();
  worker.Open(id, std::make_unique<RecordingStream>(told));
  worker.events()->PushTick();
  told.ticked.wait();
  RecordingStream::Record later;
  const StreamId later_id = worker.NewId();
  worker.Open(later_id, std::make_unique<RecordingStream>(later));
  later.ticked.wait();
  worker.events()->Push({.id = id, .event = StreamEvent::kClosed});
  worker.events()->Push({.id = later_id, .event = StreamEvent::kClosed});
  later.gone.wait();
}

TEST(StreamWorkerTest, NewsOutliveTheWorker) {
  std::shared_ptr<StreamEvents> events;
  RecordingStream::Record record;
  StreamId id{};
  {
    StreamWorker worker;
    id = worker.NewId();
    events = worker.events();
    worker.Open(id, std::make_unique<RecordingStream>(record));
    worker.events()->Push({.id = id, .event = StreamEvent::kClosed});
  }
  EXPECT_TRUE(record.gone.try_wait()) << "what was pushed before the end is handled";
  events->Push({.id = id, .event = StreamEvent::kNews});
  EXPECT_THAT(record.events, ElementsAre(StreamEvent::kOpened, StreamEvent::kClosed));
}

}  // namespace
}  // namespace hadal
