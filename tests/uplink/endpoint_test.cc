#include "uplink/link/endpoint.h"

#include <gtest/gtest.h>

namespace spillway::uplink {
namespace {

TEST(Endpoint, ReadsSchemeHostPortAndPath) {
  const auto plain = parse_endpoint("ws://127.0.0.1:7443");
  ASSERT_TRUE(plain);
  EXPECT_FALSE(plain->tls);
  EXPECT_EQ(plain->host, "127.0.0.1");
  EXPECT_EQ(plain->port, 7443);
  EXPECT_EQ(plain->path, "/");
  const auto secure = parse_endpoint("wss://consumer.example/spillway/in");
  ASSERT_TRUE(secure);
  EXPECT_TRUE(secure->tls);
  EXPECT_EQ(secure->port, 443);
  EXPECT_EQ(secure->path, "/spillway/in");
  const auto six = parse_endpoint("ws://[::1]:80");
  ASSERT_TRUE(six);
  EXPECT_EQ(six->host, "::1");
}

TEST(Endpoint, SaysWhatIsWrong) {
  for (const char* url :
       {"", "http://a", "ws://", "ws://:80", "ws://a:", "ws://a:x", "ws://a:70000", "ws://a:80x",
        "ws://[::1", "ws://a/b c", "ws://a/\r\nX: y"}) {
    const auto endpoint = parse_endpoint(url);
    ASSERT_FALSE(endpoint) << url;
    EXPECT_EQ(endpoint.error().code, core::ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace spillway::uplink
