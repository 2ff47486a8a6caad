/* A provider of the Messages API that costs next to nothing: one thread, epoll, keep-alive.
 *
 * It answers every POST with about 1 KB of JSON, or, where the body asks for it and `--events N` is
 * given, with a stream of N paced chunks, under the headers a real answer has. It looks into every request: which user id it carries, whose
 * credential, and optionally a marker, which it writes to a file. Counters go to stdout as JSON when
 * it is told to stop (SIGTERM). It refuses chunked request bodies: nothing under test sends them.
 */
#include "common.h"

#define MAX_REQUEST (64u << 20)
#define USER_ID "\"user_id\":\""
#define STREAMING "\"stream\":true"
#define MARKER "marker="
#define MARKER_LENGTH 16

typedef struct connection {
    int fd;
    buffer in, out;
    uint64_t next_due; /* 0 while no stream is open */
    int events_sent;
    size_t user_id_at; /* where the last body had it: the next one has it close by */
    int waits_to_write;
    struct connection *next, *previous;
} connection;

static struct {
    int events;
    uint64_t gap_ns;
    const char *credential, *forbidden;
    int marker_fd;
} options = {.gap_ns = 10000000, .marker_fd = -1};

static struct {
    unsigned long requests, streams_ended, aborted, with_user_id, same_user_id, with_credential, leaked;
    char user_id[512];
} seen;

static int epoll_fd, timer_fd;
static connection streams = {.next = &streams, .previous = &streams};
static volatile sig_atomic_t stopping;

static void stop(int signal_number) {
    (void)signal_number;
    stopping = 1;
}

static void close_connection(connection *c) {
    if (c->next_due) {
        c->next->previous = c->previous;
        c->previous->next = c->next;
        seen.aborted++;
    }
    close(c->fd);
    free(c->in.data);
    free(c->out.data);
    free(c);
}

/* Returns 0 if the connection is gone. */
static int flush_out(connection *c) {
    size_t sent = 0;
    while (sent < c->out.length) {
        ssize_t n = write(c->fd, c->out.data + sent, c->out.length - sent);
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) return 0;
        sent += (size_t)n;
    }
    discard(&c->out, sent);
    int must_wait = c->out.length != 0;
    if (must_wait != c->waits_to_write) watch(epoll_fd, EPOLL_CTL_MOD, c->fd, must_wait ? EPOLLIN | EPOLLOUT : EPOLLIN, c);
    c->waits_to_write = must_wait;
    return 1;
}

static void put_head(connection *c, const char *framing) {
    static time_t second;
    static char date[40];
    time_t current = time(NULL);
    if (current != second) {
        struct tm parts;
        second = current;
        strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&second, &parts));
    }
    /* Utilization moves as it does in life: often the same, never for long. */
    unsigned long step = seen.requests / 200;
    reserve(&c->out, 2048);
    c->out.length += (size_t)sprintf(
        c->out.data + c->out.length,
        "HTTP/1.1 200 OK\r\n"
        "Date: %s\r\n"
        "%s\r\n"
        "Connection: keep-alive\r\n"
        "anthropic-ratelimit-unified-status: allowed\r\n"
        "anthropic-ratelimit-unified-5h-status: allowed\r\n"
        "anthropic-ratelimit-unified-5h-reset: %ld\r\n"
        "anthropic-ratelimit-unified-5h-utilization: 0.%02lu\r\n"
        "anthropic-ratelimit-unified-7d-status: allowed\r\n"
        "anthropic-ratelimit-unified-7d-reset: %ld\r\n"
        "anthropic-ratelimit-unified-7d-utilization: 0.%02lu\r\n"
        "anthropic-ratelimit-unified-representative-claim: five_hour\r\n"
        "anthropic-ratelimit-unified-fallback-percentage: 0.5\r\n"
        "anthropic-ratelimit-unified-reset: %ld\r\n"
        "anthropic-ratelimit-unified-overage-status: rejected\r\n"
        "anthropic-ratelimit-unified-overage-disabled-reason: org_level_disabled\r\n"
        "request-id: req_011CT%016lx\r\n"
        "anthropic-organization-id: 5b2f7c1e-3a44-4c0d-9d38-6f1f6d1f2a90\r\n"
        "strict-transport-security: max-age=31536000; includeSubDomains; preload\r\n"
        "Server: edge\r\n"
        "x-envoy-upstream-service-time: 912\r\n"
        "\r\n",
        date, framing, (long)(second / 18000 + 1) * 18000, step % 100, (long)(second / 604800 + 1) * 604800,
        step / 10 % 100, (long)(second / 18000 + 1) * 18000, seen.requests);
}

static const char answer_text[] =
    "The function keeps the rows in the order they were read and drops the ones that have no key. "
    "To make it stop at the first row without a key, return from inside the loop and let the caller "
    "decide what to do with the rest. A test for the empty file is missing; it should expect an empty "
    "list, because the header line alone is a valid file. The third case in the table is never "
    "reached, since the second one already matches every line that ends with a newline. Apart from that "
    "the change does what its description says, and the names are the ones the rest of the module uses.";

static void put_answer(connection *c) {
    char body[2048], framing[128];
    int length = snprintf(
        body, sizeof body,
        "{\"id\":\"msg_01%016lx\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-sonnet-4-5-20250929\","
        "\"content\":[{\"type\":\"text\",\"text\":\"%s\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,"
        "\"usage\":{\"input_tokens\":12,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":410,"
        "\"cache_creation\":{\"ephemeral_5m_input_tokens\":0,\"ephemeral_1h_input_tokens\":0},"
        "\"output_tokens\":97,\"service_tier\":\"standard\"}}",
        seen.requests, answer_text);
    snprintf(framing, sizeof framing, "Content-Type: application/json\r\nContent-Length: %d", length);
    put_head(c, framing);
    append(&c->out, body, (size_t)length);
}

static void put_chunk(connection *c, const char *data, int length) {
    char size[16];
    append(&c->out, size, (size_t)sprintf(size, "%x\r\n", (unsigned)length));
    append(&c->out, data, (size_t)length);
    append(&c->out, "\r\n", 2);
}

static void put_first_event(connection *c) {
    char data[1024];
    int length = snprintf(
        data, sizeof data,
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_01%016lx\",\"type\":\"message\","
        "\"role\":\"assistant\",\"model\":\"claude-sonnet-4-5-20250929\",\"content\":[],\"stop_reason\":null,"
        "\"stop_sequence\":null,\"usage\":{\"input_tokens\":12,\"cache_creation_input_tokens\":0,"
        "\"cache_read_input_tokens\":410,\"output_tokens\":1,\"service_tier\":\"standard\"}}}\n\n"
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
        "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
        "event: ping\ndata: {\"type\":\"ping\"}\n\n",
        seen.requests);
    put_chunk(c, data, length);
}

static void put_delta(connection *c) {
    char data[256];
    int length = snprintf(data, sizeof data,
                          "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
                          "\"delta\":{\"type\":\"text_delta\",\"text\":\"t=%016llx and so it goes\"}}\n\n",
                          (unsigned long long)now_ns());
    put_chunk(c, data, length);
}

static void put_last_event(connection *c) {
    static const char data[] =
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\","
        "\"stop_sequence\":null},\"usage\":{\"output_tokens\":97}}\n\n"
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    put_chunk(c, data, (int)sizeof data - 1);
    append(&c->out, "0\r\n\r\n", 5);
}

static void open_stream(connection *c) {
    put_head(c, "Content-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
                "Transfer-Encoding: chunked");
    put_first_event(c);
    c->events_sent = 1;
    c->next_due = now_ns() + options.gap_ns;
    c->next = streams.next;
    c->previous = &streams;
    c->next->previous = streams.next = c;
}

static void end_stream(connection *c) {
    put_last_event(c);
    c->next_due = 0;
    c->next->previous = c->previous;
    c->previous->next = c->next;
    seen.streams_ended++;
}

static void look_for_user_id(connection *c, const char *body, size_t length) {
    size_t key = sizeof USER_ID - 1;
    size_t from = c->user_id_at > 512 && c->user_id_at + 1024 < length ? c->user_id_at - 512 : 0;
    const char *found = memmem(body + from, length - from, USER_ID, key);
    if (!found && from) found = memmem(body, length, USER_ID, key);
    if (!found) return;
    c->user_id_at = (size_t)(found - body);
    const char *value = found + key;
    const char *end = memchr(value, '"', length - (size_t)(value - body));
    size_t size = end ? (size_t)(end - value) : 0;
    if (!size || size >= sizeof seen.user_id || value[size - 1] == '\\') size = 0;
    seen.with_user_id++;
    if (!seen.user_id[0] && size) memcpy(seen.user_id, value, size);
    seen.same_user_id += size && strlen(seen.user_id) == size && !memcmp(seen.user_id, value, size);
}

static void log_marker(const char *body, size_t length) {
    const char *found = memmem(body, length, MARKER, sizeof MARKER - 1);
    if (!found || (size_t)(body + length - found) < sizeof MARKER - 1 + MARKER_LENGTH) return;
    char line[MARKER_LENGTH + 1];
    memcpy(line, found + sizeof MARKER - 1, MARKER_LENGTH);
    line[MARKER_LENGTH] = '\n';
    if (write(options.marker_fd, line, sizeof line) != (ssize_t)sizeof line) die("write marker");
}

static void inspect(connection *c, const char *head, size_t head_length, const char *body, size_t length) {
    seen.requests++;
    look_for_user_id(c, body, length);
    if (options.marker_fd >= 0) log_marker(body, length);
    if (options.credential)
        seen.with_credential += memmem(head, head_length, options.credential, strlen(options.credential)) != NULL;
    if (options.forbidden)
        seen.leaked += memmem(head, head_length, options.forbidden, strlen(options.forbidden)) != NULL;
}

/* Answers every whole request in the buffer. Returns 0 to close. */
static int serve(connection *c) {
    while (c->in.length && !c->next_due) {
        char *blank = memmem(c->in.data, c->in.length, "\r\n\r\n", 4);
        if (!blank) return c->in.length < 65536;
        size_t head = (size_t)(blank + 4 - c->in.data);
        long body = header_number(c->in.data, head, "content-length:");
        if (body < 0 || (size_t)body > MAX_REQUEST) return 0;
        if (c->in.length < head + (size_t)body) {
            reserve(&c->in, head + (size_t)body - c->in.length);
            return 1;
        }
        inspect(c, c->in.data, head, c->in.data + head, (size_t)body);
        int streaming = options.events && memmem(c->in.data + head, (size_t)body, STREAMING, sizeof STREAMING - 1);
        discard(&c->in, head + (size_t)body);
        if (streaming) open_stream(c);
        else put_answer(c);
        if (!flush_out(c)) return 0;
    }
    return 1;
}

static void receive(connection *c) {
    for (;;) {
        reserve(&c->in, 65536);
        size_t room = c->in.capacity - c->in.length;
        ssize_t n = read(c->fd, c->in.data + c->in.length, room);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) return close_connection(c);
        c->in.length += (size_t)n;
        if (!serve(c)) return close_connection(c);
        if ((size_t)n < room) return;
    }
}

static void send_due_events(void) {
    uint64_t now = now_ns(), earliest = 0;
    read_timer(timer_fd);
    for (connection *c = streams.next, *next; c != &streams; c = next) {
        next = c->next;
        if (c->next_due <= now) {
            c->next_due += options.gap_ns;
            if (++c->events_sent < options.events) put_delta(c);
            else end_stream(c);
            if (!flush_out(c)) {
                close_connection(c);
                continue;
            }
        }
        if (c->next_due && (!earliest || c->next_due < earliest)) earliest = c->next_due;
    }
    arm_timer(timer_fd, earliest);
}

static void arm_for_new_streams(void) {
    uint64_t earliest = 0;
    for (connection *c = streams.next; c != &streams; c = c->next)
        if (!earliest || c->next_due < earliest) earliest = c->next_due;
    arm_timer(timer_fd, earliest);
}

static int listen_on_loopback(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1024)) die("listen");
    if (getsockname(fd, (struct sockaddr *)&address, &size)) die("getsockname");
    printf("{\"port\": %d}\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void accept_all(int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        connection *c = calloc(1, sizeof *c);
        if (!c) die("calloc");
        c->fd = fd;
        set_nodelay(fd);
        watch(epoll_fd, EPOLL_CTL_ADD, fd, EPOLLIN, c);
    }
}

static void read_options(int argc, char **argv) {
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--events")) options.events = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--gap-us")) options.gap_ns = (uint64_t)atol(argv[i + 1]) * 1000;
        else if (!strcmp(argv[i], "--credential")) options.credential = argv[i + 1];
        else if (!strcmp(argv[i], "--forbidden")) options.forbidden = argv[i + 1];
        else if (!strcmp(argv[i], "--markers"))
            options.marker_fd = open(argv[i + 1], O_WRONLY | O_CREAT | O_APPEND, 0600);
        else {
            fprintf(stderr, "unknown option %s\n", argv[i]);
            exit(2);
        }
    }
}

static void report(void) {
    printf("{\"requests\": %lu, \"streams_ended\": %lu, \"aborted\": %lu, \"with_user_id\": %lu, \"same_user_id\": %lu, "
           "\"with_credential\": %lu, \"leaked\": %lu, \"user_id\": \"%s\"}\n",
           seen.requests, seen.streams_ended, seen.aborted, seen.with_user_id, seen.same_user_id, seen.with_credential,
           seen.leaked, seen.user_id);
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    epoll_fd = epoll_create1(0);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    int listener = listen_on_loopback();
    watch(epoll_fd, EPOLL_CTL_ADD, listener, EPOLLIN, &listener);
    watch(epoll_fd, EPOLL_CTL_ADD, timer_fd, EPOLLIN, &timer_fd);
    struct epoll_event events[256];
    while (!stopping) {
        int n = epoll_wait(epoll_fd, events, 256, -1), timer_fired = 0;
        for (int i = 0; i < n; i++) {
            connection *c = events[i].data.ptr;
            if ((void *)c == &listener) accept_all(listener);
            else if ((void *)c == &timer_fd) timer_fired = 1;
            else if (events[i].events & EPOLLIN) receive(c);
            else if (!flush_out(c)) close_connection(c);
        }
        /* Last, so that a connection closed by it has no event left in this batch. */
        if (timer_fired) send_due_events();
        else if (options.events) arm_for_new_streams();
    }
    report();
    return 0;
}
