#include "server/http/http_server.h"

#include <array>
#include <pthread.h>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <absl/strings/str_format.h>
#include <absl/synchronization/notification.h>
#include <gtest/gtest.h>

#include "tests/server/http/raw_client.h"
#include "tests/server/http/test_server.h"

namespace hadal {
namespace {

constexpr TimePoint kNever = TimePoint::max();

void Hello(Exchange& exchange) {
  exchange.Respond({.content_type = "text/plain", .body = "hello " + exchange.request().path});
}

TimePoint In(Duration duration) {
  return std::chrono::steady_clock::now() + duration;
}

TEST(HttpServer, AnswersAndKeepsTheConnection) {
  TestServer server(Hello);
  RawClient client(server.port());
  for (int i = 0; i < 3; ++i) {
    const RawResponse response = client.Call(Get("/a?b=c"));
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, "hello /a");
    EXPECT_EQ(response.Find("content-type"), "text/plain");
    EXPECT_EQ(response.Find("content-length"), "8");
    EXPECT_EQ(response.Find("connection"), std::nullopt);
    EXPECT_TRUE(response.Find("date")->ends_with(" GMT"));
  }
  EXPECT_EQ(server.CountOf("opened"), 1);
}

TEST(HttpServer, RequestsComeInAnyPieces) {
  TestServer server(Echo);
  RawClient client(server.port());
  for (const char c : Post("/", "abc")) {
    client.Send(std::string(1, c));
  }
  EXPECT_EQ(client.ReadResponse().body, "abc");
}

TEST(HttpServer, PipelinedRequestsAreAnsweredInOrder) {
  TestServer server(Hello);
  RawClient client(server.port());
  std::string requests;
  for (int i = 0; i < 1000; ++i) {  // more than is read ahead
    requests += Get(absl::StrFormat("/%d", i));
  }
  std::thread sender([&] { EXPECT_TRUE(client.Send(requests)); });
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(client.ReadResponse().body, absl::StrFormat("hello /%d", i));
  }
  sender.join();
}

TEST(HttpServer, RequestsSentDuringAStreamAreKept) {
  absl::Notification sent;
  TestServer server([&](Exchange& exchange) {
    if (exchange.request().path != "/stream") {
      Echo(exchange);
      return;
    }
    exchange.BeginStream({});
    exchange.Write("one");
    while (!sent.HasBeenNotified()) {
      EXPECT_NE(exchange.Wait(In(std::chrono::milliseconds(1))), Exchange::Event::kClientGone);
    }
    exchange.Write("two");
    exchange.EndStream();
  });
  RawClient client(server.port());
  client.Send(Get("/stream"));
  client.ReadUntil("one\r\n");
  const std::string large(100'000, 'x');
  std::thread sender([&] {
    EXPECT_TRUE(client.Send(Post("/", large) + Get("/")));
    sent.Notify();
  });
  client.ReadUntil("0\r\n\r\n");
  EXPECT_EQ(client.ReadResponse().body, large);
  EXPECT_EQ(client.ReadResponse().status, 200);
  sender.join();
}

TEST(HttpServer, HeadHasNoBody) {
  TestServer server([](Exchange& exchange) {
    if (exchange.request().path == "/stream") {
      exchange.BeginStream({});
      EXPECT_TRUE(exchange.Write("one"));
      exchange.EndStream();
    } else {
      Hello(exchange);
    }
  });
  RawClient client(server.port());
  for (const std::string path : {"/a", "/stream", "/a"}) {
    const RawResponse response = client.Call("HEAD " + path + " HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.Find("content-length").has_value(), path == "/a");
  }
  EXPECT_EQ(client.Call(Get("/a")).body, "hello /a");
}

TEST(HttpServer, SomeStatusesHaveNoBody) {
  TestServer server([](Exchange& exchange) { exchange.Respond({.status = 204}); });
  RawClient client(server.port());
  for (int i = 0; i < 2; ++i) {
    const RawResponse response = client.Call(Get("/"));
    EXPECT_EQ(response.status, 204);
    EXPECT_EQ(response.Find("content-length"), std::nullopt);
  }
}

TEST(HttpServer, Http10EndsWithTheConnection) {
  TestServer server([](Exchange& exchange) {
    if (exchange.request().path == "/stream") {
      exchange.BeginStream({});
      exchange.Write("one");
      exchange.Write("two");
      exchange.EndStream();
    } else {
      Hello(exchange);
    }
  });
  {
    RawClient client(server.port());
    const RawResponse response = client.Call("GET /a HTTP/1.0\r\n\r\n");
    EXPECT_EQ(response.body, "hello /a");
    EXPECT_EQ(response.Find("connection"), "close");
    EXPECT_EQ(client.ReadToEnd(), "");
  }
  {
    RawClient client(server.port());
    const std::string keep = "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    EXPECT_EQ(client.Call(keep).Find("connection"), "keep-alive");
    EXPECT_EQ(client.Call(keep).body, "hello /a");
  }
  {
    RawClient client(server.port());
    const RawResponse response =
        client.Call("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_EQ(response.body, "onetwo");
    EXPECT_EQ(response.Find("transfer-encoding"), std::nullopt);
    EXPECT_EQ(response.Find("connection"), "close");
  }
}

TEST(HttpServer, ClosesWhenAsked) {
  TestServer server(Hello);
  RawClient client(server.port());
  const RawResponse response =
      client.Call("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(response.body, "hello /a");
  EXPECT_EQ(response.Find("connection"), "close");
  EXPECT_EQ(client.ReadToEnd(), "");
}

TEST(HttpServer, RequestIds) {
  TestServer server(Hello);
  RawClient client(server.port());
  const auto call = [&client](const std::string& id) {
    return client.Call("GET / HTTP/1.1\r\nHost: h\r\nX-Request-Id: " + id + "\r\n\r\n")
        .Find("x-request-id")
        .value_or("none");
  };
  EXPECT_EQ(call("client.id_7-Z"), "client.id_7-Z");
  std::set<std::string> ids;
  for (const std::string& bad : std::vector<std::string>{"", "a b", "a\"b", std::string(65, 'a')}) {
    const std::string id = call(bad);
    EXPECT_EQ(id.size(), 32U);
    EXPECT_TRUE(ids.insert(id).second) << "the same twice";
  }
}

TEST(HttpServer, RoutesSeeTheClient) {
  TestServer server([](Exchange& exchange) {
    EXPECT_FALSE(exchange.request().is_tls);
    exchange.Respond({.body = exchange.request().client_address});
  });
  RawClient client(server.port());
  EXPECT_EQ(client.Call(Get("/")).body, "127.0.0.1");
}

TEST(HttpServer, HeadersOfRoutesAddNoLines) {
  TestServer server([](Exchange& exchange) {
    const absl::StatusOr<std::string> body = exchange.ReadBody(ReserveAnything);
    exchange.Respond({.headers = {{.name = "X-Echo", .value = *body}}});
  });
  RawClient client(server.port());
  const RawResponse response = client.Call(Post("/", "a\r\nSet-Cookie: b\r\n\r\nbody"));
  EXPECT_EQ(response.Find("set-cookie"), std::nullopt);
  EXPECT_EQ(response.Find("x-echo"), "a  Set-Cookie: b    body");
}

TEST(HttpServer, ARouteThatForgetsToAnswer) {
  TestServer server([](Exchange&) {});
  RawClient client(server.port());
  for (int64_t i = 1; i <= 2; ++i) {
    const RawResponse response = client.Call(Get("/"));
    EXPECT_EQ(response.status, 500);
    EXPECT_EQ(response.body, R"({"error":"the server failed to answer"})");
    server.Await("refused 500", i);
  }
}

TEST(HttpServer, AStreamThatARouteForgetsToEndBreaksOff) {
  TestServer server([](Exchange& exchange) {
    exchange.BeginStream({});
    exchange.Write("one");
  });
  RawClient client(server.port());
  const RawResponse response = client.Call(Get("/"));
  EXPECT_FALSE(response.complete);
  EXPECT_EQ(response.body, "one");
}

TEST(HttpServer, ARouteThatThrowsLosesItsConnectionOnly) {
  TestServer server([](Exchange& exchange) {
    if (exchange.request().path == "/bad") {
      exchange.request().headers.at(1000);
    }
    Hello(exchange);
  });
  RawClient good(server.port());
  EXPECT_EQ(good.Call(Get("/a")).status, 200);
  RawClient bad(server.port());
  bad.Send(Get("/bad"));
  EXPECT_EQ(bad.ReadToEnd(), "");
  server.Await("closed", 1);
  EXPECT_EQ(good.Call(Get("/a")).status, 200);
}

TEST(HttpServer, RunElsewhereLeavesTheThreadToOthers) {
  absl::Notification answered;
  TestServer server([&](Exchange& exchange) {
    if (exchange.request().path != "/slow") {
      Hello(exchange);
      return;
    }
    std::array<char, 16> name = {};
    exchange.RunElsewhere([&] {
      answered.WaitForNotification();
      pthread_getname_np(pthread_self(), name.data(), name.size());
    });
    exchange.Respond({.body = name.data()});
  });
  RawClient slow(server.port());
  slow.Send(Get("/slow"));
  RawClient other(server.port());
  EXPECT_EQ(other.Call(Get("/a")).status, 200);
  answered.Notify();
  EXPECT_EQ(slow.ReadResponse().body, "work-0");
}

TEST(HttpServer, RunElsewhereWaitsForItsWorkThoughTheClientGoes) {
  absl::Notification started;
  absl::Notification finish;
  TestServer server([&](Exchange& exchange) {
    bool done = false;
    exchange.RunElsewhere([&] {
      started.Notify();
      finish.WaitForNotification();
      done = true;
    });
    EXPECT_TRUE(done);
    EXPECT_EQ(exchange.Wait(kNever), Exchange::Event::kClientGone);
  });
  {
    RawClient client(server.port());
    client.Send(Get("/"));
    started.WaitForNotification();
  }
  EXPECT_EQ(server.CountOf("closed"), 0);
  finish.Notify();
  server.Await("closed", 1);
}

TEST(HttpServer, ThreadsShareTheConnections) {
  TestServer server({.num_threads = 3, .route = [](Exchange& exchange) {
                       std::array<char, 16> name = {};
                       pthread_getname_np(pthread_self(), name.data(), name.size());
                       exchange.Respond({.body = name.data()});
                     }});
  std::multiset<std::string> names;
  for (int i = 0; i < 6; ++i) {
    names.insert(RawClient(server.port()).Call(Get("/")).body);
  }
  EXPECT_EQ(names, std::multiset<std::string>({"io-0", "io-0", "io-1", "io-1", "io-2", "io-2"}));
}

TEST(HttpServer, TellsHowBusyItsThreadsAre) {
  TestServer server(Hello);
  server.Await("busy", 2);
}

TEST(HttpServer, DrainingClosesIdleConnectionsAndTheOthersAfterTheirResponse) {
  absl::Notification streaming;
  TestServer server([&](Exchange& exchange) {
    if (exchange.request().path != "/stream") {
      Hello(exchange);
      return;
    }
    exchange.BeginStream({});
    streaming.Notify();
    EXPECT_EQ(exchange.Wait(kNever), Exchange::Event::kNotified);
    exchange.Write("drained");
    exchange.EndStream();
  });
  RawClient idle(server.port());
  EXPECT_EQ(idle.Call(Get("/a")).status, 200);
  RawClient busy(server.port());
  busy.Send(Get("/stream"));
  streaming.WaitForNotification();

  server.server().BeginDrain();
  EXPECT_EQ(idle.ReadToEnd(), "");
  {
    RawClient late(server.port());
    const RawResponse response = late.Call(Get("/b"));
    EXPECT_EQ(response.body, "hello /b");
    EXPECT_EQ(response.Find("connection"), "close");
    EXPECT_EQ(late.ReadToEnd(), "");
  }

  server.server().StopAccepting();
  EXPECT_FALSE(server.server().WaitUntilIdle(In(Duration::zero())));
  server.server().NotifyAll();
  EXPECT_EQ(busy.ReadResponse().body, "drained");
  EXPECT_EQ(busy.ReadToEnd(), "");
  EXPECT_TRUE(server.server().WaitUntilIdle(In(std::chrono::seconds(60))));
}

TEST(HttpServer, StopAcceptingRefusesNewConnections) {
  TestServer server(Hello);
  RawClient client(server.port());
  EXPECT_EQ(client.Call(Get("/a")).status, 200);
  RawClient silent(server.port());
  server.Await("opened", 2);
  server.server().StopAccepting();
  EXPECT_EQ(silent.ReadToEnd(), "");
  // What connects until the socket is closed ends without an answer.
  while (RawClient(server.port()).connected()) {
  }
  EXPECT_EQ(client.Call(Get("/a")).status, 200);
  EXPECT_EQ(server.CountOf("opened"), 2);
}

TEST(HttpServer, TheEndCutsOffWhatIsLeft) {
  std::atomic<int> num_streaming = 0;
  std::atomic<int> num_gone = 0;
  auto server = std::make_unique<TestServer>(
      TestServer::Args{.num_threads = 2, .route = [&](Exchange& exchange) {
                         exchange.BeginStream({});
                         exchange.Write("one");
                         ++num_streaming;
                         while (exchange.Wait(kNever) != Exchange::Event::kClientGone) {
                         }
                         EXPECT_FALSE(exchange.Write("two"));
                         ++num_gone;
                       }});
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<RawClient>(server->port()));
    clients.back()->Send(Get("/"));
    clients.back()->ReadUntil("one\r\n");
  }
  RawClient idle(server->port());
  RawClient partial(server->port());
  partial.Send("GET / HT");
  server->Await("opened", 22);
  server->Destroy();
  EXPECT_EQ(num_gone, 20);
  EXPECT_EQ(server->CountOf("closed"), 22);
  EXPECT_EQ(server->CountOf("gone"), 0) << "the server went, not they";
  for (const auto& client : clients) {
    EXPECT_EQ(client->ReadToEnd(), "");
  }
}

TEST(HttpServer, BadArguments) {
  const auto start = [](auto change) {
    HttpServer::Args args = {
        .name = "io", .route = Hello, .make_error = [](int32_t, std::string_view) {
          return HttpResponse();
        }};
    change(args);
    return HttpServer::Start(std::move(args)).status().code();
  };
  using Args = HttpServer::Args;
  EXPECT_EQ(start([](Args&) {}), absl::StatusCode::kOk);
  const auto invalid = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(start([](Args& args) { args.address = "localhost"; }), invalid);
  EXPECT_EQ(start([](Args& args) { args.num_threads = 0; }), invalid);
  EXPECT_EQ(start([](Args& args) { args.num_work_threads = 0; }), invalid);
  EXPECT_EQ(start([](Args& args) { args.route = nullptr; }), invalid);
  EXPECT_EQ(start([](Args& args) { args.make_error = nullptr; }), invalid);
  EXPECT_EQ(start([](Args& args) { args.limits.max_connections = 0; }), invalid);
  EXPECT_EQ(start([](Args& args) { args.limits.max_connections = 30'001; }), invalid);
  EXPECT_EQ(start([](Args& args) { args.limits.max_connections_per_address = -1; }), invalid);
  EXPECT_EQ(start([](Args& args) { args.limits.max_body_bytes = -1; }), invalid);
  EXPECT_EQ(start([](Args& args) { args.limits.max_headers = 0; }), invalid);
  EXPECT_EQ(start([](Args& args) { args.address = "203.0.113.7"; }),
            absl::StatusCode::kUnavailable);
  TestServer server(Hello);
  EXPECT_EQ(start([&](Args& args) { args.port = server.port(); }), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace hadal
