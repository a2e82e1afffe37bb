// POSIX message queue (mq_overview(7)).
#include <fcntl.h>
#include <mqueue.h>

#include <cerrno>

#include "bench/harness/run_peer.h"

namespace spillway::bench {
namespace {

constexpr long kMessagesWanted = 1024;
constexpr long kMessagesUnprivileged = 10;

std::string queue_name(const Setup& setup) { return setup.name("/"); }

mqd_t make_queue(const Setup& setup) {
  const std::string name = queue_name(setup);
  mq_unlink(name.c_str());
  for (const long messages : {kMessagesWanted, kMessagesUnprivileged}) {
    struct mq_attr attributes {};
    attributes.mq_maxmsg = messages;
    attributes.mq_msgsize = static_cast<long>(setup.record_bytes);
    const mqd_t queue =
        mq_open(name.c_str(), O_CREAT | O_EXCL | O_RDONLY | O_NONBLOCK, 0600, &attributes);
    if (queue >= 0) return queue;
  }
  die("posix-mq: mq_open failed with errno " + std::to_string(errno), kLeftOut);
}

struct PosixMq {
  static constexpr Facts kFacts{
      "posix-mq",
      "1,024 messages as root (10 otherwise), non-blocking, spinning consumer",
      "weaker: what is queued is lost with the last user or a reboot, no time",
      1,
      true,
      8};

  class Sender {
   public:
    explicit Sender(const Setup& setup)
        : queue_(mq_open(queue_name(setup).c_str(), O_WRONLY | O_NONBLOCK)) {
      if (queue_ < 0) die("posix-mq: cannot open the queue");
    }
    Sender(const Sender&) = delete;
    Sender& operator=(const Sender&) = delete;
    ~Sender() { mq_close(queue_); }
    bool send(std::span<const std::byte> record) {
      return mq_send(queue_, reinterpret_cast<const char*>(record.data()), record.size(), 0) == 0;
    }

   private:
    mqd_t queue_;
  };

  class Receiver {
   public:
    explicit Receiver(const Setup& setup)
        : name_(queue_name(setup)), queue_(make_queue(setup)), buffer_(setup.record_bytes) {}
    Receiver(const Receiver&) = delete;
    Receiver& operator=(const Receiver&) = delete;
    ~Receiver() {
      mq_close(queue_);
      mq_unlink(name_.c_str());
    }
    void meet() {}
    template <typename Visit>
    void receive(Visit&& visit) {
      const ssize_t got =
          mq_receive(queue_, reinterpret_cast<char*>(buffer_.data()), buffer_.size(), nullptr);
      if (got > 0) visit(std::span<const std::byte>(buffer_.data(), static_cast<std::size_t>(got)));
    }

   private:
    std::string name_;
    mqd_t queue_;
    std::vector<std::byte> buffer_;
  };
};

const bool kAdded = add_peer<PosixMq>();

}  // namespace
}  // namespace spillway::bench
