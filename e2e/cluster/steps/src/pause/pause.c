/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox process of every pod: holds the namespaces, reaps orphans. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void down(int s)
{
	(void)s;
	_exit(0);
}
static void reap(int s)
{
	(void)s;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}
int main(void)
{
	struct sigaction d = {.sa_handler = down},
			 r = {.sa_handler = reap, .sa_flags = SA_NOCLDSTOP};
	if (sigaction(SIGINT, &d, NULL) || sigaction(SIGTERM, &d, NULL) ||
	    sigaction(SIGCHLD, &r, NULL))
		return 1;
	for (;;)
		pause();
}
