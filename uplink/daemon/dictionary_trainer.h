// DictionaryTrainer: runs the trainings that packers order on a thread of its own, because each takes
// tens of milliseconds and the link must not wait.
//
// Threads: the io_context's; its own thread sees nothing but the training. Ends with the training
// that is under way; the io_context outlives it.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <optional>

#include "uplink/session/message_packer.h"

namespace spillway::uplink {

class DictionaryTrainer {
 public:
  explicit DictionaryTrainer(boost::asio::io_context& io) : io_(io) {}

  /// Takes the packer's order, if it has one.
  void serve(const std::shared_ptr<MessagePacker>& packer);

 private:
  boost::asio::io_context& io_;
  std::optional<boost::asio::thread_pool> pool_;  // from the first order on
};

}  // namespace spillway::uplink
