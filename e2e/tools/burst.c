/* SPDX-License-Identifier: Apache-2.0 */
/* burst.c - an HTTP/1.1 client for the cluster tests: sends keep-alive requests one after the other
 * and counts the answers by status and first body line. Plain sockets and nothing of lib/, so that
 * what it sees does not depend on the code under test. */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNS 64
#define MAX_KINDS 64
#define KIND_SIZE 96
#define BUF_SIZE 65536

static const char usage[] =
	"usage: burst [options] http://HOST[:PORT]/PATH\n"
	"  -n N      requests to send (default 1; 0: until -d, -u or -s ends it)\n"
	"  -c N      connections, used in turn (default 1); -1 opens a new one for each request\n"
	"  -H LINE   header line (again for more), -m METHOD\n"
	"  -d SEC    ends after so long; -i MS pause between requests; -t MS limit of one request\n"
	"  -u TEXT   ends at the first answer whose line has TEXT, prints the time of it\n"
	"  -s FILE   ends when FILE exists; -b prints the last answer's whole body instead of "
	"counts\n"
	"            (with -u, \"waiting\" is printed first, once the first answer is there)\n"
	"prints COUNT STATUS BODYLINE for each kind of answer; exit 1 if any request had none\n";

struct kind {
	char line[KIND_SIZE];
	long count;
};

struct options {
	char host[256], port[16], request[8192];
	long n, pause_ms, timeout_ms, seconds;
	int conns;
	bool fresh, print_body;
	const char *until, *stop_file;
};

static struct kind kinds[MAX_KINDS];
static size_t n_kinds;
static char buf[BUF_SIZE]; /* the answer that is being read */
static const char *body = buf;

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("burst: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(2);
}

static long long now_ms(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void count(const char *line)
{
	size_t i;

	for (i = 0; i < n_kinds; i++)
		if (!strcmp(kinds[i].line, line))
			break;
	if (i == n_kinds) {
		if (n_kinds == MAX_KINDS)
			i = MAX_KINDS - 1; /* too many to tell apart */
		else
			snprintf(kinds[n_kinds++].line, KIND_SIZE, "%s", line);
	}
	kinds[i].count++;
}

static int dial(const struct options *o, char *line)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list, *a;
	struct timeval tv = {o->timeout_ms / 1000, o->timeout_ms % 1000 * 1000};
	int fd = -1, rc = getaddrinfo(o->host, o->port, &hints, &list);

	if (rc) {
		snprintf(line, KIND_SIZE, "error resolve %s", gai_strerror(rc));
		return -1;
	}
	for (a = list; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
		if (fd < 0)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
		if (connect(fd, a->ai_addr, a->ai_addrlen)) {
			snprintf(line, KIND_SIZE, "error connect %s", strerror(errno));
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(list);
	return fd;
}

/* Reads more of the answer. Returns false at the end, on an error or when it is full. */
static bool more(int fd, size_t *len)
{
	ssize_t n;

	if (*len >= BUF_SIZE - 1)
		return false;
	n = recv(fd, buf + *len, BUF_SIZE - 1 - *len, 0);
	if (n <= 0)
		return false;
	*len += (size_t)n;
	buf[*len] = '\0';
	return true;
}

static const char *header(const char *head, const char *name)
{
	size_t n = strlen(name);
	const char *p;

	for (p = strstr(head, "\r\n"); p && p[2] != '\r' && p[2]; p = strstr(p + 2, "\r\n"))
		if (!strncasecmp(p + 2, name, n) && p[2 + n] == ':')
			return p + 3 + n + strspn(p + 3 + n, " \t");
	return NULL;
}

/* One exchange on @fd. Writes "STATUS BODYLINE" or "error ..." to @line.
 * Returns 1 if the connection may be used again, 0 if not, -1 if there was no answer. */
static int exchange(int fd, const struct options *o, char *line)
{
	const char *value;
	size_t len = 0, head_len;
	bool chunked, close_after;
	char *end;

	buf[0] = '\0';
	body = buf;
	if (send(fd, o->request, strlen(o->request), MSG_NOSIGNAL) < 0) {
		snprintf(line, KIND_SIZE, "error send %s", strerror(errno));
		return -1;
	}
	while (!(end = strstr(buf, "\r\n\r\n")))
		if (!more(fd, &len)) {
			snprintf(line, KIND_SIZE, "error no answer after %zu bytes", len);
			return -1;
		}
	head_len = (size_t)(end - buf) + 4;
	value = header(buf, "transfer-encoding");
	chunked = value && !strncasecmp(value, "chunked", 7);
	value = header(buf, "connection");
	close_after = value && !strncasecmp(value, "close", 5);
	value = header(buf, "content-length");
	if (chunked) {
		while (!strstr(buf + head_len, "\r\n0\r\n\r\n") &&
		       strncmp(buf + head_len, "0\r\n\r\n", 5))
			if (!more(fd, &len))
				goto truncated;
		body = strstr(buf + head_len, "\r\n") + 2;
	} else if (value) {
		size_t want = head_len + (size_t)strtoul(value, NULL, 10);

		while (len < want)
			if (!more(fd, &len))
				goto truncated;
		body = buf + head_len;
	} else {
		while (more(fd, &len))
			;
		close_after = true;
		body = buf + head_len;
	}
	if (strncmp(buf, "HTTP/1.", 7) || len < 12) {
		snprintf(line, KIND_SIZE, "error not HTTP");
		return -1;
	}
	snprintf(line, KIND_SIZE, "%.3s %.*s", buf + 9, (int)strcspn(body, "\r\n"), body);
	return close_after ? 0 : 1;
truncated:
	snprintf(line, KIND_SIZE, "error truncated body");
	return -1;
}

static void parse_url(struct options *o, const char *url, const char *method, const char *headers)
{
	const char *path, *colon;
	char authority[256];
	int n;

	if (strncmp(url, "http://", 7))
		die("not an http URL: %s", url);
	url += 7;
	path = url + strcspn(url, "/");
	if ((size_t)(path - url) >= sizeof(authority))
		die("host too long");
	snprintf(authority, sizeof(authority), "%.*s", (int)(path - url), url);
	colon = strrchr(authority, ':');
	if (authority[0] == '[') {
		size_t in = strcspn(authority, "]");

		snprintf(o->host, sizeof(o->host), "%.*s", (int)(in ? in - 1 : 0), authority + 1);
		colon = authority[in] && authority[in + 1] == ':' ? authority + in + 1 : NULL;
	} else {
		snprintf(o->host, sizeof(o->host), "%.*s",
			 (int)(colon ? (size_t)(colon - authority) : strlen(authority)), authority);
	}
	snprintf(o->port, sizeof(o->port), "%s", colon ? colon + 1 : "80");
	n = snprintf(o->request, sizeof(o->request), "%s %s HTTP/1.1\r\n%s%s%s%s%s\r\n", method,
		     *path ? path : "/", strcasestr(headers, "host:") ? "" : "Host: ",
		     strcasestr(headers, "host:") ? "" : authority,
		     strcasestr(headers, "host:") ? "" : "\r\n", headers,
		     strcmp(method, "POST") ? "" : "Content-Length: 0\r\n");
	if (n < 0 || (size_t)n >= sizeof(o->request))
		die("request too long");
}

static void parse(struct options *o, int argc, char **argv)
{
	const char *method = "GET";
	char headers[4096] = "";
	int c;

	*o = (struct options){.n = 1, .timeout_ms = 10000, .conns = 1};
	while ((c = getopt(argc, argv, "n:c:1H:m:d:i:t:u:s:bh")) != -1) {
		switch (c) {
		case 'n':
			o->n = atol(optarg);
			break;
		case 'c':
			o->conns = atoi(optarg);
			break;
		case '1':
			o->fresh = true;
			break;
		case 'm':
			method = optarg;
			break;
		case 'd':
			o->seconds = atol(optarg);
			break;
		case 'i':
			o->pause_ms = atol(optarg);
			break;
		case 't':
			o->timeout_ms = atol(optarg);
			break;
		case 'u':
			o->until = optarg;
			break;
		case 'b':
			o->print_body = true;
			break;
		case 's':
			o->stop_file = optarg;
			break;
		case 'H':
			if (strlen(headers) + strlen(optarg) + 3 > sizeof(headers))
				die("too many headers");
			strcat(headers, optarg);
			strcat(headers, "\r\n");
			break;
		default:
			fputs(usage, c == 'h' ? stdout : stderr);
			exit(c == 'h' ? 0 : 2);
		}
	}
	if (optind + 1 != argc || o->conns < 1 || o->conns > MAX_CONNS || o->n < 0 ||
	    (!o->n && !o->seconds && !o->stop_file)) {
		fputs(usage, stderr);
		exit(2);
	}
	parse_url(o, argv[optind], method, headers);
}

int main(int argc, char **argv)
{
	int fds[MAX_CONNS], rc = 0;
	char line[KIND_SIZE];
	struct options o;
	long long end;
	bool found = false;

	parse(&o, argc, argv);
	memset(fds, -1, sizeof(fds));
	end = o.seconds ? now_ms(CLOCK_MONOTONIC) + o.seconds * 1000 : 0;
	for (long i = 0; (!o.n || i < o.n) && (!end || now_ms(CLOCK_MONOTONIC) < end); i++) {
		int *fd = &fds[i % o.conns], got = -1;
		bool reused = *fd >= 0;

		if (o.stop_file && !access(o.stop_file, F_OK))
			break;
		if (reused || (*fd = dial(&o, line)) >= 0)
			got = exchange(*fd, &o, line);
		if (got < 0 && reused &&
		    (strstr(line, "after 0 bytes") || strstr(line, "error send"))) {
			/* the server may have closed it between two requests */
			close(*fd);
			if ((*fd = dial(&o, line)) >= 0)
				got = exchange(*fd, &o, line);
		}
		if ((got < 1 || o.fresh) && *fd >= 0) {
			close(*fd);
			*fd = -1;
		}
		rc |= got < 0;
		count(line);
		if (o.until && !i) {
			puts("waiting");
			fflush(stdout);
		}
		if (o.until && strstr(line, o.until)) {
			printf("at %lld after %ld\n", now_ms(CLOCK_REALTIME), i + 1);
			found = true;
			break;
		}
		if (o.pause_ms)
			usleep((useconds_t)o.pause_ms * 1000);
	}
	if (o.print_body)
		fputs(body, stdout);
	for (size_t i = 0; i < n_kinds && !o.print_body; i++)
		printf("%ld %s\n", kinds[i].count, kinds[i].line);
	return o.until ? !found : rc;
}
