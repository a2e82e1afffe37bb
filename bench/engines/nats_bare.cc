// nats_bare PORT SUBJECT MESSAGES BYTES WINDOW: the bare loop beside which the NATS sink is measured: the same
// library, headers and window, published asynchronously into JetStream.
//
// Prints the messages a second from the first acknowledgement to the last.
#include <nats/nats.h>

#include <condition_variable>
#include <mutex>

#include "bench/engines/bare.h"

namespace {

using namespace spillway::bench;

void check(natsStatus status, const char* what) {
  if (status != NATS_OK) give_up(std::string(what) + ": " + natsStatus_GetText(status));
}

/// Told by the library's thread.
class Acknowledged {
 public:
  void tell(bool stored) {
    const std::lock_guard lock(mutex_);
    if (!stored) give_up("a message was not stored");
    rate_.acknowledged(++messages_);
    told_.notify_one();
  }
  void wait_for(std::uint64_t messages) {
    std::unique_lock lock(mutex_);
    told_.wait(lock, [&] { return messages_ >= messages; });
  }
  [[nodiscard]] const Rate& rate() const { return rate_; }

 private:
  std::mutex mutex_;
  std::condition_variable told_;
  std::uint64_t messages_ = 0;
  Rate rate_;
};

void on_acknowledged(jsCtx* /*context*/, natsMsg* message, jsPubAck* /*ack*/, jsPubAckErr* error,
                     void* acknowledged) {
  natsMsg_Destroy(message);
  static_cast<Acknowledged*>(acknowledged)->tell(error == nullptr);
}

void publish(jsCtx* context, const char* subject, const std::string& body, std::uint64_t number) {
  natsMsg* message = nullptr;
  check(natsMsg_Create(&message, subject, nullptr, body.data(), static_cast<int>(body.size())),
        "a message");
  natsMsgHeader_Set(message, "Nats-Msg-Id", message_id_of(number).c_str());
  natsMsgHeader_Set(message, "Content-Type", "application/octet-stream");
  for (const auto& [name, value] : headers_of(number)) {
    natsMsgHeader_Set(message, name, value.c_str());
  }
  check(js_PublishMsgAsync(context, &message, nullptr), "publish");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) give_up("give PORT SUBJECT MESSAGES BYTES WINDOW");
  const auto messages = std::strtoull(argv[3], nullptr, 10);
  const std::string body(std::strtoull(argv[4], nullptr, 10), 'x');
  const auto window = std::strtoull(argv[5], nullptr, 10);
  Acknowledged acknowledged;
  natsConnection* connection = nullptr;
  const std::string url = std::string("nats://127.0.0.1:") + argv[1];
  check(natsConnection_ConnectTo(&connection, url.c_str()), "connect");
  jsOptions wishes;
  jsOptions_Init(&wishes);
  wishes.PublishAsync.MaxPending = static_cast<std::int64_t>(2 * window);
  wishes.PublishAsync.AckHandler = on_acknowledged;
  wishes.PublishAsync.AckHandlerClosure = &acknowledged;
  jsCtx* context = nullptr;
  check(natsConnection_JetStream(&context, connection, &wishes), "JetStream");
  for (std::uint64_t number = 0; number < messages; ++number) {
    if (number >= window) acknowledged.wait_for(number - window + 1);
    publish(context, argv[2], body, number);
  }
  acknowledged.wait_for(messages);
  acknowledged.rate().print(messages);
  jsCtx_Destroy(context);
  natsConnection_Destroy(connection);
  return 0;
}
