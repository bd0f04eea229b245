/* Loaded before libc: what a gateway's disk does to the spool's files when it fails, or when the power goes.

   FAULTS_ORDER   a file of three int32 that this maps: what fails (0 nothing, 1 writes, 2 syncs), after how many more
                  calls, and whether for ever after. A failing call sets errno to EIO.
   FAULTS_JOURNAL a file that gets every write that has not been synced: kind (0 write, 1 sync), which file (0 the
                  database, 1 its log), offset, octets there before, octets written, as int64; then both contents.

   Only files whose name has "spool.sqlite3" in it are touched, and not the index of the log. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { NOTHING, WRITES, SYNCS };

static volatile int32_t *order;
static int journal = -1;
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS_ORDER");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    if (path) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        void *at = fd < 0 ? MAP_FAILED : mmap(0, 3 * sizeof *order, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (at != MAP_FAILED) order = at;
        if (fd >= 0) close(fd);
    }
    path = getenv("FAULTS_JOURNAL");
    if (path) journal = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* -1 for a file that is none of ours. */
static int which(int fd) {
    char link[64], name[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length < 0) return -1;
    name[length] = 0;
    const char *found = strstr(name, "spool.sqlite3");
    if (!found) return -1;
    found += strlen("spool.sqlite3");
    return !*found ? 0 : strcmp(found, "-wal") ? -1 : 1;
}

static int fails(int what) {
    if (!order || order[0] != what) return 0;
    if (order[1] > 0) {
        order[1]--;
        return 0;
    }
    if (!order[2]) order[0] = NOTHING;
    errno = EIO;
    return 1;
}

static void note(int kind, int file, off64_t offset, const void *before, size_t held, const void *after, size_t count) {
    int64_t head[5] = {kind, file, offset, (int64_t)held, (int64_t)count};
    char *octets = malloc(sizeof head + held + count);
    if (!octets) return;
    memcpy(octets, head, sizeof head);
    if (held) memcpy(octets + sizeof head, before, held);
    if (count) memcpy(octets + sizeof head + held, after, count);
    if (write(journal, octets, sizeof head + held + count) < 0) abort();
    free(octets);
}

ssize_t pwrite64(int fd, const void *octets, size_t count, off64_t offset) {
    int file = order || journal >= 0 ? which(fd) : -1;
    if (file < 0) return real_pwrite(fd, octets, count, offset);
    if (fails(WRITES)) return -1;
    if (journal >= 0) {
        char *before = malloc(count);
        ssize_t held = before ? pread64(fd, before, count, offset) : 0;
        note(0, file, offset, before, held > 0 ? (size_t)held : 0, octets, count);
        free(before);
    }
    return real_pwrite(fd, octets, count, offset);
}

ssize_t pwrite(int fd, const void *octets, size_t count, off_t offset) { return pwrite64(fd, octets, count, offset); }

static int sync_with(int (*real)(int), int fd) {
    int file = order || journal >= 0 ? which(fd) : -1;
    if (file >= 0 && fails(SYNCS)) return -1;
    int status = real(fd);
    if (file >= 0 && status == 0 && journal >= 0) note(1, file, 0, 0, 0, 0, 0);
    return status;
}

int fsync(int fd) { return sync_with(real_fsync, fd); }

int fdatasync(int fd) { return sync_with(real_fdatasync, fd); }
