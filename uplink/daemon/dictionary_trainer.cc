#include "uplink/daemon/dictionary_trainer.h"

#include <boost/asio/post.hpp>

#include "spillway/core/log.h"

namespace spillway::uplink {

void DictionaryTrainer::serve(const std::shared_ptr<MessagePacker>& packer) {
  const auto training = packer->order();
  if (training == nullptr) return;
  if (!pool_) pool_.emplace(1);
  boost::asio::post(*pool_, [&io = io_, packer, training] {
    auto outcome = training->run();
    boost::asio::post(io, [packer, training, outcome = std::move(outcome)] {
      if (!outcome) spdlog::debug("{}", outcome.error().message);
      packer->finish(*training, outcome);
    });
  });
}

}  // namespace spillway::uplink
