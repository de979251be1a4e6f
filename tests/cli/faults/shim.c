// Stands between stitch and the C library (LD_PRELOAD): counts the calls that change what is below
// the folder FAULT_UNDER, writes each as a line to FAULT_LOG, and at call number FAULT_AT does
// FAULT_DO: an errno to fail with, "kill" (in the middle of a write), or "interrupt" (Ctrl-C twice).

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 1024
static char names[FILES][512];
static atomic_int calls;

static int below(const char *path) {
    const char *folder = getenv("FAULT_UNDER");
    return folder && path && strncmp(path, folder, strlen(folder)) == 0;
}

static ssize_t plain_write(int fd, const void *bytes, size_t count) {
    ssize_t (*next)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    return next(fd, bytes, count);
}

static void tell(int number, const char *call, const char *path) {
    const char *log = getenv("FAULT_LOG");
    int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
    int fd = log ? next(log, O_WRONLY | O_CREAT | O_APPEND, 0666) : -1;
    if (fd < 0) return;
    char line[1200];
    int length = snprintf(line, sizeof line, "%d %s %s\n", number, call, path);
    plain_write(fd, line, length < (int)sizeof line ? length : (int)sizeof line - 1);
    close(fd);
}

// Whether this call is to fail; `fd` and `bytes` of a write.
static int fails(const char *call, const char *path, int fd, const void *bytes, size_t count) {
    if (!below(path)) return 0;
    int number = ++calls;
    tell(number, call, path);
    const char *at = getenv("FAULT_AT"), *what = getenv("FAULT_DO");
    if (!at || !what || number != atoi(at)) return 0;
    if (strcmp(what, "kill") == 0) {
        if (bytes) plain_write(fd, bytes, count / 2);
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
    if (strcmp(what, "interrupt") == 0) {
        for (int i = 0; i < 2; i++) {
            kill(getpid(), SIGINT);
            usleep(100 * 1000);
        }
        return 0;
    }
    errno = atoi(what);
    return 1;
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
    if ((flags & O_ACCMODE) != O_RDONLY && fails("open", path, -1, NULL, 0)) return -1;
    int fd = next(path, flags, mode);
    if (fd >= 0 && fd < FILES) snprintf(names[fd], sizeof names[fd], "%s", path);
    return fd;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    if (fd > 2 && fd < FILES && fails("write", names[fd], fd, bytes, count)) return -1;
    return plain_write(fd, bytes, count);
}

int fsync(int fd) {
    int (*next)(int) = dlsym(RTLD_NEXT, "fsync");
    return fd < FILES && fails("fsync", names[fd], -1, NULL, 0) ? -1 : next(fd);
}

int rename(const char *from, const char *to) {
    int (*next)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    char both[1100];
    snprintf(both, sizeof both, "%.540s %.540s", from, to);
    return fails("rename", both, -1, NULL, 0) ? -1 : next(from, to);
}

int unlink(const char *path) {
    int (*next)(const char *) = dlsym(RTLD_NEXT, "unlink");
    return fails("unlink", path, -1, NULL, 0) ? -1 : next(path);
}

int mkdir(const char *path, mode_t mode) {
    int (*next)(const char *, mode_t) = dlsym(RTLD_NEXT, "mkdir");
    return fails("mkdir", path, -1, NULL, 0) ? -1 : next(path, mode);
}
