// MessageUnpacker: what the short messages of all sessions stand for, and the dictionaries they name.
// Dictionaries are kept over sessions, so that an uplink that comes back need not send them again.
//
// One thread, the consumer server's: one for all sessions, because a context for zstd is large.
//
// Invariants:
//  1. Nothing of a peer's bytes is trusted: what comes out is bounded by kShortBytesMax, made from
//     exactly one zstd frame whose declared size is right, with the dictionary that the frame names,
//     and its checksum fits.
//  2. Of each stream of each gateway the latest kDictionariesOfStreamMax are kept, of all together
//     kKeptBytesMax: the stream that was used longest ago goes first. A session keeps those it uses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "spillway/core/result.h"
#include "spillway/core/uuid.h"
#include "uplink/protocol/messages.h"

namespace spillway::consumer {

class UnpackDictionary;
/// A stream's dictionaries, the latest last.
using UnpackDictionaries = std::vector<std::shared_ptr<const UnpackDictionary>>;

class MessageUnpacker {
 public:
  static constexpr std::size_t kKeptBytesMax = 64U << 20;

  MessageUnpacker();
  ~MessageUnpacker();
  MessageUnpacker(const MessageUnpacker&) = delete;
  MessageUnpacker& operator=(const MessageUnpacker&) = delete;

  /// What is kept of this stream.
  [[nodiscard]] UnpackDictionaries known(const core::Uuid& gateway, const std::string& stream);
  /// Takes the dictionary into `held` and keeps it. kProtocol: zstd cannot use it, or it is too large.
  [[nodiscard]] core::Result<void> learn(const core::Uuid& gateway, const std::string& stream,
                                         std::span<const std::byte> bytes,
                                         UnpackDictionaries& held);
  /// The content of a short message. kProtocol with the rule that is broken.
  [[nodiscard]] core::Result<uplink::Bytes> unpack(const uplink::ShortBlocks& message,
                                                   const UnpackDictionaries& held);
  [[nodiscard]] std::size_t kept_bytes() const { return kept_bytes_; }

 private:
  using Key = std::pair<core::Uuid, std::string>;
  struct Kept {
    Key key;
    UnpackDictionaries dictionaries;
  };
  struct Context;

  std::list<Kept> kept_;  // the one used longest ago first
  std::map<Key, std::list<Kept>::iterator> by_key_;
  std::size_t kept_bytes_ = 0;
  uplink::Bytes frame_;  // with its magic number
  std::unique_ptr<Context> context_;
};

/// As Welcome names them.
[[nodiscard]] std::vector<std::uint64_t> checksums_of(const UnpackDictionaries& dictionaries);

}  // namespace spillway::consumer
