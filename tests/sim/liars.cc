#include "tests/sim/liars.h"

#include "tests/uplink/spill_maker.h"

namespace spillway::sim {

namespace {

namespace maker = uplink::test;

constexpr std::uint64_t kFar = uplink::kOffsetLimit - 1;
constexpr int kLiesMax = 12;
constexpr std::uint32_t kRecordsPerLieMax = 20;

Bytes noise(Random& random) {
  Bytes bytes(random.below(200));
  for (auto& byte : bytes) byte = static_cast<std::byte>(random.next());
  return bytes;
}

void meddle(Random& random, Bytes& bytes) {
  if (bytes.empty()) return;
  for (std::uint64_t i = random.below(4) + 1; i > 0; --i) {
    bytes[random.below(bytes.size())] = static_cast<std::byte>(random.next());
  }
}

}  // namespace

FalseConsumer::FalseConsumer(Context& context) : context_(context) {
  listener_ = [this](const std::shared_ptr<Link>& link) { return std::pair(life_, accept(link)); };
}

LinkHandlers FalseConsumer::accept(const std::shared_ptr<Link>& link) {
  return {[this, weak = std::weak_ptr(link)](const Bytes& bytes) {
            if (const auto living = weak.lock()) answer(*living, bytes);
          },
          [] {}, [] {}};
}

void FalseConsumer::answer(Link& link, const Bytes& bytes) {
  Random& random = context_.random;
  const auto message = uplink::decode(bytes);
  if (message && std::holds_alternative<uplink::Hello>(*message)) {
    return answer_hello(link, std::get<uplink::Hello>(*message));
  }
  if (message && std::holds_alternative<uplink::Blocks>(*message)) {
    const auto& blocks = std::get<uplink::Blocks>(*message);
    const auto stream = static_cast<std::uint16_t>(blocks.stream + random.below(2));
    link.send(Side::kConsumer, uplink::encode(uplink::Ack{stream, blocks.journal, kFar}));
  }
}

void FalseConsumer::answer_hello(Link& link, const uplink::Hello& hello) {
  Random& random = context_.random;
  uplink::Welcome welcome{uplink::kProtocolVersion, 1 << 20, {}, hello.zstd};
  for (const auto& stream : hello.streams) {
    uplink::WantedStream wanted{static_cast<std::uint16_t>(welcome.streams.size()), {}};
    for (const auto& range : stream.journals) {
      wanted.journals.push_back({range.journal, range.first_offset});
    }
    welcome.streams.push_back(std::move(wanted));
  }
  switch (random.below(6)) {
    case 0:
      return;
    case 1:
      return link.send(Side::kConsumer, noise(random));
    case 2: {
      const auto code = static_cast<uplink::RefusalCode>(random.below(6));
      return link.send(Side::kConsumer, uplink::encode(uplink::Refusal{code, "go away"}));
    }
    case 3:
      return link.send(Side::kConsumer, uplink::encode(uplink::Ack{0, hello.gateway, kFar}));
    case 4:
      welcome.streams.pop_back();
      break;
    default:
      break;
  }
  link.send(Side::kConsumer, uplink::encode(welcome));
}

Intruder::Intruder(Context& context, const Path::Accept& listener)
    : context_(context),
      path_(context, "intruder's path", listener),
      id_(maker::uuid_number(666)),
      journal_(maker::uuid_number(667)) {}

void Intruder::strike() {
  path_.connect(
      life_, [this](const std::shared_ptr<Link>& link) { speak(link); }, [] {});
}

void Intruder::speak(const std::shared_ptr<Link>& link) {
  context_.trace.note("intruder", "connects");
  link->attach(Side::kUplink, life_, {[](const Bytes&) {}, [] {}, [] {}});
  if (context_.random.chance(80)) link->send(Side::kUplink, hello());
  // After the Welcome, so that the lies are listened to.
  for (std::uint64_t i = context_.random.below(kLiesMax); i > 0; --i) {
    context_.timeline.after(kSecond + i * 20 * kMs, life_,
                            [this, link] { link->send(Side::kUplink, next_lie()); });
  }
  context_.timeline.after(3 * kSecond, life_, [link] { link->die(Side::kUplink); });
}

Bytes Intruder::hello() {
  uplink::Hello hello;
  hello.gateway = id_;
  hello.gateway_name = "nobody";
  hello.uplink = "cloud";
  hello.zstd = true;
  hello.streams = {{"s0", 0, {{journal_, 0, 0, 1'000}}}};
  Bytes bytes = uplink::encode(hello);
  if (context_.random.chance(10)) meddle(context_.random, bytes);
  return bytes;
}

Bytes Intruder::next_lie() {
  Random& random = context_.random;
  const std::uint64_t salt = random.next();
  const auto count = static_cast<std::uint32_t>(1 + random.below(kRecordsPerLieMax));
  switch (random.below(6)) {
    case 0:
      return noise(random);
    case 1:
      return hello();
    case 2:
      return uplink::encode(
          uplink::GapMessage{0, journal_, random.below(kFar), random.below(kFar), 1});
    case 3:
      return uplink::encode(uplink::Ack{0, journal_, random.below(kFar)});
    default:
      break;
  }
  std::vector<maker::OwnedBlock> blocks = {
      maker::make_lane_block(1, "s0/p0", next_, salt),
      maker::make_data_block("s0", 1 + random.below(2), next_ + random.below(2), count, salt)};
  next_ += count;
  Bytes bytes = maker::blocks_message(0, journal_, blocks);
  if (random.chance(50)) meddle(random, bytes);
  return bytes;
}

void send_again(Context& context, const Life& life, Path& path, std::vector<Bytes> messages) {
  path.connect(
      life,
      [&context, life, messages = std::move(messages)](const std::shared_ptr<Link>& link) {
        context.trace.note("ghost", "sends again", messages.size());
        link->attach(Side::kUplink, life, {[](const Bytes&) {}, [] {}, [] {}});
        std::uint64_t delay_ns = 0;
        for (const Bytes& message : messages) {
          // The Hello first; what follows it when the Welcome must have come.
          context.timeline.after(delay_ns, life,
                                 [link, message] { link->send(Side::kUplink, message); });
          delay_ns += delay_ns == 0 ? 2 * kSecond : 5 * kMs;
        }
        context.timeline.after(delay_ns + 3 * kSecond, life, [link] { link->die(Side::kUplink); });
      },
      [] {});
}

}  // namespace spillway::sim
