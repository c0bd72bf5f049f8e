// Streams: wakers, clients that go and clients that do not read.

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <absl/synchronization/blocking_counter.h>
#include <absl/synchronization/mutex.h>
#include <absl/synchronization/notification.h>
#include <gtest/gtest.h>

#include "server/http/http_server.h"
#include "tests/server/http/raw_client.h"
#include "tests/server/http/test_server.h"

namespace hadal {
namespace {

constexpr TimePoint kNever = TimePoint::max();

TimePoint In(Duration duration) {
  return std::chrono::steady_clock::now() + duration;
}

TEST(HttpServerStream, PiecesAreChunks) {
  TestServer server([](Exchange& exchange) {
    exchange.BeginStream({.content_type = "text/event-stream"});
    EXPECT_TRUE(exchange.Write("one"));
    EXPECT_TRUE(exchange.Write(""));  // would end the stream if it were a chunk
    EXPECT_TRUE(exchange.Write(std::string(20, 'x')));
    exchange.EndStream();
  });
  RawClient client(server.port());
  client.Send(Get("/"));
  EXPECT_NE(client.ReadUntil("\r\n\r\n").find("Content-Type: text/event-stream\r\n"),
            std::string::npos);
  EXPECT_EQ(client.ReadUntil("0\r\n\r\n"),
            "3\r\none\r\n14\r\n" + std::string(20, 'x') + "\r\n0\r\n\r\n");
  EXPECT_TRUE(client.Call(Get("/")).complete) << "the connection goes on";
}

TEST(HttpServerStream, PiecesArriveAtOnce) {
  TestServer server([](Exchange& exchange) {
    exchange.BeginStream({});
    EXPECT_EQ(exchange.Wait(kNever), Exchange::Event::kNotified);
    exchange.Write("one");
    EXPECT_EQ(exchange.Wait(kNever), Exchange::Event::kNotified);
    exchange.EndStream();
  });
  RawClient client(server.port());
  client.Send(Get("/"));
  client.ReadUntil("\r\n\r\n");
  server.server().NotifyAll();
  client.ReadUntil("one\r\n");
  server.server().NotifyAll();
  client.ReadUntil("0\r\n\r\n");
}

TEST(HttpServerStream, LargePiecesToASlowReader) {
  constexpr size_t kBytes = 4 << 20;
  TestServer server([](Exchange& exchange) {
    exchange.BeginStream({});
    EXPECT_TRUE(exchange.Write(std::string(kBytes, 'x')));
    EXPECT_TRUE(exchange.Write(std::string(kBytes, 'y')));
    exchange.EndStream();
  });
  RawClient client(server.port(), RawClient::Kind::kPlain, 4096);
  EXPECT_EQ(client.Call(Get("/")).body, std::string(kBytes, 'x') + std::string(kBytes, 'y'));
}

TEST(HttpServerStream, WaitEndsAtItsDeadline) {
  TestServer server([](Exchange& exchange) {
    const TimePoint deadline = In(std::chrono::milliseconds(5));
    EXPECT_EQ(exchange.Wait(deadline), Exchange::Event::kDeadline);
    EXPECT_GE(std::chrono::steady_clock::now(), deadline);
    EXPECT_EQ(exchange.Wait(deadline), Exchange::Event::kDeadline) << "it has passed";
    exchange.waker()->Notify();
    EXPECT_EQ(exchange.Wait(deadline), Exchange::Event::kNotified) << "comes first";
    EXPECT_EQ(exchange.Wait(deadline), Exchange::Event::kDeadline) << "was taken";
    exchange.Respond({});
  });
  RawClient client(server.port());
  EXPECT_EQ(client.Call(Get("/")).status, 200);
}

// A producer writes numbers, notifies for each, and must not be waited for in vain.
TEST(HttpServerStream, NoNotificationGetsLost) {
  static constexpr int64_t kNumbers = 10'000;
  TestServer server([](Exchange& exchange) {
    std::atomic<int64_t> produced = 0;
    std::thread producer([&produced, waker = exchange.waker()] {
      for (int64_t i = 1; i <= kNumbers; ++i) {
        produced = i;
        waker->Notify();
      }
    });
    int64_t num_wakes = 0;
    while (produced < kNumbers) {
      ASSERT_EQ(exchange.Wait(kNever), Exchange::Event::kNotified);
      ++num_wakes;
    }
    exchange.RunElsewhere([&producer] { producer.join(); });
    EXPECT_LE(num_wakes, kNumbers);
    exchange.Respond({.body = "all"});
  });
  RawClient client(server.port());
  EXPECT_EQ(client.Call(Get("/")).body, "all");
}

TEST(HttpServerStream, OneThreadWakesMany) {
  constexpr int kStreams = 16;
  constexpr int kRounds = 200;
  absl::Mutex mutex;
  std::vector<std::shared_ptr<Waker>> wakers;
  std::atomic<int> round = 0;
  std::atomic<int> num_acknowledged = 0;
  TestServer server({.num_threads = 2, .route = [&](Exchange& exchange) {
                       {
                         const absl::MutexLock lock(&mutex);
                         wakers.push_back(exchange.waker());
                       }
                       exchange.BeginStream({});
                       for (int seen = 0; seen < kRounds;) {
                         ASSERT_EQ(exchange.Wait(kNever), Exchange::Event::kNotified);
                         if (round != seen) {
                           ASSERT_EQ(round, ++seen);
                           exchange.Write("x");
                           ++num_acknowledged;
                         }
                       }
                       exchange.EndStream();
                     }});
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < kStreams; ++i) {
    clients.push_back(std::make_unique<RawClient>(server.port()));
    clients.back()->Send(Get("/"));
    clients.back()->ReadUntil("\r\n\r\n");
  }
  for (int i = 0; i < kRounds; ++i) {
    ++round;
    for (const auto& waker : wakers) {
      waker->Notify();
    }
    while (num_acknowledged < kStreams * round) {
      std::this_thread::yield();
    }
  }
  for (const auto& client : clients) {
    client->ReadUntil("0\r\n\r\n");
  }
}

TEST(HttpServerStream, WakersOutliveConnectionAndServer) {
  std::shared_ptr<Waker> waker;
  {
    TestServer server([&](Exchange& exchange) {
      EXPECT_TRUE(waker == nullptr || waker == exchange.waker()) << "one for the connection";
      waker = exchange.waker();
      exchange.Respond({});
    });
    {
      RawClient client(server.port());
      EXPECT_EQ(client.Call(Get("/")).status, 200);
      waker->Notify();
      EXPECT_EQ(client.Call(Get("/")).status, 200);
    }
    server.Await("closed", 1);
    waker->Notify();
  }
  waker->Notify();
}

TEST(HttpServerStream, TheClientIsGone) {
  enum class How { kClose, kHalfClose, kReset };
  for (const How how : {How::kClose, How::kHalfClose, How::kReset}) {
    TestServer server([](Exchange& exchange) {
      exchange.BeginStream({});
      exchange.Write("one");
      EXPECT_EQ(exchange.Wait(kNever), Exchange::Event::kClientGone);
      EXPECT_EQ(exchange.Wait(kNever), Exchange::Event::kClientGone) << "and stays gone";
      EXPECT_FALSE(exchange.Write("two"));
      exchange.EndStream();
    });
    auto client = std::make_unique<RawClient>(server.port());
    client->Send(Get("/"));
    client->ReadUntil("one\r\n");
    switch (how) {
      case How::kClose:
        client.reset();
        break;
      case How::kHalfClose:
        client->ShutdownSend();
        break;
      case How::kReset:
        client->Reset();
        break;
    }
    server.Await("gone", 1);
    server.Await("closed", 1);
    EXPECT_EQ(server.CountOf("gone"), 1) << "once for a response";
    EXPECT_EQ(server.CountOf("stalled"), 0);
  }
}

TEST(HttpServerStream, TheClientIsGoneWhileARouteWaitsBeforeItsResponse) {
  TestServer server(
      [](Exchange& exchange) { EXPECT_EQ(exchange.Wait(kNever), Exchange::Event::kClientGone); });
  auto client = std::make_unique<RawClient>(server.port());
  client->Send(Get("/"));
  server.Await("opened", 1);
  client.reset();
  server.Await("closed", 1);
  EXPECT_EQ(server.CountOf("gone"), 1);
}

TEST(HttpServerStream, AClientThatReadsNothingIsCutOff) {
  TestServer server(
      {.limits = {.stall_timeout = std::chrono::milliseconds(50)}, .route = [](Exchange& exchange) {
         const std::string piece(100'000, 'x');
         exchange.BeginStream({});
         while (exchange.Write(piece)) {
         }
         EXPECT_FALSE(exchange.Write("more"));
         EXPECT_EQ(exchange.Wait(kNever), Exchange::Event::kClientGone);
       }});
  RawClient client(server.port(), RawClient::Kind::kPlain, 4096);
  client.Send(Get("/"));
  server.Await("closed", 1);
  EXPECT_EQ(server.CountOf("stalled"), 1);
  EXPECT_EQ(server.CountOf("gone"), 0);
  EXPECT_EQ(client.ReadToEnd().find("0\r\n\r\n"), std::string::npos) << "not as if it were whole";
}

// A whole response that is larger than what the kernel takes.
TEST(HttpServerStream, AClientThatDoesNotReadItsResponseIsCutOff) {
  TestServer server(
      {.limits = {.stall_timeout = std::chrono::milliseconds(50)}, .route = [](Exchange& exchange) {
         exchange.Respond({.body = std::string(16 << 20, 'x')});
       }});
  RawClient client(server.port(), RawClient::Kind::kPlain, 4096);
  client.Send(Get("/"));
  server.Await("closed", 1);
  EXPECT_EQ(server.CountOf("stalled"), 1);
}

TEST(HttpServerStream, AStalledClientThatGoesIsNotWaitedFor) {
  absl::Notification writing;
  TestServer server([&](Exchange& exchange) {
    exchange.BeginStream({});
    writing.Notify();
    EXPECT_FALSE(exchange.Write(std::string(16 << 20, 'x')));
  });
  auto client = std::make_unique<RawClient>(server.port(), RawClient::Kind::kPlain, 4096);
  client->Send(Get("/"));
  writing.WaitForNotification();
  client->ShutdownSend();
  server.Await("closed", 1);  // the stall limit is 30 seconds
  EXPECT_EQ(server.CountOf("gone"), 1);
}

TEST(HttpServerStream, SlowReadersDoNotHoldUpOthers) {
  TestServer server([](Exchange& exchange) {
    if (exchange.request().path == "/large") {
      exchange.BeginStream({});
      while (exchange.Write(std::string(100'000, 'x'))) {
      }
    } else {
      exchange.Respond({.body = "quick"});
    }
  });
  std::vector<std::unique_ptr<RawClient>> slow;
  for (int i = 0; i < 20; ++i) {
    slow.push_back(std::make_unique<RawClient>(server.port(), RawClient::Kind::kPlain, 4096));
    slow.back()->Send(Get("/large"));
  }
  server.Await("opened", 20);
  RawClient client(server.port());
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(client.Call(Get("/")).body, "quick");
  }
  slow.clear();
  server.Await("gone", 20);
}

}  // namespace
}  // namespace hadal
