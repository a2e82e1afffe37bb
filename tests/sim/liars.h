// Those who do not keep to the protocol: something that answers in the consumer's place, somebody who
// connects to the consumer under an id of his own, and a ghost that says again what a gateway has said.
// None may do harm to anything but its own session.
//
// One thread.
#pragma once

#include <memory>
#include <vector>

#include "spillway/core/uuid.h"
#include "tests/sim/network.h"

namespace spillway::sim {

/// Answers a Hello, and what follows, with lies that an honest uplink can see through.
class FalseConsumer {
 public:
  explicit FalseConsumer(Context& context);
  [[nodiscard]] const Path::Accept& listener() const { return listener_; }

 private:
  [[nodiscard]] LinkHandlers accept(const std::shared_ptr<Link>& link);
  void answer(Link& link, const Bytes& bytes);
  void answer_hello(Link& link, const uplink::Hello& hello);

  Context& context_;
  Path::Accept listener_;
  Life life_ = begin_life();
};

/// Connects now and then and sends what nobody should send.
class Intruder {
 public:
  Intruder(Context& context, const Path::Accept& listener);
  void strike();
  [[nodiscard]] const core::Uuid& id() const { return id_; }
  void heal() { path_.heal(); }

 private:
  void speak(const std::shared_ptr<Link>& link);
  [[nodiscard]] Bytes next_lie();
  [[nodiscard]] Bytes hello();

  Context& context_;
  Path path_;
  core::Uuid id_;
  core::Uuid journal_;
  std::uint64_t next_ = 0;
  Life life_ = begin_life();
};

/// Connects over a gateway's path and sends these messages once more.
void send_again(Context& context, const Life& life, Path& path, std::vector<Bytes> messages);

}  // namespace spillway::sim
