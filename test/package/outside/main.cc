// outside: prints a fresh correlation id. A program that knows SnowFox only as an installed library.

#include <cstdio>

#include <snowfox/core/correlation_id.h>

int main() {
  snowfox::CorrelationIdGenerator generator("outside");
  std::puts(generator.next().str().c_str());
}
