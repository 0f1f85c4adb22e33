#include <snowfox/http/metrics.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <stdexcept>

namespace snowfox {
namespace {

/// Of a metric if `colons`, else of a label.
bool good_name(std::string_view name, bool colons) noexcept {
  const auto letter = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colons && c == ':');
  };
  return !name.empty() && letter(name.front()) &&
         std::all_of(name.begin(), name.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

std::string escaped(std::string_view text, bool quotes) {
  std::string safe;
  for (const char c : text) {
    if (c == '\n') {
      safe += "\\n";
    } else {
      if (c == '\\' || (quotes && c == '"')) safe += '\\';
      safe += c;
    }
  }
  return safe;
}

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  std::array<char, 32> text{};
  // Whole numbers as such: counters grow beyond what has an exponent.
  constexpr double kWhole = 1e15;
  const auto written = std::trunc(value) == value && std::abs(value) < kWhole
                           ? std::to_chars(text.data(), text.data() + text.size(), static_cast<std::int64_t>(value))
                           : std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), written.ptr};
}

std::string labels_text(Metrics::Labels labels) {
  std::string text;
  for (const auto& [label, value] : labels) {
    if (!good_name(label, false)) throw std::invalid_argument("no name of a label: " + std::string(label));
    if (!text.empty()) text += ',';
    text += std::string(label) + "=\"" + escaped(value, true) + '"';
  }
  return text;
}

void add_line(std::string& text, std::string_view name, std::string_view suffix, std::string_view labels,
              double value) {
  text.append(name).append(suffix);
  if (!labels.empty()) text.append("{").append(labels).append("}");
  text.append(" ").append(number(value)).append("\n");
}

}  // namespace

/// One line, or those of a histogram.
struct Metrics::Series {
  std::string labels;  // without braces
  std::optional<Counter> counter;
  std::optional<Gauge> gauge;
  std::optional<Histogram> histogram;
  std::function<double()> from;
};

struct Metrics::Family {
  std::string help;
  std::string_view kind;
  std::vector<std::unique_ptr<Series>> series;
  Collect collect;  // in place of series
};

Metrics::Metrics() = default;
Metrics::~Metrics() = default;

void Metrics::Histogram::observe(double value) noexcept {
  ++count_;
  sum_ += value;
  const auto bound = std::lower_bound(bounds_.begin(), bounds_.end(), value);
  if (bound != bounds_.end()) ++counts_[static_cast<std::size_t>(bound - bounds_.begin())];
}

Metrics::Series& Metrics::series(std::string_view name, std::string_view help, std::string_view kind, Labels labels) {
  if (!good_name(name, true)) throw std::invalid_argument("no name of a metric: " + std::string(name));
  std::string text = labels_text(labels);
  auto found = families_.find(name);
  if (found == families_.end()) {
    found = families_.emplace(name, std::make_unique<Family>(Family{std::string(help), kind, {}, {}})).first;
  }
  Family& family = *found->second;
  if (family.collect) throw std::invalid_argument("the metric " + std::string(name) + " is collected");
  if (family.kind != kind) {
    throw std::invalid_argument("the metric " + std::string(name) + " is a " + std::string(family.kind) + ", no " +
                                std::string(kind));
  }
  for (const auto& one : family.series) {
    if (one->labels == text) return *one;
  }
  family.series.push_back(std::make_unique<Series>());
  family.series.back()->labels = std::move(text);
  return *family.series.back();
}

Metrics::Counter& Metrics::counter(std::string_view name, std::string_view help, Labels labels) {
  Series& one = series(name, help, "counter", labels);
  if (!one.counter) one.counter.emplace();
  return *one.counter;
}

Metrics::Gauge& Metrics::gauge(std::string_view name, std::string_view help, Labels labels) {
  Series& one = series(name, help, "gauge", labels);
  if (!one.gauge) one.gauge.emplace();
  return *one.gauge;
}

Metrics::Histogram& Metrics::histogram(std::string_view name, std::string_view help, std::vector<double> bounds,
                                       Labels labels) {
  if (!std::is_sorted(bounds.begin(), bounds.end(), std::less_equal<>())) {
    throw std::invalid_argument("the bounds of " + std::string(name) + " do not rise");
  }
  Series& one = series(name, help, "histogram", labels);
  if (!one.histogram) one.histogram = Histogram(std::move(bounds));
  return *one.histogram;
}

void Metrics::counter_from(std::string_view name, std::string_view help, std::function<double()> value, Labels labels) {
  series(name, help, "counter", labels).from = std::move(value);
}

void Metrics::gauge_from(std::string_view name, std::string_view help, std::function<double()> value, Labels labels) {
  series(name, help, "gauge", labels).from = std::move(value);
}

void Metrics::Samples::add(double value, Labels labels) { add_line(text_, name_, "", labels_text(labels), value); }

void Metrics::collected(std::string_view name, std::string_view help, std::string_view kind, Collect collect) {
  if (!good_name(name, true)) throw std::invalid_argument("no name of a metric: " + std::string(name));
  if (families_.contains(name)) throw std::invalid_argument("there is a metric " + std::string(name));
  families_.emplace(name, std::make_unique<Family>(Family{std::string(help), kind, {}, std::move(collect)}));
}

void Metrics::counters_from(std::string_view name, std::string_view help, Collect collect) {
  collected(name, help, "counter", std::move(collect));
}

void Metrics::gauges_from(std::string_view name, std::string_view help, Collect collect) {
  collected(name, help, "gauge", std::move(collect));
}

std::string Metrics::text() const {
  std::string text;
  const auto line = [&](std::string_view name, std::string_view suffix, std::string_view labels, double value) {
    add_line(text, name, suffix, labels, value);
  };
  for (const auto& [name, family] : families_) {
    text += "# HELP " + name + ' ' + escaped(family->help, false) + "\n# TYPE " + name + ' ' +
            std::string(family->kind) + '\n';
    if (family->collect) {
      Samples samples(name, text);
      family->collect(samples);
    }
    for (const auto& one : family->series) {
      if (one->from) {
        line(name, "", one->labels, one->from());
      } else if (one->counter) {
        line(name, "", one->labels, static_cast<double>(one->counter->value()));
      } else if (one->gauge) {
        line(name, "", one->labels, one->gauge->value());
      } else if (one->histogram) {
        const Histogram& histogram = *one->histogram;
        const std::string comma = one->labels.empty() ? "" : one->labels + ',';
        std::uint64_t below = 0;
        for (std::size_t i = 0; i < histogram.bounds_.size(); ++i) {
          below += histogram.counts_[i];
          line(name, "_bucket", comma + "le=\"" + number(histogram.bounds_[i]) + '"', static_cast<double>(below));
        }
        line(name, "_bucket", comma + "le=\"+Inf\"", static_cast<double>(histogram.count_));
        line(name, "_sum", one->labels, histogram.sum_);
        line(name, "_count", one->labels, static_cast<double>(histogram.count_));
      }
    }
  }
  return text;
}

}  // namespace snowfox
