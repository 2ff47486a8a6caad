/* What the provider and the load generator share: time, failing, growing buffers, sockets. */
#ifndef COMMON_H
#define COMMON_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* What stands before the send time in every text delta; the generator looks for it. */
#define TIMESTAMP_MARK "\"text\":\"t="
#define TIMESTAMP_DIGITS 16

static inline uint64_t now_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static inline void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

typedef struct {
    char *data;
    size_t length, capacity;
} buffer;

static inline void reserve(buffer *b, size_t more) {
    if (b->length + more <= b->capacity) return;
    size_t capacity = b->capacity ? b->capacity : 4096;
    while (capacity < b->length + more) capacity *= 2;
    b->data = realloc(b->data, capacity);
    if (!b->data) die("realloc");
    b->capacity = capacity;
}

static inline void append(buffer *b, const void *data, size_t length) {
    reserve(b, length);
    memcpy(b->data + b->length, data, length);
    b->length += length;
}

static inline void discard(buffer *b, size_t length) {
    b->length -= length;
    if (b->length) memmove(b->data, b->data + length, b->length);
}

static inline void set_nodelay(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static inline void watch(int epoll, int operation, int fd, uint32_t events, void *owner) {
    struct epoll_event event = {.events = events, .data.ptr = owner};
    if (epoll_ctl(epoll, operation, fd, &event)) die("epoll_ctl");
}

/* An absolute monotonic time; 0 disarms. */
static inline void arm_timer(int timer, uint64_t at_ns) {
    struct itimerspec spec = {
        .it_value = {.tv_sec = (time_t)(at_ns / 1000000000ull), .tv_nsec = (long)(at_ns % 1000000000ull)}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &spec, NULL);
}

static inline void read_timer(int timer) {
    uint64_t expirations;
    if (read(timer, &expirations, sizeof expirations) < 0 && errno != EAGAIN) die("read timer");
}

/* The value of a header as a number, or -1. `name` is lower case and ends with a colon. */
static inline long header_number(const char *head, size_t length, const char *name) {
    size_t name_length = strlen(name);
    for (const char *line = head; line;) {
        const char *end = memchr(line, '\n', (size_t)(head + length - line));
        if (!end) return -1;
        if ((size_t)(end - line) > name_length && !strncasecmp(line, name, name_length))
            return strtol(line + name_length, NULL, 10);
        line = end + 1;
    }
    return -1;
}
#endif
