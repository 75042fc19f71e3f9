/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over the files of the given directories (missing ones are passed over), so
 * that every finding and every seed is a test wherever the project builds. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int replay_file(const char *path)
{
	struct stat st;
	uint8_t *data;
	FILE *f;
	size_t n;

	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return 0;
	n = (size_t)st.st_size;
	f = fopen(path, "rb");
	data = malloc(n ? n : 1); /* exactly as long, so that a read past the end is seen */
	if (!f || !data || fread(data, 1, n, f) != n) {
		perror(path);
		exit(1);
	}
	fclose(f);
	LLVMFuzzerTestOneInput(data, n);
	free(data);
	return 1;
}

static unsigned replay_dir(const char *path)
{
	struct dirent *e;
	unsigned n = 0;
	DIR *d = opendir(path);

	if (!d)
		return 0;
	while ((e = readdir(d))) {
		char file[4096];

		if (e->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
		n += (unsigned)replay_file(file);
	}
	closedir(d);
	return n;
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	unsigned n = 0;

	for (int i = 1; i < argc; i++)
		n += replay_dir(argv[i]);
	printf("corpus %s: %u inputs\n", name ? name + 1 : argv[0], n);
	return 0;
}
