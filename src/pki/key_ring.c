/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys on disk (key_ring.h). All private keys are in one file, each behind a line that says when it
 * was made and from when on it signs, so that one rename changes everything or nothing; the public
 * file is made of it, and is written first where a key is added: who verifies knows a key before
 * anybody has it. Files are changed under the folder's lock, after they have been read again.
 */
#include "pki/key_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/pem.h>

#include "base/secret.h"
#include "base/util.h"
#include "pki/key.h"
#include "pki/store.h"

#define KEYS_FILE	"signing-keys.pem"
#define PUBLIC_FILE	"jwks.json"
#define ORDER_FILE	"rotate"
#define PATH_BYTES	4400
#define FILE_BYTES_MAX	((size_t)TOKEN_KEYS_MAX * 4096)
#define HEADER		"key created "
#define HEADER_USE_FROM " signs-from "

/* Whether a file is the one that was read. */
struct file_state {
	dev_t dev;
	ino_t ino;
	off_t size;
	int64_t mtime_ns;
};

struct key_ring {
	struct key_ring_params params;
	struct token_key *keys[TOKEN_KEYS_MAX]; /* by the time from which on they sign */
	size_t count;
	struct file_state seen;
};

static void drop_keys(struct key_ring *ring)
{
	for (size_t i = 0; i < ring->count; i++)
		token_key_unref(ring->keys[i]);
	ring->count = 0;
}

/* --- the file of private keys --- */

static int bad_file(const struct key_ring *ring, struct err_text *err, const char *why)
{
	return err_set(err, -EINVAL,
		       "%s/" KEYS_FILE ": %s: put back a copy, or move it away and a new key "
		       "is made",
		       ring->params.dir, why);
}

/* "key created N signs-from N"; 0 or -EINVAL. */
static int read_header(const char *line, int64_t *ret_created, int64_t *ret_use_from)
{
	char *end;

	if (strncmp(line, HEADER, strlen(HEADER)) != 0)
		return -EINVAL;
	*ret_created = strtoll(line + strlen(HEADER), &end, 10);
	if (strncmp(end, HEADER_USE_FROM, strlen(HEADER_USE_FROM)) != 0)
		return -EINVAL;
	*ret_use_from = strtoll(end + strlen(HEADER_USE_FROM), &end, 10);
	return *end == '\n' && *ret_created >= 0 && *ret_use_from >= 0 ? 0 : -EINVAL;
}

/* One key with its line, from `*at` on, which moves behind it. */
static int read_key(const char **at, struct token_key **ret, struct err_text *err)
{
	static const char last_line[] = "-----END PRIVATE KEY-----\n";
	const char *end = strstr(*at, last_line);
	int64_t created, use_from;
	EVP_PKEY *pkey;
	BIO *bio;
	int r;

	if (!end || read_header(*at, &created, &use_from) < 0)
		return err_set(err, -EINVAL, "a key's line is missing or wrong");
	end += strlen(last_line);
	bio = BIO_new_mem_buf(*at, (int)(end - *at));
	pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
	BIO_free(bio);
	if (!pkey)
		return pki_openssl_error(err, -EINVAL, "a key can not be read");
	r = token_key_of(pkey, ret, err);
	if (r < 0) {
		EVP_PKEY_free(pkey);
		return r;
	}
	(*ret)->created = created;
	(*ret)->use_from = use_from;
	*at = end;
	return 0;
}

static int read_keys(struct key_ring *ring, const char *text, struct err_text *err)
{
	struct err_text why;
	int r = 0;

	while (*text && r == 0) {
		if (ring->count == TOKEN_KEYS_MAX)
			return bad_file(ring, err, "too many keys");
		r = read_key(&text, &ring->keys[ring->count], &why);
		ring->count += r == 0;
	}
	if (r < 0)
		return bad_file(ring, err, why.text);
	return ring->count ? 0 : bad_file(ring, err, "no key is in it");
}

static struct file_state state_of(const struct stat *st)
{
	return (struct file_state){ .dev = st->st_dev,
				    .ino = st->st_ino,
				    .size = st->st_size,
				    .mtime_ns = st->st_mtim.tv_sec * (int64_t)NSEC_PER_SEC +
						st->st_mtim.tv_nsec };
}

static ssize_t read_all(int fd, char *into, size_t room)
{
	size_t have = 0;

	while (have < room) {
		ssize_t n = read(fd, into + have, room - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

/* What the file says, instead of what is in memory, which stays if it can not be read. -ENOENT:
 * there is none. */
static int load(struct key_ring *ring, int dir_fd, struct err_text *err)
{
	struct key_ring fresh = { .params = ring->params };
	cleanup_close int fd = openat(dir_fd, KEYS_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	cleanup_free char *text = malloc(FILE_BYTES_MAX + 1);
	struct stat st;
	ssize_t n;
	int r;

	if (!text)
		return err_set(err, -ENOMEM, "out of memory");
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "can not open %s/" KEYS_FILE ": %s", ring->params.dir,
			       strerror(errno));
	if (st.st_mode & 077)
		return bad_file(ring, err, "others than its owner may read it (chmod 600)");
	n = read_all(fd, text, FILE_BYTES_MAX);
	if (n < 0)
		return err_set(err, (int)n, "can not read %s/" KEYS_FILE ": %s", ring->params.dir,
			       strerror((int)-n));
	text[n] = 0;
	r = read_keys(&fresh, text, err);
	secret_wipe(text, (size_t)n);
	if (r < 0) {
		drop_keys(&fresh);
		return r;
	}
	drop_keys(ring);
	memcpy(ring->keys, fresh.keys, sizeof(ring->keys));
	ring->count = fresh.count;
	ring->seen = state_of(&st);
	return 0;
}

/* All private keys as they are written; a memory BIO that is wiped when freed. NULL: OpenSSL fails.
 */
static BIO *private_text(const struct key_ring *ring)
{
	BIO *out = BIO_new(BIO_s_secmem());

	for (size_t i = 0; out && i < ring->count; i++) {
		const struct token_key *key = ring->keys[i];

		if (BIO_printf(out, HEADER "%" PRId64 HEADER_USE_FROM "%" PRId64 "\n", key->created,
			       key->use_from) > 0 &&
		    PEM_write_bio_PKCS8PrivateKey(out, key->pkey, NULL, NULL, 0, NULL, NULL) == 1)
			continue;
		BIO_free(out);
		out = NULL;
	}
	return out;
}

static char *public_text(const struct key_ring *ring)
{
	struct jwk keys[TOKEN_KEYS_MAX];

	for (size_t i = 0; i < ring->count; i++)
		keys[i] = ring->keys[i]->jwk;
	return jwks_text(keys, ring->count);
}

static void note_file(struct key_ring *ring, int dir_fd)
{
	struct stat st;

	if (fstatat(dir_fd, KEYS_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0)
		ring->seen = state_of(&st);
}

/* Both files, or only the public one. Modes are what they are said to be, whatever the umask. */
static int save(struct key_ring *ring, struct store *store, bool private_too, struct err_text *err)
{
	cleanup_free char *public = public_text(ring);
	BIO *private = private_text(ring);
	struct store_file files[2];
	mode_t umask_before;
	char *bytes;
	long n;
	int r;

	if (!public || !private) {
		BIO_free(private);
		return pki_openssl_error(err, -ENOMEM, "writing signing keys");
	}
	n = BIO_get_mem_data(private, &bytes);
	files[0] =
		(struct store_file){ PUBLIC_FILE, ring->params.jwks_mode, public, strlen(public) };
	files[1] = (struct store_file){ KEYS_FILE, 0600, bytes, (size_t)n };
	umask_before = umask(0);
	r = store_write(store, files, private_too ? 2 : 1, true, err);
	umask(umask_before);
	BIO_free(private);
	if (r == 0)
		note_file(ring, store->fd);
	return r;
}

/* Whether the public file says what it should, and may be read by whom it should. */
static bool is_published(const struct key_ring *ring, int dir_fd)
{
	cleanup_free char *want = public_text(ring), *have = NULL;
	cleanup_close int fd = openat(dir_fd, PUBLIC_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	size_t len = want ? strlen(want) : 0;

	if (!want || fd < 0 || fstat(fd, &st) < 0 || (size_t)st.st_size != len ||
	    (st.st_mode & 0777) != ring->params.jwks_mode)
		return false;
	have = malloc(len + 1);
	return have && read_all(fd, have, len) == (ssize_t)len && memcmp(have, want, len) == 0;
}

/* --- what is due --- */

static size_t current_index(const struct key_ring *ring, int64_t now)
{
	size_t at = 0;

	for (size_t i = 1; i < ring->count; i++)
		if (ring->keys[i]->use_from <= now)
			at = i;
	return at;
}

struct token_key *key_ring_current(const struct key_ring *ring, int64_t now)
{
	return ring->keys[current_index(ring, now)];
}

size_t key_ring_count(const struct key_ring *ring)
{
	return ring->count;
}

static bool wants_new_key(const struct key_ring *ring, int64_t now, bool ordered)
{
	const struct token_key *newest;

	if (!ring->count)
		return true;
	newest = ring->keys[ring->count - 1];
	if (newest->use_from > now)
		return false; /* one is on its way */
	return ordered || newest->jwk.algorithm != ring->params.algorithm ||
	       (ring->params.rotate_every_s &&
		now - newest->use_from >= ring->params.rotate_every_s);
}

/* The oldest, which its successor has replaced for long enough. */
static bool has_old_key(const struct key_ring *ring, int64_t now)
{
	return ring->count > 1 && ring->keys[1]->use_from <= now &&
	       now - ring->keys[1]->use_from >= ring->params.overlap_s;
}

static int add_key(struct key_ring *ring, int64_t now, struct err_text *err)
{
	struct token_key *key;
	int r;

	if (ring->count == TOKEN_KEYS_MAX)
		return err_set(err, -EMFILE, "%s has %d keys already", ring->params.dir,
			       TOKEN_KEYS_MAX);
	r = token_key_new(ring->params.algorithm, &key, err);
	if (r < 0)
		return r;
	key->created = now;
	key->use_from = ring->count ? now + ring->params.overlap_s : now;
	ring->keys[ring->count++] = key;
	return 0;
}

static void remove_oldest(struct key_ring *ring)
{
	token_key_unref(ring->keys[0]);
	ring->count--;
	memmove(ring->keys, ring->keys + 1, ring->count * sizeof(ring->keys[0]));
}

/* Under the lock; the files have been read. */
static int update(struct key_ring *ring, struct store *store, int64_t now,
		  struct key_ring_news *news, struct err_text *err)
{
	bool ordered = store_has(store, ORDER_FILE);
	int r = 0;

	while (has_old_key(ring, now)) {
		remove_oldest(ring);
		news->removed = true;
	}
	if (wants_new_key(ring, now, ordered)) {
		r = add_key(ring, now, err);
		news->made = r == 0;
	}
	if (r == 0 && (news->removed || news->made || !is_published(ring, store->fd)))
		r = save(ring, store, news->removed || news->made, err);
	if (r == 0 && ordered)
		unlinkat(store->fd, ORDER_FILE, 0);
	if (r == 0)
		return 0;
	/* What could not be written is not used: the file is read again, and it is tried again. */
	if (news->made)
		token_key_unref(ring->keys[--ring->count]);
	ring->seen = (struct file_state){ 0 };
	return r;
}

static int locked_turn(struct key_ring *ring, bool first, int64_t now,
		       struct key_ring_news *ret_news, struct err_text *err)
{
	struct key_ring_news news = { .reread = true };
	struct store store = { .fd = -1 };
	int r = store_open(&store, ring->params.dir, false, err);

	if (r < 0)
		return r;
	r = load(ring, store.fd, err);
	/* Only at the start: who takes the file away under us may have meant something else. */
	if (r == 0 || (r == -ENOENT && first))
		r = update(ring, &store, now, &news, err);
	store_close(&store);
	if (r == 0)
		*ret_news = news;
	return r;
}

int key_ring_open(const struct key_ring_params *params, int64_t now, struct key_ring **ret,
		  struct err_text *err)
{
	struct key_ring *ring = calloc(1, sizeof(*ring));
	struct key_ring_news news;
	int r;

	if (!ring)
		return err_set(err, -ENOMEM, "out of memory");
	ring->params = *params;
	r = locked_turn(ring, true, now, &news, err);
	if (r < 0) {
		key_ring_free(ring);
		return r;
	}
	*ret = ring;
	return 0;
}

void key_ring_free(struct key_ring *ring)
{
	if (!ring)
		return;
	drop_keys(ring);
	free(ring);
}

static bool file_is_there(const struct key_ring *ring, const char *name, struct stat *ret)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s/%s", ring->params.dir, name);
	return lstat(path, ret) == 0;
}

int key_ring_turn(struct key_ring *ring, int64_t now, struct key_ring_news *ret_news,
		  struct err_text *err)
{
	struct file_state state = { 0 };
	struct stat st;

	*ret_news = (struct key_ring_news){ 0 };
	if (file_is_there(ring, KEYS_FILE, &st))
		state = state_of(&st);
	if (memcmp(&state, &ring->seen, sizeof(state)) == 0 && !has_old_key(ring, now) &&
	    !wants_new_key(ring, now, false) && !file_is_there(ring, ORDER_FILE, &st))
		return 0;
	return locked_turn(ring, false, now, ret_news, err);
}
