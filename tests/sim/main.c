/* SPDX-License-Identifier: Apache-2.0 */
/* sim [-s SEED] [-d DIR] [NAME...]: runs scenarios, each in a process of its own, as
 * many at a time as there are processors, and prints what they say in their order. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/scenario.h"

static const struct sim_scenario *const all[] = {
	&sim_slow,	&sim_erring, &sim_rolling, &sim_failing,   &sim_crowd,
	&sim_slowstart, &sim_zone,   &sim_chain,   &sim_reconnect,
};
#define N_ALL (sizeof(all) / sizeof(all[0]))

struct child {
	const struct sim_scenario *s;
	FILE *out;
	pid_t pid;
	int status;
};

static void start(struct child *c, const struct sim_context *ctx)
{
	struct timespec a, b;
	bool ok;

	c->out = tmpfile();
	fflush(stdout);
	c->pid = c->out ? fork() : -1;
	if (c->pid < 0) {
		perror("sim");
		exit(2);
	}
	if (c->pid)
		return;
	dup2(fileno(c->out), 1);
	printf("%s: %s\n", c->s->name, c->s->what);
	clock_gettime(CLOCK_MONOTONIC, &a);
	ok = c->s->run(ctx);
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf(", %.1f s\n\n",
	       (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9);
	fflush(stdout);
	_exit(!ok);
}

static void wait_one(struct child *children, size_t n)
{
	int status;
	pid_t pid = wait(&status);
	size_t i;

	for (i = 0; i < n; i++)
		if (children[i].pid == pid) {
			children[i].pid = 0;
			children[i].status = status;
		}
}

static void print(FILE *f)
{
	char text[4096];
	size_t n;

	rewind(f);
	while ((n = fread(text, 1, sizeof(text), f)) > 0)
		fwrite(text, 1, n, stdout);
	fclose(f);
}

static int run(struct child *children, size_t n, const struct sim_context *ctx)
{
	long width = sysconf(_SC_NPROCESSORS_ONLN);
	size_t i, running = 0, missed = 0;

	for (i = 0; i < n; i++) {
		if (running == (size_t)(width > 0 ? width : 1)) {
			wait_one(children, n);
			running--;
		}
		start(&children[i], ctx);
		running++;
	}
	for (; running; running--)
		wait_one(children, n);
	for (i = 0; i < n; i++) {
		print(children[i].out);
		if (children[i].status) {
			missed++;
			printf("%s: MISSED\n\n", children[i].s->name);
		}
	}
	printf("sim: seed %llu, %zu scenarios, %zu missed their bounds\n",
	       (unsigned long long)ctx->seed, n, missed);
	return missed ? 1 : 0;
}

static bool is_asked_for(const char *name, char **names, int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return n == 0;
}

int main(int argc, char **argv)
{
	struct sim_context ctx = {.seed = 1};
	struct child children[N_ALL] = {0};
	size_t i, n = 0;
	int opt;

	while ((opt = getopt(argc, argv, "s:d:")) != -1) {
		if (opt == 's') {
			ctx.seed = strtoull(optarg, NULL, 10);
		} else if (opt == 'd') {
			ctx.dir = optarg;
		} else {
			fprintf(stderr, "usage: sim [-s SEED] [-d DIR] [NAME...]\n");
			return 2;
		}
	}
	for (i = 0; i < N_ALL; i++)
		if (is_asked_for(all[i]->name, argv + optind, argc - optind))
			children[n++].s = all[i];
	return run(children, n, &ctx);
}
