/* Stands in front of the C library of a gateway under test: names that end in .test are looked up in the file that
 * PLEO_TEST_ANSWERS names (a line of addresses for each look-up; the last one stays), and a link to any other machine is
 * made to this one instead. Every look-up and every link is written to PLEO_TEST_JOURNAL, so that a test sees which address
 * was dialled after which answer. Built by the tests with cc; no part of the gateway. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void note(const char *what, const char *whom) {
    char line[512];
    int length = snprintf(line, sizeof line, "%s %s\n", what, whom);
    int journal = open(getenv("PLEO_TEST_JOURNAL"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (journal < 0 || write(journal, line, length) != length)
        abort();
    close(journal);
}

/* The line for the nth look-up of all, or the last. */
static void answer(char *line, int size) {
    static int asked;
    int place = __atomic_fetch_add(&asked, 1, __ATOMIC_SEQ_CST);
    FILE *answers = fopen(getenv("PLEO_TEST_ANSWERS"), "re");
    if (!answers)
        abort();
    while (fgets(line, size, answers) && place-- > 0)
        ;
    fclose(answers);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
    size_t length = name ? strlen(name) : 0;
    if (length < 5 || strcmp(name + length - 5, ".test") != 0)
        return real(name, service, hints, found);
    note("lookup", name);
    char line[512] = "";
    answer(line, sizeof line);
    struct addrinfo **end = found;
    for (char *rest = line, *address; (address = strtok_r(rest, " \n", &rest));) {
        if (real(address, service, hints, end) != 0)
            abort();
        while (*end)
            end = &(*end)->ai_next;
    }
    return 0;
}

int connect(int socket, const struct sockaddr *to, socklen_t size) {
    int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
    struct sockaddr_storage here;
    char text[INET6_ADDRSTRLEN] = "";
    memcpy(&here, to, size);
    if (to->sa_family == AF_INET) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)&here;
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
        v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    } else if (to->sa_family == AF_INET6) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&here;
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
        inet_pton(AF_INET6, "::ffff:127.0.0.1", &v6->sin6_addr);
    } else {
        return real(socket, to, size);
    }
    note("connect", text);
    return real(socket, (struct sockaddr *)&here, size);
}
