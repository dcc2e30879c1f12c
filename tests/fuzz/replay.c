/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives every file on the command line, and every file of the folders there, to a fuzz target,
 * once: what was found stays found. Fails if there is none.
 */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void replay_file(const char *path)
{
	uint8_t *bytes = NULL;
	size_t used = 0, room = 0;
	FILE *in = fopen(path, "re");

	if (!in) {
		perror(path);
		exit(1);
	}
	for (size_t n = 1; n; used += n) {
		if (room - used < 4096) {
			room = room * 2 + 8192;
			bytes = realloc(bytes, room);
			if (!bytes)
				abort();
		}
		n = fread(bytes + used, 1, room - used, in);
	}
	fclose(in);
	/* Of its exact size, so that a sanitizer sees a read beyond the end. */
	bytes = realloc(bytes, used ? used : 1);
	LLVMFuzzerTestOneInput(bytes, used);
	free(bytes);
}

static size_t replay(const char *name)
{
	DIR *dir = opendir(name);
	struct dirent *entry;
	char path[4096];
	size_t count = 0;

	if (!dir) {
		replay_file(name);
		return 1;
	}
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", name, entry->d_name);
		puts(path); /* the last one is the culprit, should it end here */
		fflush(stdout);
		replay_file(path);
		count++;
	}
	closedir(dir);
	return count;
}

int main(int argc, char **argv)
{
	size_t count = 0;

	for (int i = 1; i < argc; i++)
		count += replay(argv[i]);
	printf("%zu inputs\n", count);
	return count == 0;
}
