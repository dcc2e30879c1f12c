/* SPDX-License-Identifier: Apache-2.0 */
/* Files with a secret (secret_file.h). Any thread. */
#include "control/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/util.h"
#include "limits/limits.h"

static ssize_t read_whole(int fd, char *bytes, size_t room)
{
	size_t used = 0;

	while (used < room) {
		ssize_t n = read(fd, bytes + used, room - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		used += (size_t)n;
	}
	return (ssize_t)used;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* In place: without white space at its ends. 0 or -EINVAL. */
static int trim(char *text, size_t len, const char *file, struct err_text *err)
{
	size_t from = 0;

	while (len && is_space(text[len - 1]))
		len--;
	while (from < len && is_space(text[from]))
		from++;
	if (from == len)
		return err_set(err, -EINVAL, "%s: empty", file);
	memmove(text, text + from, len - from);
	text[len - from] = 0;
	for (const char *at = text; *at; at++)
		if ((unsigned char)*at <= ' ' || *at == 0x7f)
			return err_set(err, -EINVAL, "%s: holds more than one word", file);
	return strlen(text) == len - from ? 0 : err_set(err, -EINVAL, "%s: no text", file);
}

int secret_file_read(const char *file, char **ret, struct err_text *err)
{
	cleanup_close int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	const size_t room = CREDENTIAL_FILE_BYTES_MAX + 2;
	char *text = fd < 0 ? NULL : calloc(1, room);
	ssize_t len;
	int r;

	if (!text)
		return err_set(err, fd < 0 ? -errno : -ENOMEM, "%s: %s", file, strerror(errno));
	len = read_whole(fd, text, room - 1);
	if (len < 0)
		r = err_set(err, (int)len, "%s: %s", file, strerror((int)-len));
	else if (len > CREDENTIAL_FILE_BYTES_MAX)
		r = err_set(err, -EFBIG, "%s: larger than %d bytes", file,
			    CREDENTIAL_FILE_BYTES_MAX);
	else
		r = trim(text, (size_t)len, file, err);
	if (r == 0) {
		*ret = strdup(text);
		r = *ret ? 0 : err_set(err, -ENOMEM, "out of memory");
	}
	secret_wipe(text, room);
	free(text);
	return r;
}

void secret_file_free(char *secret)
{
	if (secret)
		secret_wipe(secret, strlen(secret));
	free(secret);
}
