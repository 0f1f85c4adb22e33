#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <string>
#include <thread>

#include <sqlite3.h>

namespace snowfox {

/// The disk under all databases that are opened while it lives: the real one, which can be told to fail or to
/// be slow, and counts.
/// One at a time.
class FaultyDisk {
 public:
  FaultyDisk() {
    system_ = sqlite3_vfs_find(nullptr);
    vfs_ = *system_;
    vfs_.szOsFile = static_cast<int>(sizeof(File)) + system_->szOsFile;
    vfs_.zName = "faulty";
    vfs_.xOpen = &open;
    sqlite3_vfs_register(&vfs_, 1);
    write_error = sync_error = 0;
    sync_delay_us = 0;
    syncs = 0;
  }
  ~FaultyDisk() {
    sqlite3_vfs_unregister(&vfs_);
    sqlite3_vfs_register(system_, 1);
  }
  FaultyDisk(const FaultyDisk&) = delete;
  FaultyDisk& operator=(const FaultyDisk&) = delete;

  /// What a write, or a sync, says, if not zero: SQLITE_FULL, SQLITE_IOERR_FSYNC.
  static inline std::atomic<int> write_error = 0;
  static inline std::atomic<int> sync_error = 0;
  static inline std::atomic<std::size_t> syncs = 0;
  /// A sync takes so much longer.
  static inline std::atomic<unsigned> sync_delay_us = 0;

 private:
  struct File {
    sqlite3_file base;
    sqlite3_io_methods methods;
  };
  static sqlite3_file* real(sqlite3_file* file) {
    return reinterpret_cast<sqlite3_file*>(reinterpret_cast<char*>(file) + sizeof(File));
  }

  static int open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
    auto* self = reinterpret_cast<File*>(file);
    self->base.pMethods = nullptr;
    const int status = system_->xOpen(system_, name, real(file), flags, out_flags);
    if (real(file)->pMethods == nullptr) return status;
    sqlite3_io_methods& m = self->methods;
    m = {};
    m.iVersion = real(file)->pMethods->iVersion;
    m.xClose = [](sqlite3_file* f) { return real(f)->pMethods->xClose(real(f)); };
    m.xRead = [](sqlite3_file* f, void* to, int n, sqlite3_int64 at) {
      return real(f)->pMethods->xRead(real(f), to, n, at);
    };
    m.xWrite = [](sqlite3_file* f, const void* from, int n, sqlite3_int64 at) {
      if (const int error = write_error) return error;
      return real(f)->pMethods->xWrite(real(f), from, n, at);
    };
    m.xTruncate = [](sqlite3_file* f, sqlite3_int64 size) { return real(f)->pMethods->xTruncate(real(f), size); };
    m.xSync = [](sqlite3_file* f, int how) {
      ++syncs;
      if (const int error = sync_error) return error;
      if (const unsigned delay = sync_delay_us) std::this_thread::sleep_for(std::chrono::microseconds(delay));
      return real(f)->pMethods->xSync(real(f), how);
    };
    m.xFileSize = [](sqlite3_file* f, sqlite3_int64* size) { return real(f)->pMethods->xFileSize(real(f), size); };
    m.xLock = [](sqlite3_file* f, int lock) { return real(f)->pMethods->xLock(real(f), lock); };
    m.xUnlock = [](sqlite3_file* f, int lock) { return real(f)->pMethods->xUnlock(real(f), lock); };
    m.xCheckReservedLock = [](sqlite3_file* f, int* out) {
      return real(f)->pMethods->xCheckReservedLock(real(f), out);
    };
    m.xFileControl = [](sqlite3_file* f, int op, void* arg) {
      return real(f)->pMethods->xFileControl(real(f), op, arg);
    };
    m.xSectorSize = [](sqlite3_file* f) { return real(f)->pMethods->xSectorSize(real(f)); };
    m.xDeviceCharacteristics = [](sqlite3_file* f) { return real(f)->pMethods->xDeviceCharacteristics(real(f)); };
    m.xShmMap = [](sqlite3_file* f, int page, int size, int extend, void volatile** out) {
      return real(f)->pMethods->xShmMap(real(f), page, size, extend, out);
    };
    m.xShmLock = [](sqlite3_file* f, int offset, int n, int how) {
      return real(f)->pMethods->xShmLock(real(f), offset, n, how);
    };
    m.xShmBarrier = [](sqlite3_file* f) { real(f)->pMethods->xShmBarrier(real(f)); };
    m.xShmUnmap = [](sqlite3_file* f, int remove) { return real(f)->pMethods->xShmUnmap(real(f), remove); };
    m.xFetch = [](sqlite3_file* f, sqlite3_int64 at, int n, void** out) {
      return real(f)->pMethods->xFetch(real(f), at, n, out);
    };
    m.xUnfetch = [](sqlite3_file* f, sqlite3_int64 at, void* page) {
      return real(f)->pMethods->xUnfetch(real(f), at, page);
    };
    self->base.pMethods = &m;
    return status;
  }

  static inline sqlite3_vfs* system_ = nullptr;
  sqlite3_vfs vfs_{};
};

}  // namespace snowfox
