/* What etl_test.sh needs besides psql and redis-cli.
 *   etl_tool relay HOST:PORT      listens on a free loopback port, prints it, passes everything on;
 *                                 with it dies every connection that goes through it
 *   etl_tool delete QUEUE         of the broker in TUG_AMQP_URL, as the others
 *   etl_tool purge QUEUE          throws away what is ready in it
 *   etl_tool count QUEUE          prints how many messages are ready
 *   etl_tool declare QUEUE        otherwise than the program under test would
 *   etl_tool junk QUEUE           two messages that are no stanzas of anybody */
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <tug/amqp.h>
#include <tug/loop.h>
#include <unistd.h>

/* --- relay ------------------------------------------------------------------------------------ */

static int connect_to(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int fd = -1;
    if (getaddrinfo(host, port, &hints, &list) == 0) {
        fd = socket(list->ai_family, SOCK_STREAM, 0);
        if (connect(fd, list->ai_addr, list->ai_addrlen) < 0) {
            close(fd);
            fd = -1;
        }
        freeaddrinfo(list);
    }
    return fd;
}

static bool pass_on(int from, int to)
{
    char data[65536];
    ssize_t n = read(from, data, sizeof data);
    for (ssize_t done = 0; done < n;) {
        ssize_t sent = write(to, data + done, (size_t)(n - done));
        if (sent <= 0) {
            return false;
        }
        done += sent;
    }
    return n > 0;
}

static void serve(int client, const char *host, const char *port)
{
    struct pollfd ends[2] = {{client, POLLIN, 0}, {connect_to(host, port), POLLIN, 0}};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (ends[1].fd >= 0 && poll(ends, 2, -1) > 0) {
        for (int i = 0; i < 2; i++) {
            if (ends[i].revents != 0 && !pass_on(ends[i].fd, ends[1 - i].fd)) {
                return;
            }
        }
    }
}

static int relay(char *target)
{
    char *port = strrchr(target, ':');
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (port == NULL || bind(listener, (struct sockaddr *)&at, sizeof at) < 0 ||
        listen(listener, 64) < 0 || getsockname(listener, (struct sockaddr *)&at, &size) < 0) {
        perror("relay");
        return 1;
    }
    *port++ = 0;
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    signal(SIGCHLD, SIG_IGN);
    for (int client; (client = accept(listener, NULL, NULL)) >= 0; close(client)) {
        if (fork() == 0) {
            close(listener);
            serve(client, target, port);
            _exit(0);
        }
    }
    return 1;
}

/* --- the broker ------------------------------------------------------------------------------- */

static int publish_junk(tug_amqp *mq, const char *queue)
{
    tug_amqp_message m = TUG_AMQP_MESSAGE_INIT;
    m.body = tug_bytes("no stanza", 9);
    int rc = tug_amqp_publish(mq, "", queue, &m);
    const tug_amqp_field headers[] = {{"run", tug_text("one")}, {"number", tug_int64(1)}};
    m.headers = tug_amqp_table(headers, 2);
    return rc == 0 ? tug_amqp_publish(mq, "", queue, &m) : rc;
}

static int declare_otherwise(tug_amqp *mq, const char *queue)
{
    const tug_amqp_field limit = {"x-max-length", tug_int64(1000)};
    tug_amqp_queue_options o = TUG_AMQP_QUEUE_OPTIONS_INIT;
    o.arguments = tug_amqp_table(&limit, 1);
    return tug_amqp_queue_declare(mq, queue, &o);
}

static int on_broker(void *arg)
{
    char **argv = arg;
    const char *command = argv[1], *queue = argv[2];
    uint64_t messages = 0;
    TUG_AUTO(tug_amqp) mq = NULL;
    int rc = tug_amqp_open(getenv("TUG_AMQP_URL"), NULL, &mq);
    if (rc < 0) {
        return rc;
    }
    if (strcmp(command, "delete") == 0) {
        return tug_amqp_queue_delete(mq, queue, NULL);
    }
    if (strcmp(command, "purge") == 0) {
        return tug_amqp_queue_purge(mq, queue, NULL);
    }
    if (strcmp(command, "junk") == 0) {
        return publish_junk(mq, queue);
    }
    if (strcmp(command, "declare") == 0) {
        return declare_otherwise(mq, queue);
    }
    rc = tug_amqp_queue_count(mq, queue, &messages);
    printf("%llu\n", (unsigned long long)messages);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        return 2;
    }
    return strcmp(argv[1], "relay") == 0 ? relay(argv[2]) : tug_main(on_broker, argv);
}
