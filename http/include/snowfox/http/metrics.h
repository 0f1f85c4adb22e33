#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace snowfox {

/// Numbers that a program tells about itself, in the text that Prometheus reads
/// (https://prometheus.io/docs/instrumenting/exposition_formats/).
///
/// Whoever counts keeps a reference to its number, so that counting is an addition. All references are valid as long as
/// the metrics are. Names, and values of labels, are few and the program's: each is kept for ever, but for
/// those of counters_from() and gauges_from().
class Metrics {
 public:
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  /// Only grows.
  class Counter {
   public:
    void add(std::uint64_t number = 1) noexcept { value_ += number; }
    std::uint64_t value() const noexcept { return value_; }

   private:
    std::uint64_t value_ = 0;
  };

  class Gauge {
   public:
    void set(double value) noexcept { value_ = value; }
    void add(double number) noexcept { value_ += number; }
    double value() const noexcept { return value_; }

   private:
    double value_ = 0;
  };

  /// How often values were how large.
  class Histogram {
   public:
    void observe(double value) noexcept;
    std::uint64_t count() const noexcept { return count_; }

   private:
    friend class Metrics;
    explicit Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)), counts_(bounds_.size()) {}
    std::vector<double> bounds_;         // upper ones, rising
    std::vector<std::uint64_t> counts_;  // of values up to each bound and above the one before
    std::uint64_t count_ = 0;
    double sum_ = 0;
  };

  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  /// The number of this name and these labels: a new one, or the one that was made before. Throws
  /// std::invalid_argument if `name` or a label's is none, or the name is that of another kind.
  Counter& counter(std::string_view name, std::string_view help, Labels labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, Labels labels = {});
  /// `bounds` must rise; those of the first call count.
  Histogram& histogram(std::string_view name, std::string_view help, std::vector<double> bounds, Labels labels = {});

  /// Numbers that are kept elsewhere: asked for whenever the text is made. A second one of the same name and labels
  /// takes the first one's place.
  void counter_from(std::string_view name, std::string_view help, std::function<double()> value, Labels labels = {});
  void gauge_from(std::string_view name, std::string_view help, std::function<double()> value, Labels labels = {});

  /// What counters_from() and gauges_from() are told.
  class Samples {
   public:
    /// One number. Labels, each with its values, are to come once. Throws std::invalid_argument if one is none.
    void add(double value, Labels labels = {});

   private:
    friend class Metrics;
    Samples(std::string_view name, std::string& text) noexcept : name_(name), text_(text) {}
    std::string_view name_;
    std::string& text_;
  };
  using Collect = std::function<void(Samples&)>;

  /// Numbers that come and go, as those of a label that has a value for each of something: `collect` says all there are
  /// whenever the text is made. Of one name there is nothing else. Throws as counter(), or if the name is taken.
  void counters_from(std::string_view name, std::string_view help, Collect collect);
  void gauges_from(std::string_view name, std::string_view help, Collect collect);

  /// All of them, by name.
  std::string text() const;

 private:
  struct Series;
  struct Family;
  Series& series(std::string_view name, std::string_view help, std::string_view kind, Labels labels);
  void collected(std::string_view name, std::string_view help, std::string_view kind, Collect collect);

  std::map<std::string, std::unique_ptr<Family>, std::less<>> families_;
};

}  // namespace snowfox
