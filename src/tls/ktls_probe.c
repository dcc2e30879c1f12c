/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this kernel's TLS can do, found out by doing it: a loopback pair for every version and
 * cipher, keys into both ends, a few bytes each way, new keys, bytes again. A kernel version says
 * little (modules may be missing, distributions port features back), so it is not asked. Runs once
 * at start, on the caller's thread; leaves nothing behind.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "tls/ktls.h"
#include "tls/ktls_impl.h"

#define INTERRUPTIONS_MAX 100

/* Four bytes there; what arrives must be what was sent. */
static int say(int from, int to, const char *word)
{
	char got[8];
	ssize_t n;

	n = send(from, word, strlen(word), MSG_NOSIGNAL);
	if (n != (ssize_t)strlen(word))
		return n < 0 ? -errno : -EINTR;
	n = recv(to, got, sizeof(got), 0);
	if (n < 0)
		return -errno;
	return (size_t)n == strlen(word) && !memcmp(got, word, (size_t)n) ? 0 : -EBADMSG;
}

static int set_keys(const struct ktls_pair *p, uint16_t version, enum tls_cipher cipher,
		    uint8_t seed, uint64_t sequence)
{
	struct traffic_keys there, back;
	struct ktls_key there_key = { version, (uint8_t)cipher, &there, sequence };
	struct ktls_key back_key = { version, (uint8_t)cipher, &back, sequence };
	int r;

	memset(&there, seed, sizeof(there));
	memset(&back, seed + 1, sizeof(back));
	r = ktls_set_key(p->b, false, &there_key);
	if (!r)
		r = ktls_set_key(p->a, true, &there_key);
	if (!r)
		r = ktls_set_key(p->a, false, &back_key);
	if (!r)
		r = ktls_set_key(p->b, true, &back_key);
	return r;
}

static int talk(const struct ktls_pair *p)
{
	int r = say(p->a, p->b, "ping");

	return r ? r : say(p->b, p->a, "pong");
}

/* What this kernel can do beyond sending and receiving with a cipher, in TLS 1.3. */
struct extras {
	bool rekey, unpadded;
};

static int try_cipher_once(uint16_t version, enum tls_cipher cipher, struct extras *ret)
{
	cleanup_ktls_pair struct ktls_pair p = KTLS_PAIR_NONE;
	int r = ktls_pair_init(&p);

	if (!r)
		r = ktls_attach(p.a);
	if (!r)
		r = ktls_attach(p.b);
	if (!r)
		r = set_keys(&p, version, cipher, 1, version == TLS_VERSION_1_2);
	if (!r)
		r = talk(&p);
	if (r || version != TLS_VERSION_1_3)
		return r;
	ret->unpadded = ktls_expect_unpadded(p.b) == 0;
	r = set_keys(&p, version, cipher, 3, 0);
	if (!r)
		r = talk(&p);
	ret->rekey = !r;
	return r == -EINTR ? r : 0;
}

/*
 * 0 or the errno of the first thing that failed; *ret only for TLS 1.3. What is interrupted
 * says nothing about the kernel: signals do it, and a ring that this thread has just closed (its
 * task work interrupts a receive with a timeout, which the kernel does not restart).
 */
static int try_cipher(uint16_t version, enum tls_cipher cipher, struct extras *ret)
{
	int r = -EINTR;

	for (int i = 0; r == -EINTR && i < INTERRUPTIONS_MAX; i++)
		r = try_cipher_once(version, cipher, ret);
	return r;
}

static void say_why(struct ktls_support *s, const char *text, const char *detail)
{
	size_t used = strlen(s->why);

	snprintf(s->why + used, sizeof(s->why) - used, "%s%s%s", used ? "; " : "", text, detail);
}

static void explain_ulp(struct ktls_support *s, int r)
{
	if (r == -ENOENT)
		say_why(s,
			"kernel TLS is not there: modprobe tls (as root; a kernel without "
			"CONFIG_TLS has none)",
			"");
	else
		say_why(s, "kernel TLS can not be tried: ", strerror(-r));
}

static void explain_cipher(struct ktls_support *s, enum tls_cipher cipher, int r)
{
	bool chacha = cipher == TLS_CIPHER_CHACHA20_POLY1305_SHA256;

	if (r == -ENOENT)
		say_why(s,
			chacha ? "no ChaCha20-Poly1305: modprobe chacha20poly1305"
			       : "no AES-GCM: modprobe gcm aesni_intel",
			"");
	else
		say_why(s, chacha ? "no ChaCha20-Poly1305: " : "no AES-GCM: ", strerror(-r));
}

static int try_ulp_once(void)
{
	cleanup_ktls_pair struct ktls_pair p = KTLS_PAIR_NONE;
	int r = ktls_pair_init(&p);

	return r ? r : ktls_attach(p.a);
}

static int try_ulp(void)
{
	int r = -EINTR;

	for (int i = 0; r == -EINTR && i < INTERRUPTIONS_MAX; i++)
		r = try_ulp_once();
	return r;
}

void ktls_probe(struct ktls_support *ret)
{
	struct ktls_support s = { 0 };
	bool rekey = true, unpadded = true, any = false;
	int r = try_ulp();

	s.ulp = !r;
	if (r)
		explain_ulp(&s, r);
	for (int c = 0; s.ulp && c < TLS_CIPHER_COUNT; c++) {
		struct extras extras = { 0 };

		r = try_cipher(TLS_VERSION_1_3, c, &extras);
		s.cipher13[c] = !r;
		/* The two sizes of AES-GCM are one module. */
		if (r && c != TLS_CIPHER_AES_256_GCM_SHA384)
			explain_cipher(&s, c, r);
		s.cipher12[c] = !try_cipher(TLS_VERSION_1_2, c, &extras);
		any = any || !r;
		rekey = rekey && (r || extras.rekey);
		unpadded = unpadded && (r || extras.unpadded);
	}
	s.rekey = any && rekey;
	s.unpadded = any && unpadded;
	if (any && !s.rekey)
		say_why(&s, "no new keys for a live connection: Linux 6.14 or later", "");
	*ret = s;
}
