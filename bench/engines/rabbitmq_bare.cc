// rabbitmq_bare PORT EXCHANGE ROUTING_KEY MESSAGES BYTES WINDOW: the bare loop beside which the RabbitMQ sink is
// measured: the same library, and for each message the same headers, persistent, mandatory and confirmed,
// with the same window.
//
// Prints the messages a second from the first confirm to the last.
#include <sys/time.h>

#include <array>

#include "bench/engines/bare.h"
#include "uplink/engines/rabbitmq/amqp.h"

namespace {

using namespace spillway::bench;

constexpr amqp_channel_t kChannel = 1;

amqp_bytes_t text(const std::string& from) { return {from.size(), const_cast<char*>(from.data())}; }

class Publisher {
 public:
  explicit Publisher(int port) : connection_(amqp_new_connection()) {
    amqp_socket_t* socket = amqp_tcp_socket_new(connection_);
    if (amqp_socket_open(socket, "127.0.0.1", port) != AMQP_STATUS_OK) give_up("no connection");
    const auto login =
        amqp_login(connection_, "/", 0, 131'072, 30, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
    if (login.reply_type != AMQP_RESPONSE_NORMAL) give_up("no login");
    amqp_channel_open(connection_, kChannel);
    amqp_confirm_select(connection_, kChannel);
    if (amqp_get_rpc_reply(connection_).reply_type != AMQP_RESPONSE_NORMAL) give_up("no channel");
  }
  ~Publisher() { amqp_destroy_connection(connection_); }

  void publish(const std::string& exchange, const std::string& key, const std::string& body) {
    headers_ = headers_of(published_);
    for (std::size_t i = 0; i < headers_.size(); ++i) {
      entries_[i].key = amqp_cstring_bytes(headers_[i].first);
      entries_[i].value.kind = AMQP_FIELD_KIND_UTF8;
      entries_[i].value.value.bytes = text(headers_[i].second);
    }
    const std::string id = message_id_of(published_);
    amqp_basic_properties_t properties{};
    properties._flags = AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG |
                        AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_APP_ID_FLAG |
                        AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_TIMESTAMP_FLAG;
    properties.headers = {static_cast<int>(headers_.size()), entries_.data()};
    properties.delivery_mode = 2;
    properties.message_id = text(id);
    properties.app_id = amqp_cstring_bytes("spillway");
    properties.content_type = amqp_cstring_bytes("application/octet-stream");
    properties.timestamp = 1'700'000'000;
    if (amqp_basic_publish(connection_, kChannel, text(exchange), text(key), 1, 0, &properties,
                           text(body)) != AMQP_STATUS_OK) {
      give_up("cannot publish");
    }
    ++published_;
  }

  /// Waits for one confirm if it must, and takes all that are there.
  void take_confirms(bool must) {
    while (true) {
      amqp_frame_t frame;
      timeval wait{must ? 60 : 0, 0};
      const int status = amqp_simple_wait_frame_noblock(connection_, &frame, &wait);
      if (status == AMQP_STATUS_TIMEOUT && !must) return;
      if (status != AMQP_STATUS_OK || frame.frame_type != AMQP_FRAME_METHOD ||
          frame.payload.method.id != AMQP_BASIC_ACK_METHOD) {
        give_up("not confirmed");
      }
      // Confirms of one queue come in their order.
      const auto* ack = static_cast<const amqp_basic_ack_t*>(frame.payload.method.decoded);
      confirmed_ = ack->multiple != 0 ? ack->delivery_tag : confirmed_ + 1;
      amqp_maybe_release_buffers(connection_);
      must = false;
    }
  }

  [[nodiscard]] std::uint64_t published() const { return published_; }
  [[nodiscard]] std::uint64_t confirmed() const { return confirmed_; }

 private:
  amqp_connection_state_t connection_;
  Headers headers_;
  std::array<amqp_table_entry_t, 16> entries_{};
  std::uint64_t published_ = 0;
  std::uint64_t confirmed_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) give_up("PORT EXCHANGE ROUTING_KEY MESSAGES BYTES WINDOW");
  Publisher publisher(std::atoi(argv[1]));
  const std::string exchange = argv[2];
  const std::string key = argv[3];
  const auto messages = std::strtoull(argv[4], nullptr, 10);
  const std::string body(std::strtoull(argv[5], nullptr, 10), 'x');
  const auto window = std::strtoull(argv[6], nullptr, 10);
  Rate rate;
  while (publisher.confirmed() < messages) {
    const bool full = publisher.published() - publisher.confirmed() >= window;
    const bool all = publisher.published() == messages;
    if (!full && !all) publisher.publish(exchange, key, body);
    if (full || all || publisher.published() % 64 == 0) publisher.take_confirms(full || all);
    rate.acknowledged(publisher.confirmed());
  }
  rate.print(messages);
  return 0;
}
