/* A load generator for one HTTP/1.1 request shape, blocking or streaming.
 *
 * Closed loop: each connection sends its next request when the last answer has ended. Open loop
 * (`--rate`): requests fall due at a fixed rate whatever the server does, and their latency counts
 * from the moment they were due, so that a stall is charged to every request it held up.
 *
 * No two requests are the same: each connection is a session of its own, each body has a number of
 * its own and, with `--vary`, a length of its own. What a cache may recognise is what it would
 * recognise in life. Prints "measuring" and "measured" as the window opens and closes, so that
 * others can read clocks at those moments, and one JSON object at the end.
 */
#include "common.h"

#include <sys/resource.h>

#define SESSION "SSSSSSSS-SSSS-SSSS-SSSS-SSSSSSSSSSSS"
#define SESSION_LENGTH (sizeof SESSION - 1)
#define NUMBER_LENGTH 16
#define PIECES 6

enum framing { HEAD, BY_LENGTH, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER };

typedef struct {
    int fd, busy, waits_to_write;
    char *head_start, *head_end, *body_start, *body_end, *filler;
    char digits[24];
    struct iovec pieces[PIECES];
    int piece;
    uint64_t began, first_byte;
    buffer head, scan, line;
    enum framing framing;
    size_t left;
    int status, streaming;
} connection;

typedef struct {
    uint64_t *values;
    size_t count, capacity;
} samples;

static struct {
    int port, connections, vary;
    double seconds, warmup, rate;
    long stagger_us, limit;
    const char *request;
} options = {.connections = 64, .seconds = 3, .warmup = 1};

static int epoll_fd, timer_fd, measuring, draining;
static unsigned long started, completed, failed, refused, broken, in_window, events_in_window, bytes_in_window;
static int in_flight;
static uint64_t next_due, gap_ns, numbers;
static samples latencies, first_bytes, delays;
static buffer head_start, head_end, body_start, body_end;
static connection *all;

static void add_sample(samples *s, uint64_t value) {
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? s->capacity * 2 : 65536;
        s->values = realloc(s->values, s->capacity * sizeof *s->values);
        if (!s->values) die("realloc");
    }
    s->values[s->count++] = value;
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double microseconds_at(const samples *s, double share) {
    if (!s->count) return 0;
    size_t at = (size_t)(share * (double)s->count);
    return (double)s->values[at < s->count ? at : s->count - 1] / 1000.0;
}

static void read_piece(const char *name, buffer *into) {
    char path[4096], block[65536];
    snprintf(path, sizeof path, "%s/%s", options.request, name);
    int fd = open(path, O_RDONLY);
    if (fd < 0) die(path);
    for (ssize_t n; (n = read(fd, block, sizeof block)) > 0;) append(into, block, (size_t)n);
    close(fd);
    append(into, "", 1); /* so that it is a string */
    into->length--;
}

static char *with_session(const buffer *piece, const char *session) {
    char *copy = malloc(piece->length + 1);
    if (!copy) die("malloc");
    memcpy(copy, piece->data, piece->length + 1);
    for (char *at = copy; (at = strstr(at, SESSION));) memcpy(at, session, SESSION_LENGTH);
    return copy;
}

static void connect_to(connection *c) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)options.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address)) die("connect");
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    set_nodelay(c->fd);
    c->waits_to_write = 0;
    watch(epoll_fd, EPOLL_CTL_ADD, c->fd, EPOLLIN, c);
}

static void prepare(connection *c, int number) {
    char session[SESSION_LENGTH + 1];
    snprintf(session, sizeof session, "%08x-5e55-4a11-8b1e-%012x", 0x9e3779b9u * (unsigned)(number + 1), (unsigned)number);
    c->head_start = with_session(&head_start, session);
    c->head_end = with_session(&head_end, session);
    c->body_start = with_session(&body_start, session);
    c->body_end = with_session(&body_end, session);
    c->filler = malloc(NUMBER_LENGTH + (size_t)options.vary + 1);
    if (!c->filler) die("malloc");
    for (int i = 0; i <= options.vary; i++) c->filler[NUMBER_LENGTH + i] = i % 7 == 0 ? ' ' : (char)('a' + i % 26);
    connect_to(c);
}

static void set_piece(connection *c, int at, char *data, size_t length) {
    c->pieces[at] = (struct iovec){data, length};
}

static void reconnect(connection *c) {
    close(c->fd);
    c->head.length = c->scan.length = c->line.length = 0;
    connect_to(c);
}

static void fail(connection *c) {
    failed++;
    broken++;
    in_flight -= c->busy;
    c->busy = 0;
    reconnect(c);
}

static void send_more(connection *c) {
    while (c->piece < PIECES) {
        ssize_t n = writev(c->fd, c->pieces + c->piece, PIECES - c->piece);
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) return fail(c);
        while (c->piece < PIECES && (size_t)n >= c->pieces[c->piece].iov_len) n -= (ssize_t)c->pieces[c->piece++].iov_len;
        if (c->piece < PIECES) {
            c->pieces[c->piece].iov_base = (char *)c->pieces[c->piece].iov_base + n;
            c->pieces[c->piece].iov_len -= (size_t)n;
        }
    }
    int must_wait = c->piece < PIECES;
    if (must_wait != c->waits_to_write) watch(epoll_fd, EPOLL_CTL_MOD, c->fd, must_wait ? EPOLLIN | EPOLLOUT : EPOLLIN, c);
    c->waits_to_write = must_wait;
}

static void start(connection *c, uint64_t due) {
    static uint32_t random_state = 2463534242u;
    random_state ^= random_state << 13, random_state ^= random_state >> 17, random_state ^= random_state << 5;
    size_t filler = NUMBER_LENGTH + (options.vary ? random_state % (unsigned)options.vary : 0);
    char number[NUMBER_LENGTH + 1];
    snprintf(number, sizeof number, "%016llx", (unsigned long long)numbers++);
    memcpy(c->filler, number, NUMBER_LENGTH);
    int digits = snprintf(c->digits, sizeof c->digits, "%zu", body_start.length + filler + body_end.length);
    set_piece(c, 0, c->head_start, head_start.length);
    set_piece(c, 1, c->digits, (size_t)digits);
    set_piece(c, 2, c->head_end, head_end.length);
    set_piece(c, 3, c->body_start, body_start.length);
    set_piece(c, 4, c->filler, filler);
    set_piece(c, 5, c->body_end, body_end.length);
    c->piece = 0;
    c->framing = HEAD;
    c->first_byte = 0;
    c->began = due;
    c->busy = 1;
    in_flight++;
    started++;
    send_more(c);
}

static int may_start(void) { return !draining && (!options.limit || (long)started < options.limit); }

/* What an idle connection does next. */
static void continue_with(connection *c, uint64_t now) {
    if (!may_start()) return;
    if (options.rate <= 0) return start(c, now);
    if (next_due <= now) {
        uint64_t due = next_due;
        next_due += gap_ns;
        start(c, due);
    }
}

static void finish(connection *c, uint64_t now) {
    c->busy = 0;
    in_flight--;
    completed++;
    if (c->status != 200) failed++, refused++;
    if (measuring) {
        in_window++;
        add_sample(&latencies, now - c->began);
        if (c->first_byte) add_sample(&first_bytes, c->first_byte - c->began);
    }
    c->head.length = c->scan.length = c->line.length = 0;
    c->framing = HEAD;
    continue_with(c, now);
}

static void count_events(connection *c, const char *data, size_t length, uint64_t now) {
    size_t mark = sizeof TIMESTAMP_MARK - 1, whole = mark + TIMESTAMP_DIGITS, done = 0;
    append(&c->scan, data, length);
    for (char *at; (at = memmem(c->scan.data + done, c->scan.length - done, TIMESTAMP_MARK, mark));) {
        if ((size_t)(at - c->scan.data) + whole > c->scan.length) break;
        char digits[TIMESTAMP_DIGITS + 1] = {0};
        memcpy(digits, at + mark, TIMESTAMP_DIGITS);
        if (measuring) {
            events_in_window++;
            add_sample(&delays, now - strtoull(digits, NULL, 16));
        }
        done = (size_t)(at - c->scan.data) + whole;
    }
    size_t keep = c->scan.length - done < whole ? c->scan.length - done : whole;
    discard(&c->scan, c->scan.length - keep);
}

static void take_body(connection *c, const char *data, size_t length, uint64_t now) {
    if (!c->first_byte && length) c->first_byte = now;
    if (measuring) bytes_in_window += length;
    if (c->streaming) count_events(c, data, length, now);
}

/* Returns 0 on an answer that can't be read. */
static int begin_body(connection *c) {
    c->head.data[c->head.length - 1] = '\0';
    if (sscanf(c->head.data, "HTTP/1.1 %d", &c->status) != 1) return 0;
    long length = header_number(c->head.data, c->head.length, "content-length:");
    c->streaming = length < 0;
    c->framing = length < 0 ? CHUNK_SIZE : BY_LENGTH;
    c->left = length < 0 ? 0 : (size_t)length;
    return length >= 0 || strcasestr(c->head.data, "transfer-encoding: chunked") != NULL;
}

static void end_line(connection *c) {
    append(&c->line, "", 1);
    if (c->framing == CHUNK_SIZE) {
        c->left = strtoul(c->line.data, NULL, 16);
        c->framing = c->left ? CHUNK_DATA : TRAILER;
    } else if (c->framing == CHUNK_END) {
        c->framing = CHUNK_SIZE;
    }
    c->line.length = 0;
}

/* Takes one step through the answer; returns how much it consumed, or -1. Sets *ended. */
static ssize_t step(connection *c, const char *data, size_t length, uint64_t now, int *ended) {
    if (c->framing == HEAD) {
        size_t before = c->head.length;
        append(&c->head, data, length);
        char *blank = memmem(c->head.data, c->head.length, "\r\n\r\n", 4);
        if (!blank) return c->head.length > 65536 ? -1 : (ssize_t)length;
        c->head.length = (size_t)(blank + 4 - c->head.data);
        ssize_t used = (ssize_t)(c->head.length - before);
        if (!begin_body(c)) return -1;
        *ended = c->framing == BY_LENGTH && !c->left;
        return used;
    }
    if (c->framing == BY_LENGTH || c->framing == CHUNK_DATA) {
        size_t n = length < c->left ? length : c->left;
        take_body(c, data, n, now);
        c->left -= n;
        if (!c->left && c->framing == BY_LENGTH) *ended = 1;
        if (!c->left && c->framing == CHUNK_DATA) c->framing = CHUNK_END;
        return (ssize_t)n;
    }
    const char *newline = memchr(data, '\n', length);
    size_t n = newline ? (size_t)(newline + 1 - data) : length;
    append(&c->line, data, n);
    if (!newline) return (ssize_t)n;
    if (c->framing == TRAILER && c->line.length <= 2) *ended = 1;
    else if (c->framing == TRAILER) c->line.length = 0;
    else end_line(c);
    return (ssize_t)n;
}

static void receive(connection *c) {
    static char block[262144];
    ssize_t n = read(c->fd, block, sizeof block);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        if (c->busy) return fail(c);
        return reconnect(c);
    }
    uint64_t now = now_ns();
    for (ssize_t at = 0; at < n;) {
        int ended = 0;
        ssize_t used = c->busy ? step(c, block + at, (size_t)(n - at), now, &ended) : -1;
        if (used < 0) return fail(c);
        at += used;
        if (ended) finish(c, now);
    }
}

static void start_due(void) {
    uint64_t now = now_ns();
    read_timer(timer_fd);
    for (int i = 0; i < options.connections && next_due <= now; i++)
        if (!all[i].busy) continue_with(&all[i], now);
    arm_timer(timer_fd, next_due > now ? next_due : now + gap_ns);
}

/* Runs the loop until the clock says `until`, or until nothing is in flight. */
static void run(uint64_t until, int until_idle) {
    struct epoll_event events[256];
    for (uint64_t now; (now = now_ns()) < until && !(until_idle && !in_flight);) {
        if (options.limit && !in_flight && !may_start()) return;
        int wait_ms = (int)((until - now) / 1000000) + 1;
        int n = epoll_wait(epoll_fd, events, 256, wait_ms > 1000 ? 1000 : wait_ms);
        for (int i = 0; i < n; i++) {
            connection *c = events[i].data.ptr;
            if ((void *)c == &timer_fd) start_due();
            else if (events[i].events & EPOLLIN) receive(c);
            else if (events[i].events & EPOLLOUT) send_more(c);
            else if (c->busy) fail(c);
            else reconnect(c);
        }
    }
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void begin_load(void) {
    uint64_t now = now_ns();
    if (options.rate > 0) {
        gap_ns = (uint64_t)(1e9 / options.rate);
        next_due = now;
        watch(epoll_fd, EPOLL_CTL_ADD, timer_fd, EPOLLIN, &timer_fd);
        arm_timer(timer_fd, now + gap_ns);
        return;
    }
    for (int i = 0; i < options.connections; i++) {
        if (options.stagger_us) run(now + (uint64_t)i * (uint64_t)options.stagger_us * 1000u / (uint64_t)options.connections, 0);
        if (may_start()) start(&all[i], now_ns());
    }
}

static void print_percentiles(const char *name, samples *s) {
    qsort(s->values, s->count, sizeof *s->values, compare);
    printf("\"%s\": {\"count\": %zu, \"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"max\": %.1f}, ", name, s->count,
           microseconds_at(s, .50), microseconds_at(s, .90), microseconds_at(s, .99), microseconds_at(s, 1));
}

static void report(double window_s, double cpu_s, double backlog_s) {
    printf("{");
    print_percentiles("latency_us", &latencies);
    print_percentiles("first_byte_us", &first_bytes);
    print_percentiles("event_delay_us", &delays);
    printf("\"started\": %lu, \"completed\": %lu, \"failed\": %lu, \"refused\": %lu, \"broken\": %lu, \"unfinished\": %d, "
           "\"requests\": %lu, \"events\": %lu, \"bytes\": %lu, \"window_s\": %.6f, \"cpu_s\": %.6f, \"backlog_s\": %.6f}\n",
           started, completed, failed, refused, broken, in_flight, in_window, events_in_window, bytes_in_window, window_s,
           cpu_s, backlog_s);
}

static void read_options(int argc, char **argv) {
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (!strcmp(name, "--port")) options.port = atoi(value);
        else if (!strcmp(name, "--connections")) options.connections = atoi(value);
        else if (!strcmp(name, "--seconds")) options.seconds = atof(value);
        else if (!strcmp(name, "--warmup")) options.warmup = atof(value);
        else if (!strcmp(name, "--rate")) options.rate = atof(value);
        else if (!strcmp(name, "--vary")) options.vary = atoi(value);
        else if (!strcmp(name, "--limit")) options.limit = atol(value);
        else if (!strcmp(name, "--first-number")) numbers = strtoull(value, NULL, 10);
        else if (!strcmp(name, "--stagger-us")) options.stagger_us = atol(value);
        else if (!strcmp(name, "--request")) options.request = value;
        else {
            fprintf(stderr, "unknown option %s\n", name);
            exit(2);
        }
    }
    if (!options.request || !options.port) {
        fprintf(stderr, "load: --port and --request are needed\n");
        exit(2);
    }
}

static void say(const char *word) {
    puts(word);
    fflush(stdout);
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    epoll_fd = epoll_create1(0);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    read_piece("head_start", &head_start);
    read_piece("head_end", &head_end);
    read_piece("body_start", &body_start);
    read_piece("body_end", &body_end);
    all = calloc((size_t)options.connections, sizeof *all);
    if (!all) die("calloc");
    for (int i = 0; i < options.connections; i++) prepare(&all[i], i);
    begin_load();
    run(now_ns() + (uint64_t)(options.warmup * 1e9), 0);

    uint64_t opened = now_ns();
    double cpu_before = cpu_seconds();
    measuring = 1;
    say("measuring");
    run(opened + (uint64_t)(options.seconds * 1e9), 0);
    uint64_t closed = now_ns();
    double cpu_s = cpu_seconds() - cpu_before;
    double backlog_s = options.rate > 0 && next_due < closed ? (double)(closed - next_due) / 1e9 : 0;
    measuring = 0;
    say("measured");

    draining = 1;
    run(closed + 60000000000ull, 1);
    report((double)(closed - opened) / 1e9, cpu_s, backlog_s);
    return 0;
}
