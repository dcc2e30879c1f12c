/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An identity out of any certificate (DER): what is taken is clean text within its limits, the
 * strict look and the lenient one agree where both succeed, and no rule matches an empty name.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "base/utf8.h"
#include "limits/limits.h"
#include "tls/peer_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool truth)
{
	if (!truth)
		abort();
}

static void check_text(const char *text, bool strict)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t len = strlen(text);

	must(len <= PEER_NAME_BYTES_MAX);
	while (len) {
		size_t n = utf8_sequence(s, len);

		must(*s >= 0x20 && *s != 0x7f);
		/* Lenient text may be cut within a character. */
		must(n || !strict);
		n = n ? n : 1;
		s += n;
		len -= n;
	}
}

static size_t check_names(const char *const *names, bool strict)
{
	size_t count = 0;

	for (; names[count]; count++) {
		must(names[count][0] != 0);
		check_text(names[count], strict);
	}
	return count;
}

/* There, or it is said why not; always text. */
static void check_dn(const struct peer *peer)
{
	const unsigned char *s = (const unsigned char *)peer->dn;
	size_t len = s ? strlen(peer->dn) : 0;

	must(!s == !!peer->dn_why && len <= PEER_DN_BYTES_MAX);
	must(!len || strchr(peer->dn, '='));
	while (len) {
		size_t n = utf8_sequence(s, len);

		must(n && *s >= 0x20 && *s != 0x7f);
		s += n;
		len -= n;
	}
}

static void check(const struct peer *peer, bool strict)
{
	static const struct peer_pattern all = { NULL, NULL, NULL, NULL },
					 any = { .cn = "*", .dns = "*", .uri = "*" };
	size_t dns = check_names(peer->dns, strict), uris = check_names(peer->uris, strict);

	check_dn(peer);
	check_text(peer->cn, strict);
	check_text(peer->issuer_cn, strict);
	must(dns + uris <= PEER_NAMES_MAX);
	must(strlen(peer->serial) < PEER_SERIAL_TEXT_BYTES);
	must(strspn(peer->serial, "-0123456789abcdef") == strlen(peer->serial));
	must(peer_matches(peer, &all));
	must(!!peer_matches(peer, &any) == (peer->cn[0] && dns && uris));
}

static void must_be_same(const struct peer *a, const struct peer *b)
{
	must(strcmp(a->cn, b->cn) == 0 && strcmp(a->issuer_cn, b->issuer_cn) == 0);
	must(strcmp(a->serial, b->serial) == 0 && a->not_after == b->not_after);
	for (size_t i = 0; a->dns[i] || b->dns[i]; i++)
		must(a->dns[i] && b->dns[i] && strcmp(a->dns[i], b->dns[i]) == 0);
	for (size_t i = 0; a->uris[i] || b->uris[i]; i++)
		must(a->uris[i] && b->uris[i] && strcmp(a->uris[i], b->uris[i]) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *at = data;
	X509 *certificate = d2i_X509(NULL, &at, (long)size);
	struct peer *strict = NULL, *lenient = NULL;
	const char *why = NULL;
	int r;

	ERR_clear_error();
	if (!certificate)
		return 0;
	r = peer_from_certificate(certificate, NULL, true, &strict, &why);
	must(r == PEER_OK || (r == PEER_BAD_NAMES && why && *why));
	must(peer_from_certificate(certificate, NULL, false, &lenient, &why) == PEER_OK);
	check(lenient, false);
	if (strict) {
		check(strict, true);
		must_be_same(strict, lenient);
	}
	must(!ERR_peek_error());
	peer_free(strict);
	peer_free(lenient);
	X509_free(certificate);
	return 0;
}
