/* SPDX-License-Identifier: Apache-2.0 */
/* Digests of files (file_digest.h). No state; what is read (keys, too) is wiped. Any thread. */
#include "pki/file_digest.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/util.h"
#include "limits/limits.h"

static void free_context(EVP_MD_CTX **context)
{
	EVP_MD_CTX_free(*context);
}

static int add_content(EVP_MD_CTX *context, int fd)
{
	uint8_t bytes[8192];
	size_t total = 0;
	ssize_t n;
	int r = 0;

	/* What is larger is refused by whoever reads it in earnest. */
	while (r == 0 && total <= PEM_FILE_BYTES_MAX) {
		n = read(fd, bytes, sizeof(bytes));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			r = n < 0 ? -errno : 0;
			break;
		}
		total += (size_t)n;
		if (!EVP_DigestUpdate(context, bytes, (size_t)n))
			r = -ENOMEM;
	}
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return r;
}

/* 0, -errno if the file is at fault. */
static int add_file(EVP_MD_CTX *context, const char *path)
{
	/* Non-blocking: a FIFO must not hold us. */
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct {
		uint32_t mode, uid, gid;
	} about;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	about.mode = st.st_mode;
	about.uid = st.st_uid;
	about.gid = st.st_gid;
	if (!EVP_DigestUpdate(context, &about, sizeof(about)))
		return -ENOMEM;
	return S_ISREG(st.st_mode) ? add_content(context, fd) : 0;
}

int file_digest(const char *path, uint8_t ret[FILE_DIGEST_BYTES])
{
	__attribute__((cleanup(free_context))) EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned int len;
	int r;

	if (!context || !EVP_DigestInit_ex(context, EVP_sha256(), NULL))
		return -ENOMEM;
	r = add_file(context, path);
	if (r == -EMFILE || r == -ENFILE || r == -ENOMEM)
		return r;
	if (!EVP_DigestUpdate(context, &r, sizeof(r)) || !EVP_DigestFinal_ex(context, ret, &len))
		return -ENOMEM;
	return 0;
}
