#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise.h>

#include "appservice/store.h"

namespace snowfox::appservice {

/// A store that cannot be relied on: some calls fail, and of those that change something some have changed it, as when
/// a connection is lost before the answer is there.
class FlakyStore final : public Store {
 public:
  /// `fails` is asked before and after each call.
  FlakyStore(LoopManager& loop, std::unique_ptr<Store> store, std::function<bool()> fails)
      : loop_(loop), store_(std::move(store)), fails_(std::move(fails)) {}

  Promise<Accepted> accept(Submission submission) override {
    return unreliable<Accepted>([&] { return store_->accept(std::move(submission)); });
  }
  Promise<Advanced> advance(Step step) override {
    return unreliable<Advanced>([&] { return store_->advance(std::move(step)); });
  }
  Promise<void> failed(std::string service, TransactionId transaction, std::uint32_t failures, std::uint32_t refusals,
                       std::string reason) override {
    return store_->failed(std::move(service), transaction, failures, refusals, std::move(reason));
  }
  Promise<void> pause(std::string service, bool paused) override {
    return unreliable<void>([&] { return store_->pause(std::move(service), paused); });
  }
  Promise<std::vector<ServiceRecord>> services() override { return store_->services(); }
  Promise<std::vector<ParkedTransaction>> parked(std::string service, std::size_t most) override {
    return store_->parked(std::move(service), most);
  }
  Promise<std::optional<std::size_t>> requeue(std::string service, TransactionId transaction) override {
    return unreliable<std::optional<std::size_t>>([&] { return store_->requeue(std::move(service), transaction); });
  }
  Promise<std::vector<std::string>> known(std::vector<std::string> event_ids) override {
    return store_->known(std::move(event_ids));
  }
  Promise<StoredRoom> load_room(const std::string& room_id) override { return store_->load_room(room_id); }
  std::string trouble() const override { return store_->trouble(); }
  std::size_t backlog_bytes() const override { return store_->backlog_bytes(); }
  Promise<void> close() override { return store_->close(); }

 private:
  template <typename T, typename F>
  Promise<T> unreliable(const F& call) {
    const auto error = std::make_exception_ptr(std::system_error(std::make_error_code(std::errc::io_error)));
    if (fails_()) return rejected<T>(loop_, error);
    if constexpr (std::is_void_v<T>) {
      return call().then([this, error] {
        if (fails_()) std::rethrow_exception(error);
      });
    } else {
      return call().then([this, error](T result) -> T {
        if (fails_()) std::rethrow_exception(error);
        return result;
      });
    }
  }

  LoopManager& loop_;
  std::unique_ptr<Store> store_;
  std::function<bool()> fails_;
};

}  // namespace snowfox::appservice
