#include "uplink/consumer/session/message_unpacker.h"

#include <zstd.h>

#include <algorithm>
#include <cstring>

#include "spillway/core/assert.h"
#include "spillway/core/format.h"

namespace spillway::consumer {

using core::ErrorCode;
using core::fail;
using core::Result;
using uplink::Bytes;

namespace {

constexpr std::uint32_t kZstdMagic = ZSTD_MAGICNUMBER;

tl::unexpected<core::Error> broken(const std::string& rule) {
  return fail(ErrorCode::kProtocol, "a short message " + rule);
}

}  // namespace

class UnpackDictionary {
 public:
  explicit UnpackDictionary(std::span<const std::byte> bytes)
      : checksum_(core::content_checksum(bytes)),
        zstd_(ZSTD_createDDict(bytes.data(), bytes.size()), &ZSTD_freeDDict) {
    if (zstd_ == nullptr) return;
    id_ = ZSTD_getDictID_fromDDict(zstd_.get());
    memory_bytes_ = ZSTD_sizeof_DDict(zstd_.get());
  }
  [[nodiscard]] std::uint64_t checksum() const { return checksum_; }
  [[nodiscard]] unsigned id() const { return id_; }  // 0: zstd does not take it
  [[nodiscard]] std::size_t memory_bytes() const { return memory_bytes_; }
  [[nodiscard]] const ZSTD_DDict* zstd() const { return zstd_.get(); }

 private:
  std::uint64_t checksum_;
  std::unique_ptr<ZSTD_DDict, decltype(&ZSTD_freeDDict)> zstd_;
  unsigned id_ = 0;
  std::size_t memory_bytes_ = 0;
};

struct MessageUnpacker::Context {
  std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> zstd{ZSTD_createDCtx(), &ZSTD_freeDCtx};
};

MessageUnpacker::MessageUnpacker() : context_(std::make_unique<Context>()) {
  SPILLWAY_ASSERT(context_->zstd != nullptr);  // out of memory, as any other allocation
}
MessageUnpacker::~MessageUnpacker() = default;

namespace {

std::size_t memory_of(const UnpackDictionaries& dictionaries) {
  std::size_t bytes = 0;
  for (const auto& one : dictionaries) bytes += one->memory_bytes();
  return bytes;
}

}  // namespace

UnpackDictionaries MessageUnpacker::known(const core::Uuid& gateway, const std::string& stream) {
  const auto found = by_key_.find({gateway, stream});
  if (found == by_key_.end()) return {};
  kept_.splice(kept_.end(), kept_, found->second);
  return found->second->dictionaries;
}

Result<void> MessageUnpacker::learn(const core::Uuid& gateway, const std::string& stream,
                                    std::span<const std::byte> bytes, UnpackDictionaries& held) {
  if (auto sound = core::check_dictionary(bytes); !sound) {
    return fail(ErrorCode::kProtocol, "a bad dictionary: " + sound.error().message);
  }
  auto made = std::make_shared<const UnpackDictionary>(bytes);
  if (made->id() == 0) return fail(ErrorCode::kProtocol, "a dictionary that zstd does not take");
  // Of one id the latest counts, should two contents ever share one.
  std::erase_if(held, [&](const auto& other) { return other->id() == made->id(); });
  held.push_back(std::move(made));
  if (held.size() > uplink::kDictionariesOfStreamMax) held.erase(held.begin());

  const Key key{gateway, stream};
  auto found = by_key_.find(key);
  if (found == by_key_.end()) {
    kept_.push_back({key, {}});
    found = by_key_.emplace(key, std::prev(kept_.end())).first;
  }
  kept_.splice(kept_.end(), kept_, found->second);
  kept_bytes_ -= memory_of(found->second->dictionaries);
  found->second->dictionaries = held;
  kept_bytes_ += memory_of(held);
  while (kept_bytes_ > kKeptBytesMax) {
    kept_bytes_ -= memory_of(kept_.front().dictionaries);
    by_key_.erase(kept_.front().key);
    kept_.pop_front();
  }
  return {};
}

Result<Bytes> MessageUnpacker::unpack(const uplink::ShortBlocks& message,
                                      const UnpackDictionaries& held) {
  Bytes content;
  if (message.compressed) {
    frame_.resize(sizeof kZstdMagic + message.content.size());
    std::memcpy(frame_.data(), &kZstdMagic, sizeof kZstdMagic);
    std::copy(message.content.begin(), message.content.end(), frame_.begin() + sizeof kZstdMagic);
    if (ZSTD_findFrameCompressedSize(frame_.data(), frame_.size()) != frame_.size()) {
      return broken("is not one whole zstd frame");
    }
    const auto size = ZSTD_getFrameContentSize(frame_.data(), frame_.size());
    // What is not known, and an error, are the largest numbers.
    if (size > uplink::kShortBytesMax) {
      return broken("says no size, or more than " + std::to_string(uplink::kShortBytesMax) +
                    " bytes");
    }
    const ZSTD_DDict* dictionary = nullptr;
    if (const unsigned id = ZSTD_getDictID_fromFrame(frame_.data(), frame_.size()); id != 0) {
      const auto found = std::find_if(held.begin(), held.end(),
                                      [id](const auto& known) { return known->id() == id; });
      if (found == held.end()) {
        return broken("names dictionary " + std::to_string(id) + ", which was not told before");
      }
      dictionary = (*found)->zstd();
    }
    content.resize(static_cast<std::size_t>(size));
    const std::size_t made =
        ZSTD_decompress_usingDDict(context_->zstd.get(), content.data(), content.size(),
                                   frame_.data(), frame_.size(), dictionary);
    if (ZSTD_isError(made) != 0 || made != content.size()) {
      return broken(std::string("cannot be decoded: ") +
                    (ZSTD_isError(made) != 0 ? ZSTD_getErrorName(made) : "too short"));
    }
  } else {
    if (message.content.size() > uplink::kShortBytesMax) return broken("is too long");
    content.assign(message.content.begin(), message.content.end());
  }
  if (static_cast<std::uint32_t>(core::content_checksum(content)) != message.checksum) {
    return fail(ErrorCode::kCorrupt, "a short message whose checksum does not fit its bytes");
  }
  return content;
}

std::vector<std::uint64_t> checksums_of(const UnpackDictionaries& dictionaries) {
  std::vector<std::uint64_t> checksums;
  checksums.reserve(dictionaries.size());
  for (const auto& one : dictionaries) checksums.push_back(one->checksum());
  return checksums;
}

}  // namespace spillway::consumer
