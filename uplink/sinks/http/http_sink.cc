#include "uplink/sinks/http/http_sink.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <deque>

#include "spillway/core/secret_file.h"
#include "uplink/sinks/http/http_batch.h"

namespace spillway::uplink {

namespace {

using core::ErrorCode;
using core::fail;
using core::Result;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kMsNs = 1'000'000;
constexpr std::chrono::seconds kRetryAfterMax{3600};
constexpr std::chrono::seconds kRetryAfterDefault{5};
/// A request that moves less than a byte a second for so long is given up.
constexpr long kStallSeconds = 60;
constexpr std::size_t kAnswerBytesMax = 512;  // for the message
constexpr int kWaitMsMax = 100;

// CURL and CURLM are both void.
struct EasyFree {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct MultiFree {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct ListFree {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

std::string url_of(const core::EngineUrl& url) {
  const auto& host = url.hosts.front();
  const bool v6 = host.host.find(':') != std::string::npos;
  return url.scheme + "://" + (v6 ? "[" + host.host + "]" : host.host) + ":" +
         std::to_string(host.port) + "/" + url.path;
}

enum class Answer : std::uint8_t { kStored, kVerdict, kWait, kPermission, kMissing, kTrouble };

Answer answer_of(long status) {
  if (status >= 200 && status < 300) return Answer::kStored;
  switch (status) {
    case 400:
    case 413:
    case 415:
    case 422:
      return Answer::kVerdict;
    case 429:
    case 503:
      return Answer::kWait;
    case 401:
    case 403:
    case 407:
      return Answer::kPermission;
    case 404:
    case 405:
    case 410:
      return Answer::kMissing;
    default:
      return Answer::kTrouble;
  }
}

class HttpSink final : public Sink {
 public:
  HttpSink(const core::UplinkConfig& uplink, std::string password)
      : engine_(uplink.engine),
        tls_(uplink.tls),
        password_(std::move(password)),
        url_(url_of(engine_.url)) {}
  ~HttpSink() override { disconnect(); }

  Result<void> connect(std::uint64_t timeout_ns) override;
  Result<Offered> offer(const SinkMessage& message) override;
  Result<void> collect(std::uint64_t wait_ns, std::vector<SinkOutcome>& outcomes) override;
  std::string_view hindrance() const override { return hindrance_; }
  void disconnect() override;

 private:
  static std::size_t on_body(char* bytes, std::size_t size, std::size_t count, void* self);

  [[nodiscard]] Result<void> begin();
  [[nodiscard]] Result<void> run(std::uint64_t wait_ns, std::vector<SinkOutcome>& outcomes);
  [[nodiscard]] Result<void> finish(CURLcode code, std::vector<SinkOutcome>& outcomes);
  [[nodiscard]] Result<void> judge(long status, std::vector<SinkOutcome>& outcomes);
  void hold(long status);
  void split(long status, std::vector<SinkOutcome>& outcomes);
  [[nodiscard]] std::string answer_text(long status) const;
  void end_batch();
  void set_headers(const HttpBatch& batch);

  core::EngineConfig engine_;
  core::TlsConfig tls_;
  std::string password_;
  std::string url_;
  std::unique_ptr<CURLM, MultiFree> multi_;
  std::unique_ptr<CURL, EasyFree> easy_;
  std::unique_ptr<curl_slist, ListFree> headers_;
  std::array<char, CURL_ERROR_SIZE> curl_error_{};
  HttpBatch gathering_;
  std::deque<HttpBatch> waiting_;  // the first is on its way while busy_
  std::size_t owed_ = 0;           // messages in all of them
  bool busy_ = false;
  std::string answer_;
  std::string hindrance_;
  Clock::time_point held_until_{};
};

/// Nothing is sent before there is something to send: whether the server is there, the first batch shows.
Result<void> HttpSink::connect(std::uint64_t timeout_ns) {
  disconnect();
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);  // once a process
  multi_.reset(curl_multi_init());
  easy_.reset(curl_easy_init());
  if (started != CURLE_OK || multi_ == nullptr || easy_ == nullptr) {
    return fail(ErrorCode::kIo, url_ + ": libcurl does not start");
  }
  CURL* const easy = easy_.get();
  curl_easy_setopt(easy, CURLOPT_URL, url_.c_str());
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "spillway");
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, curl_error_.data());
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(timeout_ns / kMsNs));
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, kStallSeconds);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &HttpSink::on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
  if (!tls_.ca.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, tls_.ca.c_str());
  if (!tls_.certificate.empty()) {
    curl_easy_setopt(easy, CURLOPT_SSLCERT, tls_.certificate.c_str());
    curl_easy_setopt(easy, CURLOPT_SSLKEY, tls_.key.c_str());
  }
  if (!engine_.url.user.empty()) {
    curl_easy_setopt(easy, CURLOPT_USERNAME, engine_.url.user.c_str());
    curl_easy_setopt(easy, CURLOPT_PASSWORD, password_.c_str());
  } else if (!password_.empty()) {
    curl_easy_setopt(easy, CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BEARER));
    curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, password_.c_str());
  }
  return {};
}

std::size_t HttpSink::on_body(char* bytes, std::size_t size, std::size_t count, void* self) {
  std::string& answer = static_cast<HttpSink*>(self)->answer_;
  const std::size_t room = kAnswerBytesMax - std::min(kAnswerBytesMax, answer.size());
  answer.append(bytes, std::min(size * count, room));
  return size * count;
}

Result<Offered> HttpSink::offer(const SinkMessage& message) {
  if (easy_ == nullptr) return fail(ErrorCode::kUnavailable, url_ + ": not connected");
  if (owed_ >= engine_.window_messages) return Offered::kFull;
  ++owed_;
  if (message.envelope->kind == EnvelopeKind::kBlocks) {
    end_batch();
    waiting_.push_back(HttpBatch::of_blocks(message));
    return Offered::kTaken;
  }
  gathering_.add(message);
  const core::HttpConfig& http = engine_.http;
  if (gathering_.size() >= http.batch_records || gathering_.body().size() >= http.batch_bytes) {
    end_batch();
  }
  return Offered::kTaken;
}

void HttpSink::end_batch() {
  if (gathering_.empty()) return;
  waiting_.push_back(std::move(gathering_));
  gathering_.clear();
}

void HttpSink::set_headers(const HttpBatch& batch) {
  curl_slist* list = curl_slist_append(nullptr, ("Idempotency-Key: " + batch.key()).c_str());
  for (const std::string& header : batch.headers()) list = curl_slist_append(list, header.c_str());
  list = curl_slist_append(list, "Expect:");  // no question before each body
  headers_.reset(list);
  curl_easy_setopt(easy_.get(), CURLOPT_HTTPHEADER, list);
}

Result<void> HttpSink::begin() {
  if (busy_ || Clock::now() < held_until_) return {};
  hindrance_.clear();
  if (waiting_.empty()) end_batch();
  if (waiting_.empty()) return {};
  const HttpBatch& batch = waiting_.front();
  set_headers(batch);
  answer_.clear();
  curl_error_[0] = '\0';
  curl_easy_setopt(easy_.get(), CURLOPT_POSTFIELDSIZE_LARGE,
                   static_cast<curl_off_t>(batch.body().size()));
  curl_easy_setopt(easy_.get(), CURLOPT_POSTFIELDS, batch.body().c_str());
  if (curl_multi_add_handle(multi_.get(), easy_.get()) != CURLM_OK) {
    return fail(ErrorCode::kIo, url_ + ": libcurl takes no request");
  }
  busy_ = true;
  return {};
}

Result<void> HttpSink::run(std::uint64_t wait_ns, std::vector<SinkOutcome>& outcomes) {
  SPILLWAY_CHECKED(begin());
  int running = 0;
  if (busy_) curl_multi_perform(multi_.get(), &running);
  const int wait_ms = static_cast<int>(std::min<std::uint64_t>(wait_ns / kMsNs, kWaitMsMax));
  if (!busy_ || running != 0) curl_multi_poll(multi_.get(), nullptr, 0, wait_ms, nullptr);
  if (busy_) curl_multi_perform(multi_.get(), &running);
  int left = 0;
  while (const CURLMsg* told = curl_multi_info_read(multi_.get(), &left)) {
    if (told->msg == CURLMSG_DONE) SPILLWAY_CHECKED(finish(told->data.result, outcomes));
  }
  return {};
}

Result<void> HttpSink::finish(CURLcode code, std::vector<SinkOutcome>& outcomes) {
  curl_multi_remove_handle(multi_.get(), easy_.get());
  busy_ = false;
  if (code == CURLE_OK) {
    long status = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    return judge(status, outcomes);
  }
  const std::string detail = curl_error_[0] != '\0' ? curl_error_.data() : curl_easy_strerror(code);
  const bool certificate = code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CERTPROBLEM;
  return fail(certificate ? ErrorCode::kInvalidArgument : ErrorCode::kUnavailable,
              url_ + ": " + detail);
}

std::string HttpSink::answer_text(long status) const {
  std::string text = url_ + " answered " + std::to_string(status);
  if (answer_.empty()) return text;
  text += ": ";
  for (const char byte : answer_) text += static_cast<unsigned char>(byte) < 0x20 ? ' ' : byte;
  return text;
}

Result<void> HttpSink::judge(long status, std::vector<SinkOutcome>& outcomes) {
  switch (answer_of(status)) {
    case Answer::kStored:
      for (std::size_t i = 0; i < waiting_.front().size(); ++i) {
        outcomes.push_back({waiting_.front().ticket(i), SinkOutcome::Kind::kStored, {}});
      }
      owed_ -= waiting_.front().size();
      waiting_.pop_front();
      return {};
    case Answer::kVerdict:
      split(status, outcomes);
      return {};
    case Answer::kWait:
      hold(status);
      return {};
    case Answer::kPermission:
      return fail(ErrorCode::kPermission,
                  answer_text(status) + "; check user, password_file and the certificate");
    case Answer::kMissing:
      return fail(ErrorCode::kNotFound, answer_text(status) + "; check the url");
    case Answer::kTrouble:
      break;
  }
  return fail(ErrorCode::kUnavailable, answer_text(status));
}

/// Down to the one that is to blame: the rest goes on.
void HttpSink::split(long status, std::vector<SinkOutcome>& outcomes) {
  const HttpBatch batch = std::move(waiting_.front());
  waiting_.pop_front();
  if (batch.size() == 1) {
    outcomes.push_back({batch.ticket(0), SinkOutcome::Kind::kRefused, answer_text(status)});
    --owed_;
    return;
  }
  const std::size_t half = batch.size() / 2;
  waiting_.push_front(batch.part(half, batch.size()));
  waiting_.push_front(batch.part(0, half));
}

void HttpSink::hold(long status) {
  curl_off_t asked = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_RETRY_AFTER, &asked);
  const auto wait =
      asked > 0 ? std::min(std::chrono::seconds(asked), kRetryAfterMax) : kRetryAfterDefault;
  held_until_ = Clock::now() + wait;
  hindrance_ =
      answer_text(status) + "; the next try comes in " + std::to_string(wait.count()) + " s";
}

Result<void> HttpSink::collect(std::uint64_t wait_ns, std::vector<SinkOutcome>& outcomes) {
  if (easy_ == nullptr) return fail(ErrorCode::kUnavailable, url_ + ": not connected");
  const std::size_t before = outcomes.size();
  const auto until = Clock::now() + std::chrono::nanoseconds(wait_ns);
  do {
    SPILLWAY_CHECKED(run(wait_ns, outcomes));
  } while (outcomes.size() == before && Clock::now() < until);
  return {};
}

void HttpSink::disconnect() {
  if (busy_) curl_multi_remove_handle(multi_.get(), easy_.get());
  busy_ = false;
  easy_.reset();
  multi_.reset();
  headers_.reset();
  gathering_.clear();
  waiting_.clear();
  owed_ = 0;
  hindrance_.clear();
}

}  // namespace

Result<std::unique_ptr<Sink>> make_http_sink(const core::UplinkConfig& uplink) {
  SPILLWAY_TRY(password, core::read_password(uplink.engine.password_file));
  return std::unique_ptr<Sink>(std::make_unique<HttpSink>(uplink, std::move(password)));
}

}  // namespace spillway::uplink
