/* SPDX-License-Identifier: Apache-2.0 */
/* `make demo`: the mesh on one machine. Starts an operator on a directory of resources, three
 * services each behind its own proxy, a client with its proxy and a traffic source, and shows what
 * the client's proxy measures. Everything lives below one temporary directory and ends with this
 * program. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/num.h"
#include "net/addr.h"

#define CHILDREN_MAX 16
#define ROWS_MAX 32
#define LE_MAX 32

struct row { /* one backend of one rule, as /metrics counts it since the start */
	char rule[96], backend[96];
	double requests, failures;
	double le[LE_MAX];
	double bound[LE_MAX];
	int n_le;
};

struct table {
	struct row rows[ROWS_MAX];
	int n;
};

static struct {
	const char *bin;
	uint64_t seconds;
} opt;

static char dir[64];
static pid_t children[CHILDREN_MAX];
static int n_children;
static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

/* --- children -----------------------------------------------------------------------------------
 */

static void end_children(void)
{
	int i;

	for (i = 0; i < n_children; i++)
		kill(children[i], SIGTERM);
	for (i = 0; i < n_children; i++)
		waitpid(children[i], NULL, 0);
	n_children = 0;
}

static void remove_tree(void)
{
	pid_t pid = dir[0] ? fork() : -1;

	if (pid == 0) {
		execlp("rm", "rm", "-rf", dir, (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static void fail(const char *what)
{
	fprintf(stderr, "demo: %s (logs: %s)\n", what, dir);
	end_children();
	exit(1);
}

static void put_file(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	if (!f || fputs(text, f) < 0 || fclose(f))
		fail(path);
}

static void make_dir(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (mkdir(path, 0755))
		fail(path);
}

/* Starts bin/@argv[0] with its output in NAME.log; it dies with us. */
static void start(const char *name, char *const argv[])
{
	char path[512], log[256];
	pid_t pid;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", opt.bin, argv[0]);
	snprintf(log, sizeof(log), "%s/%s.log", dir, name);
	pid = fork();
	if (pid < 0 || n_children == CHILDREN_MAX)
		fail("cannot start a program");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		setpgid(0,
			0); /* Ctrl-C reaches this program, which then ends the others in order */
		fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		dup2(fd, 1);
		dup2(fd, 2);
		execv(path, argv);
		_exit(127);
	}
	children[n_children++] = pid;
}

/* Ports that nobody listens on, all different. */
static void free_ports(unsigned *ports, int n)
{
	struct sockaddr_storage ss;
	struct sn_addr at;
	int fds[16], i;

	for (i = 0; i < n; i++) {
		socklen_t len;

		sn_addr_parse(SN_SLICE("127.0.0.1:0"), &at);
		len = sn_addr_to_sockaddr(&at, &ss);
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fds[i] < 0 || bind(fds[i], (struct sockaddr *)&ss, len) ||
		    getsockname(fds[i], (struct sockaddr *)&ss, &len))
			fail("no free port");
		sn_addr_from_sockaddr(&ss, &at);
		ports[i] = at.port;
	}
	for (i = 0; i < n; i++)
		close(fds[i]);
}

/* --- asking the proxy ---------------------------------------------------------------------------
 */

/* GET @path; the whole answer in @out. Returns the status, 0 when nobody answers. */
static unsigned get(unsigned port, const char *path, struct sn_buf *out)
{
	struct timeval limit = {.tv_sec = 2};
	struct sockaddr_storage ss;
	struct sn_addr at;
	socklen_t len;
	char text[256];
	ssize_t n = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sn_buf_reset(out);
	sn_addr_parse_ip(SN_SLICE("127.0.0.1"), (uint16_t)port, &at);
	len = sn_addr_to_sockaddr(&at, &ss);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: demo\r\n\r\n", path);
	if (connect(fd, (struct sockaddr *)&ss, len) ||
	    send(fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text)) {
		close(fd);
		return 0;
	}
	while (n > 0 && sn_buf_reserve(out, 65536) == 0) {
		n = recv(fd, out->data + out->end, 65536, 0);
		if (n > 0)
			out->end += (size_t)n;
	}
	close(fd);
	return sn_buf_len(out) > 12 ? (unsigned)strtoul(sn_buf_cstr(out) + 9, NULL, 10) : 0;
}

static void wait_ready(unsigned port, const char *who)
{
	struct timespec nap = {0, 20000000};
	struct sn_buf out;
	int i;

	sn_buf_init(&out, 1u << 20);
	for (i = 0; i < 500 && !stop; i++) {
		if (get(port, "/ready", &out) == 200)
			break;
		nanosleep(&nap, NULL);
	}
	sn_buf_done(&out);
	if (i == 500)
		fail(who);
}

static void label(const char *line, const char *name, char *dst, size_t cap)
{
	char key[64];
	const char *p, *end;

	snprintf(key, sizeof(key), "%s=\"", name);
	p = strstr(line, key);
	end = p ? strchr(p + strlen(key), '"') : NULL;
	dst[0] = 0;
	if (end)
		sn_slice_copy(sn_slice(p + strlen(key), (size_t)(end - p) - strlen(key)), dst, cap);
}

static struct row *row_of(struct table *t, const char *line)
{
	char rule[96], backend[96];
	int i;

	label(line, "rule_name", rule, sizeof(rule));
	label(line, "backend_name", backend, sizeof(backend));
	for (i = 0; i < t->n; i++)
		if (strcmp(t->rows[i].rule, rule) == 0 && strcmp(t->rows[i].backend, backend) == 0)
			return &t->rows[i];
	if (t->n == ROWS_MAX)
		return NULL;
	memset(&t->rows[t->n], 0, sizeof(t->rows[0]));
	memcpy(t->rows[t->n].rule, rule, sizeof(rule));
	memcpy(t->rows[t->n].backend, backend, sizeof(backend));
	return &t->rows[t->n++];
}

static void read_line(struct table *t, char *line)
{
	char *value = strrchr(line, ' ');
	char le[24];
	struct row *r;

	if (!value || line[0] == '#' || !strstr(line, "route_name=\"web\""))
		return;
	r = row_of(t, line);
	if (!r)
		return;
	if (strncmp(line, "request_total", 13) == 0) {
		r->requests += strtod(value, NULL);
	} else if (strncmp(line, "response_total", 14) == 0) {
		if (strstr(line, "classification=\"failure\""))
			r->failures += strtod(value, NULL);
	} else if (strncmp(line, "response_latency_ms_bucket", 26) == 0 && r->n_le < LE_MAX) {
		label(line, "le", le, sizeof(le));
		r->bound[r->n_le] = strcmp(le, "+Inf") == 0 ? 1e9 : strtod(le, NULL);
		r->le[r->n_le++] = strtod(value, NULL);
	}
}

static void read_metrics(unsigned port, struct table *t)
{
	struct sn_buf out;
	char *line, *save = NULL;

	t->n = 0;
	sn_buf_init(&out, 8u << 20);
	if (get(port, "/metrics", &out) == 200)
		for (line = strtok_r((char *)sn_buf_cstr(&out), "\n", &save); line;
		     line = strtok_r(NULL, "\n", &save))
			read_line(t, line);
	sn_buf_done(&out);
}

/* --- the picture --------------------------------------------------------------------------------
 */

/* Bound of the bucket that holds the given share of what came between @old and @new. */
static double percentile(const struct row *old, const struct row *new, double share)
{
	double total, want;
	int i;

	if (new->n_le == 0)
		return 0;
	total = new->le[new->n_le - 1] - (old ? old->le[new->n_le - 1] : 0);
	want = total * share;
	for (i = 0; i < new->n_le; i++)
		if (new->le[i] - (old ? old->le[i] : 0) >= want)
			return new->bound[i];
	return 0;
}

static const struct row *same_row(const struct table *t, const struct row *r)
{
	int i;

	for (i = 0; i < t->n; i++)
		if (strcmp(t->rows[i].rule, r->rule) == 0 &&
		    strcmp(t->rows[i].backend, r->backend) == 0)
			return &t->rows[i];
	return NULL;
}

static double rate_of(const struct table *old, const struct row *r)
{
	const struct row *o = same_row(old, r);

	return r->requests - (o ? o->requests : 0);
}

static void draw(const struct table *old, const struct table *new, double seconds)
{
	int i, k;

	printf("%-10s %-14s %8s %9s %8s %8s %7s\n", "RULE", "BACKEND", "REQ/S", "SUCCESS", "P50 ms",
	       "P99 ms", "SPLIT");
	for (i = 0; i < new->n; i++) {
		const struct row *r = &new->rows[i], *o = same_row(old, r);
		double n = rate_of(old, r), bad = r->failures - (o ? o->failures : 0), all = 0;

		for (k = 0; k < new->n; k++)
			if (strcmp(new->rows[k].rule, r->rule) == 0)
				all += rate_of(old, &new->rows[k]);
		if (n == 0)
			continue;
		printf("%-10s %-14s %8.1f %8.1f%% %7s%.0f %7s%.0f %6.0f%%\n", r->rule, r->backend,
		       n / seconds, 100 * (n - bad) / n, "<=", percentile(o, r, 0.5),
		       "<=", percentile(o, r, 0.99), 100 * n / all);
	}
}

static void help(unsigned client, unsigned admin)
{
	printf("\nresources  %s/resources   (the operator watches this directory)\n", dir);
	printf("try        edit route.yaml there: change the weights 90 and 10, save, watch "
	       "SPLIT\n");
	printf("           curl -H 'Host: web' http://127.0.0.1:%u/        a request through the "
	       "mesh\n",
	       client);
	printf("           curl http://127.0.0.1:%u/metrics                what the proxy counts\n",
	       admin);
	printf("end        Ctrl-C\n\n");
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void show(unsigned client, unsigned admin)
{
	static struct table first, last, now;
	bool tty = isatty(1);
	double begun = now_s(), at = begun;
	struct timespec nap = {1, 0};

	read_metrics(admin, &first);
	last = first;
	if (!tty)
		help(client, admin);
	while (!stop && (opt.seconds == 0 || now_s() - begun < (double)opt.seconds)) {
		nanosleep(&nap, NULL); /* a signal ends it early */
		read_metrics(admin, &now);
		if (tty) {
			printf("\033[H\033[J\033[1mSennit\033[0m: client -> proxy -> {web, web-v2, "
			       "books}, each behind its own proxy\n");
			help(client, admin);
		}
		draw(&last, &now, now_s() - at);
		fflush(stdout);
		at = now_s();
		last = now;
	}
	printf("\nsummary of %.0f s:\n", now_s() - begun);
	draw(&first, &last, now_s() - begun);
}

/* --- the mesh -----------------------------------------------------------------------------------
 */

static void start_service(const char *name, unsigned app, unsigned inbound, unsigned admin,
			  const char *delay)
{
	char text[1024], file[64], path[256], listen_at[64];
	char *sample[] = {"support/sample", "--listen",	  listen_at,	 "--name",
			  (char *)name,	    "--delay-ms", (char *)delay, NULL};
	char *proxy[] = {"sennit-proxy", "--config", path, "--state-dir", dir, NULL};

	snprintf(listen_at, sizeof(listen_at), "127.0.0.1:%u", app);
	start(name, sample);
	snprintf(text, sizeof(text),
		 "version: 1\nadmin: {address: \"127.0.0.1:%u\"}\ndrain: {propagation: "
		 "0s}\nlisteners:\n"
		 "- {name: inbound, address: \"127.0.0.1:%u\", direction: inbound, service: self}\n"
		 "services:\n- {name: self, endpoints: {static: [{address: \"127.0.0.1:%u\"}]}}\n",
		 admin, inbound, app);
	snprintf(file, sizeof(file), "proxy-%s.yaml", name);
	put_file(file, text);
	snprintf(path, sizeof(path), "%s/%s", dir, file);
	snprintf(file, sizeof(file), "proxy-%s", name);
	start(file, proxy);
}

static void put_resources(const unsigned inbound[3])
{
	static const char *const names[] = {"web", "web-v2", "books"};
	char text[2048];
	size_t n = 0;
	int i;

	for (i = 0; i < 3; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
				      "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: %s\n "
				      " namespace: demo\n"
				      "  annotations: {sennit.dev/endpoints: \"127.0.0.1:%u\"}\n"
				      "spec: {ports: [{port: 80, appProtocol: http}]}\n",
				      names[i], inbound[i]);
	put_file("resources/services.yaml", text);
	put_file("resources/route.yaml",
		 "# Save this file and the client's proxy follows within a second.\n"
		 "apiVersion: sennit.dev/v1alpha1\nkind: MeshRoute\nmetadata: {name: web, "
		 "namespace: demo}\nspec:\n"
		 "  parentRefs: [{kind: Service, name: web}]\n  rules:\n"
		 "  - name: books\n    matches: [{path: {type: PathPrefix, value: /books}}]\n"
		 "    backendRefs: [{name: books, port: 80}]\n"
		 "  - name: split\n    backendRefs:\n    - {name: web, port: 80, weight: 90}\n"
		 "    - {name: web-v2, port: 80, weight: 10}\n");
}

static void start_client(unsigned listen_port, unsigned admin)
{
	char text[512], path[256], from[300], to[300];
	char *proxy[] = {"sennit-proxy", "--config", path, "--state-dir", dir, NULL};
	int i;

	make_dir("client");
	snprintf(text, sizeof(text),
		 "version: 1\nadmin: {address: \"127.0.0.1:%u\"}\ndrain: {propagation: "
		 "0s}\nlisteners:\n"
		 "- {name: outbound, address: \"127.0.0.1:%u\", direction: outbound}\n",
		 admin, listen_port);
	put_file("client/00-pod.yaml", text);
	for (i = 0; i < 8; i++) {
		snprintf(from, sizeof(from), "%s/routes/demo/routes-%d.yaml", dir, i);
		snprintf(to, sizeof(to), "%s/client/routes-%d.yaml", dir, i);
		if (symlink(from, to))
			fail(to);
	}
	snprintf(path, sizeof(path), "%s/client", dir);
	start("proxy-client", proxy);
}

static void start_traffic(const char *name, unsigned port, const char *path, const char *rate)
{
	char target[64];
	char *argv[] = {"support/traffic", "--target",	 target,   "--host",	 "web",
			"--path",	   (char *)path, "--rate", (char *)rate, NULL};

	snprintf(target, sizeof(target), "127.0.0.1:%u", port);
	start(name, argv);
}

static void wait_for_file(const char *name)
{
	struct timespec nap = {0, 20000000};
	char path[256];
	struct stat st;
	int i;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	for (i = 0; i < 500 && stat(path, &st) && !stop; i++)
		nanosleep(&nap, NULL);
	if (i == 500)
		fail("the operator wrote no routes");
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'b':
		opt.bin = arg;
		break;
	case 's':
		if (sn_num_u64(sn_slice_cstr(arg), 86400, &opt.seconds) || opt.seconds == 0)
			argp_error(state, "--seconds: 1 to 86400");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{"bin", 'b', "DIR", 0, "where the programs are", 0},
		{"seconds", 's', "N", 0, "end after so long (until Ctrl-C)", 0},
		{0}};
	static const struct argp argp = {options, parse_option, NULL, "The mesh on one machine.",
					 NULL,	  NULL,		NULL};
	char source[128], routes[128];
	char *operator[] = {"sennit-operator", "--source", source, "--routes-out", routes, NULL};
	struct sigaction sa = {.sa_handler = on_signal};
	unsigned p[12];

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &opt);
	if (!opt.bin)
		return 2;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	snprintf(dir, sizeof(dir), "/tmp/sennit-demo-XXXXXX");
	if (!mkdtemp(dir)) {
		fprintf(stderr, "demo: cannot make a directory below /tmp: %s\n", strerror(errno));
		return 1;
	}
	free_ports(p, 12);
	make_dir("resources");
	make_dir("routes");
	start_service("web", p[0], p[1], p[2], "2~1");
	start_service("web-v2", p[3], p[4], p[5], "4~2");
	start_service("books", p[6], p[7], p[8], "8~4");
	put_resources((unsigned[]){p[1], p[4], p[7]});
	snprintf(source, sizeof(source), "dir:%s/resources", dir);
	snprintf(routes, sizeof(routes), "%s/routes", dir);
	start("operator", operator);
	wait_for_file("routes/demo/routes-0.yaml");
	start_client(p[9], p[10]);
	wait_ready(p[2], "web's proxy did not become ready");
	wait_ready(p[5], "web-v2's proxy did not become ready");
	wait_ready(p[8], "books' proxy did not become ready");
	wait_ready(p[10], "the client's proxy did not become ready");
	start_traffic("traffic-web", p[9], "/", "40");
	start_traffic("traffic-books", p[9], "/books/1", "10");
	show(p[9], p[10]);
	end_children();
	remove_tree();
	return 0;
}
