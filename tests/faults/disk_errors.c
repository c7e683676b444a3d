/* Makes the n-th write below a folder fail. It is preloaded; a file in memory says which write. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, WRITE = 2, SYNC = 4, NAME = 8 };

static struct {
    long matching, hits, fail_at, seen[4];
    int error, is_lasting, kinds, unused;
    char folder[1024];
} *state;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS_STATE");
    int file = path ? open(path, O_RDWR) : -1;
    if (file < 0) return;
    void *memory = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (memory != MAP_FAILED) state = memory;
}

static int fails(int kind, const char *path) {
    if (strncmp(path, state->folder, strlen(state->folder))) return 0;
    __atomic_add_fetch(&state->seen[__builtin_ctz(kind)], 1, __ATOMIC_SEQ_CST);
    if (!(state->kinds & kind)) return 0;
    long number = __atomic_add_fetch(&state->matching, 1, __ATOMIC_SEQ_CST);
    if (number != state->fail_at && !(state->is_lasting && number > state->fail_at)) return 0;
    __atomic_add_fetch(&state->hits, 1, __ATOMIC_SEQ_CST);
    errno = state->error;
    return 1;
}

static int is_armed(void) { return state && state->fail_at; }

static void link_of(int file, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, size - 1);
    path[length < 0 ? 0 : length] = 0;
}

static int file_fails(int kind, int file) {
    char path[4096];
    if (!is_armed() || file < 0) return 0;
    int before = errno;
    link_of(file, path, sizeof path);
    errno = before;
    return fails(kind, path);
}

static int path_fails(int kind, int folder, const char *path) {
    char whole[8192];
    if (!is_armed() || !path) return 0;
    if (path[0] == '/') return fails(kind, path);
    if (folder != AT_FDCWD) link_of(folder, whole, 4096);
    else if (!getcwd(whole, 4096)) return 0;
    strcat(whole, "/");
    strncat(whole, path, 4000);
    return fails(kind, whole);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define WRITES (O_WRONLY | O_RDWR | O_CREAT)
#define MODE(flags) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); \
        mode = va_arg(more, mode_t); va_end(more); }

#define OPENS(name) int name(const char *path, int flags, ...) { MODE(flags) \
    if ((flags & WRITES) && path_fails(OPEN, AT_FDCWD, path)) return -1; \
    return REAL(name)(path, flags, mode); }
OPENS(open)
OPENS(open64)
#define OPENS_AT(name) int name(int folder, const char *path, int flags, ...) { MODE(flags) \
    if ((flags & WRITES) && path_fails(OPEN, folder, path)) return -1; \
    return REAL(name)(folder, path, flags, mode); }
OPENS_AT(openat)
OPENS_AT(openat64)
#define STREAMS(name) FILE *name(const char *path, const char *how) { \
    if (strpbrk(how, "wa+") && path_fails(OPEN, AT_FDCWD, path)) return NULL; \
    return REAL(name)(path, how); }
STREAMS(fopen)
STREAMS(fopen64)

ssize_t write(int file, const void *bytes, size_t size) {
    return file_fails(WRITE, file) ? -1 : REAL(write)(file, bytes, size);
}
ssize_t pwrite(int file, const void *bytes, size_t size, off_t at) {
    return file_fails(WRITE, file) ? -1 : REAL(pwrite)(file, bytes, size, at);
}
ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t at) {
    return file_fails(WRITE, file) ? -1 : REAL(pwrite64)(file, bytes, size, at);
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    return file_fails(WRITE, file) ? -1 : REAL(writev)(file, parts, count);
}
size_t fwrite(const void *bytes, size_t size, size_t count, FILE *stream) {
    return file_fails(WRITE, fileno(stream)) ? 0 : REAL(fwrite)(bytes, size, count, stream);
}
int ftruncate(int file, off_t size) {
    return file_fails(WRITE, file) ? -1 : REAL(ftruncate)(file, size);
}
int ftruncate64(int file, off64_t size) {
    return file_fails(WRITE, file) ? -1 : REAL(ftruncate64)(file, size);
}
int fsync(int file) { return file_fails(SYNC, file) ? -1 : REAL(fsync)(file); }
int rename(const char *from, const char *to) {
    return path_fails(NAME, AT_FDCWD, to) ? -1 : REAL(rename)(from, to);
}
int mkdir(const char *path, mode_t mode) {
    return path_fails(NAME, AT_FDCWD, path) ? -1 : REAL(mkdir)(path, mode);
}
