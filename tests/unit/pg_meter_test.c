/* What has been read of an answer, told from what the socket says of itself: ioctl and getsockopt are
 * scripted here, because what matters is what arrives between the two. */
#include "meter.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "test.h"

int __wrap_ioctl(int fd, unsigned long request, ...);
int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *size);

enum {
    FD = 1000000, /* no descriptor: the one that is scripted */
    READ = 16384
};

static struct {
    bool is_tcp;
    uint64_t got;     /* has arrived */
    uint64_t read;    /* has been read of it */
    uint64_t between; /* arrives after the next question */
} peer;

static void arrive(void)
{
    peer.got += peer.between;
    peer.between = 0;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    va_start(args, request);
    void *arg = va_arg(args, void *);
    va_end(args);
    if (fd != FD) {
        return __real_ioctl(fd, request, arg);
    }
    assert_int_equal(request, FIONREAD);
    *(int *)arg = (int)(peer.got - peer.read);
    arrive();
    return 0;
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    if (fd != FD) {
        return __real_getsockopt(fd, level, name, value, size);
    }
    assert_int_equal(level, IPPROTO_TCP);
    assert_int_equal(name, TCP_INFO);
    if (!peer.is_tcp) {
        return -1;
    }
    ((struct tcp_info *)value)->tcpi_bytes_received = peer.got;
    arrive();
    return 0;
}

static void read_once(tug__pg_meter *m)
{
    peer.got += READ;
    tug__pg_meter_before(m, FD);
    peer.read += READ;
    tug__pg_meter_after(m, FD);
}

static void begin(bool is_tcp)
{
    memset(&peer, 0, sizeof peer);
    peer.is_tcp = is_tcp;
    peer.got = peer.read = 1000000; /* of answers before this one */
}

TEST(counts_what_is_read)
{
    for (int is_tcp = 0; is_tcp < 2; is_tcp++) {
        tug__pg_meter m = {0};
        begin(is_tcp);
        for (int i = 1; i <= 400; i++) {
            read_once(&m);
            if (i % 4 == 0) {
                assert_int_equal(m.bytes, i * READ);
            }
        }
        tug__pg_meter_reset(&m);
        read_once(&m);
        assert_int_equal(m.bytes, 0); /* a short answer costs no look */
    }
}

/* A burst that falls between the two questions hides bytes for once; it invents none. */
TEST(what_arrives_between_two_questions_is_not_counted_as_read)
{
    for (int at = 4; at <= 12; at += 4) {
        tug__pg_meter m = {0};
        begin(true);
        for (int i = 1; i <= 40; i++) {
            peer.between = i == at ? 6u << 20 : 0;
            read_once(&m);
            assert_true(m.bytes <= (size_t)i * READ);
        }
        size_t hidden = at == 4 ? 6u << 20 : 0; /* at the beginning it hides them for good */
        assert_true(m.bytes + hidden >= (size_t)40 * READ);
    }
}

/* A row of 60,000 bytes, read into a buffer of 128 KiB that is full of the next ones. */
TEST(what_libpq_reads_ahead_is_not_held_against_an_answer)
{
    tug__pg_meter m = {.bytes = 60000 + 131072};
    assert_false(tug__pg_meter_exceeds(&m, 65536));
    m.bytes = 4 * 65536 + 1;
    assert_true(tug__pg_meter_exceeds(&m, 65536));
    m.bytes = (100u << 20) + (6u << 20);
    assert_false(tug__pg_meter_exceeds(&m, 100u << 20));
    m.bytes += 3u << 20;
    assert_true(tug__pg_meter_exceeds(&m, 100u << 20));
}
