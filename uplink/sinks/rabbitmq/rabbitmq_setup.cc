#include "uplink/sinks/rabbitmq/rabbitmq_setup.h"

#include <array>

#include "uplink/sinks/rabbitmq/amqp_connection.h"

namespace spillway::uplink {

namespace {

using core::Result;

constexpr std::uint64_t kTimeoutNs = 10'000'000'000;

class Setup {
 public:
  explicit Setup(const core::UplinkConfig& uplink)
      : config_(uplink.engine.rabbitmq), connection_(uplink) {}

  Result<void> run(SinkSetup& setup) {
    if (!setup.dry_run) SPILLWAY_CHECKED(connection_.open(kTimeoutNs));
    SPILLWAY_CHECKED(step(setup, "exchange " + config_.exchange + " (topic, durable)",
                          &Setup::declare_exchange));
    std::string queue = "queue " + config_.queue + " (quorum, durable";
    if (config_.queue_max_bytes != 0) {
      queue +=
          ", at most " + std::to_string(config_.queue_max_bytes) + " bytes, then reject-publish";
    }
    SPILLWAY_CHECKED(step(setup, queue + ")", &Setup::declare_queue));
    SPILLWAY_CHECKED(step(
        setup, "binding " + config_.exchange + " -> " + config_.queue + " for " + config_.binding,
        &Setup::bind));
    connection_.close();
    return {};
  }

 private:
  Result<void> step(SinkSetup& setup, const std::string& what, void (Setup::*declare)()) {
    if (!setup.dry_run) {
      (this->*declare)();
      SPILLWAY_CHECKED(connection_.reply("for " + what));
    }
    setup.lines.push_back(what);
    return {};
  }

  void declare_exchange() {
    amqp_exchange_declare(connection_.state(), kAmqpChannel, amqp_text(config_.exchange),
                          amqp_text("topic"), 0, 1, 0, 0, amqp_empty_table);
  }
  void declare_queue() {
    std::array<amqp_table_entry_t, 3> arguments{};
    arguments[0].key = amqp_text("x-queue-type");
    arguments[0].value.kind = AMQP_FIELD_KIND_UTF8;
    arguments[0].value.value.bytes = amqp_text("quorum");
    arguments[1].key = amqp_text("x-max-length-bytes");
    arguments[1].value.kind = AMQP_FIELD_KIND_I64;
    arguments[1].value.value.i64 = static_cast<std::int64_t>(config_.queue_max_bytes);
    arguments[2].key = amqp_text("x-overflow");
    arguments[2].value.kind = AMQP_FIELD_KIND_UTF8;
    arguments[2].value.value.bytes = amqp_text("reject-publish");
    const int count = config_.queue_max_bytes == 0 ? 1 : 3;
    amqp_queue_declare(connection_.state(), kAmqpChannel, amqp_text(config_.queue), 0, 1, 0, 0,
                       {count, arguments.data()});
  }
  void bind() {
    amqp_queue_bind(connection_.state(), kAmqpChannel, amqp_text(config_.queue),
                    amqp_text(config_.exchange), amqp_text(config_.binding), amqp_empty_table);
  }

  const core::RabbitmqConfig& config_;
  AmqpConnection connection_;
};

}  // namespace

Result<void> set_up_rabbitmq(const core::UplinkConfig& uplink, SinkSetup& setup) {
  return Setup(uplink).run(setup);
}

}  // namespace spillway::uplink
