// ZeroMQ PUSH / PULL over ipc.
#include <zmq.h>

#include "bench/harness/run_peer.h"

namespace spillway::bench {
namespace {

constexpr int kHighWater = 10'000;

std::string endpoint(const Setup& setup) { return "ipc://" + setup.scratch + "/zeromq"; }

class Socket {
 public:
  explicit Socket(int kind) : context_(zmq_ctx_new()), socket_(zmq_socket(context_, kind)) {
    if (socket_ == nullptr) die("zeromq: cannot make a socket");
    zmq_setsockopt(socket_, kind == ZMQ_PUSH ? ZMQ_SNDHWM : ZMQ_RCVHWM, &kHighWater,
                   sizeof kHighWater);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() {
    zmq_close(socket_);
    zmq_ctx_term(context_);
  }
  [[nodiscard]] void* get() const { return socket_; }

 private:
  void* context_;
  void* socket_;
};

struct ZeroMq {
  static constexpr Facts kFacts{
      "zeromq",
      "PUSH/PULL, ipc, high water 10,000, one input/output thread each, free to run on either core",
      "weaker: what is queued is lost with either process",
      1,
      true,
      0};

  class Sender {
   public:
    explicit Sender(const Setup& setup) : socket_(ZMQ_PUSH) {
      if (zmq_connect(socket_.get(), endpoint(setup).c_str()) != 0) die("zeromq: cannot connect");
    }
    bool send(std::span<const std::byte> record) {
      return zmq_send(socket_.get(), record.data(), record.size(), ZMQ_DONTWAIT) >= 0;
    }

   private:
    Socket socket_;
  };

  class Receiver {
   public:
    explicit Receiver(const Setup& setup) : socket_(ZMQ_PULL), buffer_(setup.record_bytes) {
      if (zmq_bind(socket_.get(), endpoint(setup).c_str()) != 0) die("zeromq: cannot bind");
    }
    void meet() {}
    template <typename Visit>
    void receive(Visit&& visit) {
      const int got = zmq_recv(socket_.get(), buffer_.data(), buffer_.size(), ZMQ_DONTWAIT);
      if (got > 0) visit(std::span<const std::byte>(buffer_.data(), static_cast<std::size_t>(got)));
    }

   private:
    Socket socket_;
    std::vector<std::byte> buffer_;
  };
};

const bool kAdded = add_peer<ZeroMq>();

}  // namespace
}  // namespace spillway::bench
