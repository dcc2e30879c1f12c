/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A certificate's names as plain strings. The certificate is read into a table of borrowed or
 * converted pieces on the stack, then copied into one allocation: struct, pointer tables, text.
 * What will be compared with rules must be exactly what the CA signed, so nothing is cut or
 * replaced: a certificate with doubtful names is refused as a whole. Any thread.
 */
#include "tls/peer.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "base/util.h"
#include "limits/limits.h"
#include "tls/peer_impl.h"

#define SERIAL_BYTES_MAX 20

struct text {
	char bytes[PEER_NAME_BYTES_MAX];
	size_t len;
};

struct draft {
	bool strict;
	const char *why;
	struct text cn, subject, issuer, root;
	struct peer_dn dn;
	const char *dn_why; /* NULL: dn is the name */
	struct peer_key keys[CERTIFICATE_DEPTH_MAX + 1];
	size_t key_count;
	/* Borrowed from `names`. */
	const ASN1_STRING *dns[PEER_NAMES_MAX], *uris[PEER_NAMES_MAX];
	size_t dns_count, uri_count, text_bytes;
	GENERAL_NAMES *names;
};

static int bad(struct draft *d, const char *why)
{
	d->why = why;
	return PEER_BAD_NAMES;
}

bool peer_is_control(const uint8_t *at, size_t len)
{
	/* C0, DEL, and C1 (U+0080 to U+009F) as UTF-8 */
	return at[0] < 0x20 || at[0] == 0x7f || (at[0] == 0xc2 && len > 1 && at[1] < 0xa0);
}

/* Copies UTF-8; in a strict draft control characters, NUL too, and too much of it are faults. */
static int take_utf8(struct draft *d, const uint8_t *from, size_t len, struct text *ret)
{
	if (len > sizeof(ret->bytes)) {
		if (d->strict)
			return bad(d, "a name is too long");
		len = sizeof(ret->bytes);
	}
	for (size_t i = 0; i < len; i++) {
		bool control = peer_is_control(from + i, len - i);

		if (control && d->strict)
			return bad(d, "a name holds control characters");
		ret->bytes[i] = control ? '?' : (char)from[i];
	}
	ret->len = len;
	return 0;
}

static int take_string(struct draft *d, const ASN1_STRING *s, struct text *ret)
{
	unsigned char *utf8 = NULL;
	int n = ASN1_STRING_to_UTF8(&utf8, s), r;

	if (n < 0) {
		ret->len = 0;
		return d->strict ? bad(d, "a name is not text") : 0;
	}
	r = take_utf8(d, utf8, (size_t)n, ret);
	OPENSSL_free(utf8);
	return r;
}

/* Last CN of `name`; left empty where there is none. */
static int take_cn(struct draft *d, const X509_NAME *name, struct text *ret)
{
	int at = -1, last = -1;

	while ((at = X509_NAME_get_index_by_NID((X509_NAME *)name, NID_commonName, at)) >= 0)
		last = at;
	if (last < 0)
		return 0;
	return take_string(d, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, last)), ret);
}

/* The whole name in the form of RFC 2253. */
static int take_whole(struct draft *d, const X509_NAME *name, struct text *ret)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long n;
	int r;

	if (!bio)
		return -ENOMEM;
	X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
	n = BIO_get_mem_data(bio, &text);
	r = n > 0 ? take_utf8(d, (const uint8_t *)text, (size_t)n, ret) : 0;
	BIO_free(bio);
	return r;
}

static int take_dn(struct draft *d, const X509_NAME *name)
{
	int r = peer_print_dn(name, &d->dn, &d->dn_why);

	if (r == PEER_DN_TOO_LONG) {
		d->dn_why = "the subject is too long";
		if (d->strict)
			return bad(d, d->dn_why);
	}
	if (r > 0)
		d->dn.len = 0;
	return MIN(r, 0);
}

/* CN, or where there is none the whole name. */
static int take_ca(struct draft *d, const X509_NAME *name, struct text *ret)
{
	int r = take_cn(d, name, ret);

	return r || ret->len ? r : take_whole(d, name, ret);
}

/* What may be cut: the subject is there for people, and the root is our own, whatever it is called.
 */
static int take_leniently(struct draft *d, const X509_NAME *name, struct text *ret,
			  int (*take)(struct draft *, const X509_NAME *, struct text *))
{
	bool strict = d->strict;
	int r;

	d->strict = false;
	r = take(d, name, ret);
	d->strict = strict;
	return r;
}

static int take_key(struct draft *d, X509 *certificate)
{
	unsigned char *der = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
	bool done = len > 0 && EVP_Digest(der, (size_t)len, d->keys[d->key_count].sha256, NULL,
					  EVP_sha256(), NULL) == 1;

	OPENSSL_free(der);
	if (!done)
		return -ENOMEM;
	d->key_count++;
	return 0;
}

/* What is above the peer's certificate; that itself where it is a root of ours. */
static int take_chain(struct draft *d, STACK_OF(X509) * chain)
{
	int count = sk_X509_num(chain), r;

	if (count <= 0)
		return 0;
	if ((size_t)count > ARRAY_SIZE(d->keys) + 1)
		return bad(d, "the chain is too long");
	r = take_leniently(d, X509_get_subject_name(sk_X509_value(chain, count - 1)), &d->root,
			   take_ca);
	for (int i = count > 1; r == 0 && i < count; i++)
		r = take_key(d, sk_X509_value(chain, i));
	return r;
}

/* DNS and URI names are IA5String: printable ASCII and nothing else. */
static bool is_printable(const ASN1_STRING *s)
{
	const uint8_t *p = ASN1_STRING_get0_data(s);
	int len = ASN1_STRING_length(s);

	for (int i = 0; i < len; i++)
		if (p[i] <= 0x20 || p[i] >= 0x7f)
			return false;
	return true;
}

static int take_alt_name(struct draft *d, const GENERAL_NAME *name)
{
	int kind, len;
	const ASN1_STRING *s = GENERAL_NAME_get0_value(name, &kind);

	if (kind != GEN_DNS && kind != GEN_URI)
		return 0;
	len = ASN1_STRING_length(s);
	if (!len)
		return 0;
	if (len > PEER_NAME_BYTES_MAX)
		return d->strict ? bad(d, "an alternative name is too long") : 0;
	if (!is_printable(s))
		return d->strict ? bad(d, "an alternative name holds unprintable characters") : 0;
	if (d->dns_count + d->uri_count == PEER_NAMES_MAX)
		return d->strict ? bad(d, "too many alternative names") : 0;
	if (kind == GEN_DNS)
		d->dns[d->dns_count++] = s;
	else
		d->uris[d->uri_count++] = s;
	d->text_bytes += (size_t)len + 1;
	return 0;
}

static int take_alt_names(struct draft *d, X509 *certificate)
{
	int critical = -1, r = 0;

	d->names = X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, NULL);
	if (!d->names) {
		ERR_clear_error();
		if (critical != -1 && d->strict) /* there, but malformed or twice */
			return bad(d, "the alternative names can not be read");
		return 0;
	}
	for (int i = 0; !r && i < sk_GENERAL_NAME_num(d->names); i++)
		r = take_alt_name(d, sk_GENERAL_NAME_value(d->names, i));
	return r;
}

static int take_serial(struct draft *d, X509 *certificate, char ret[PEER_SERIAL_TEXT_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
	const uint8_t *p = ASN1_STRING_get0_data(serial);
	int len = ASN1_STRING_length(serial), at = 0;

	if (len > SERIAL_BYTES_MAX) {
		if (d->strict)
			return bad(d, "the serial number is too long");
		len = SERIAL_BYTES_MAX;
	}
	if (ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER)
		ret[at++] = '-';
	for (int i = 0; i < len; i++) {
		ret[at++] = digits[p[i] >> 4];
		ret[at++] = digits[p[i] & 15];
	}
	ret[at] = 0;
	return 0;
}

static int64_t seconds_of(const ASN1_TIME *time)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(time, &tm) != 1)
		return 0;
	return timegm(&tm);
}

static const char *put_text(char **at, const void *bytes, size_t len)
{
	char *start = *at;

	memcpy(start, bytes, len);
	start[len] = 0;
	*at += len + 1;
	return start;
}

static const char *const *put_names(const char ***table, char **at, const ASN1_STRING *const *names,
				    size_t count)
{
	const char **start = *table;

	for (size_t i = 0; i < count; i++)
		start[i] = put_text(at, ASN1_STRING_get0_data(names[i]),
				    (size_t)ASN1_STRING_length(names[i]));
	start[count] = NULL;
	*table += count + 1;
	return start;
}

static struct peer *build(const struct draft *d)
{
	size_t pointers = d->dns_count + d->uri_count + 2;
	size_t sizeof_keys = d->key_count * sizeof(d->keys[0]);
	size_t bytes = sizeof(struct peer) + pointers * sizeof(char *) + d->cn.len + 1 +
		       d->subject.len + 1 + d->issuer.len + 1 + d->root.len + 1 + d->dn.len + 1 +
		       d->text_bytes + sizeof_keys;
	struct peer *peer = malloc(bytes);
	const char **table;
	char *at;

	if (!peer)
		return NULL;
	peer->bytes = bytes;
	peer->refs = 1;
	table = (const char **)(peer + 1);
	at = (char *)(table + pointers);
	peer->cn = put_text(&at, d->cn.bytes, d->cn.len);
	peer->subject = put_text(&at, d->subject.bytes, d->subject.len);
	peer->issuer_cn = put_text(&at, d->issuer.bytes, d->issuer.len);
	peer->root_cn = put_text(&at, d->root.bytes, d->root.len);
	peer->dn = d->dn_why ? NULL : put_text(&at, d->dn.bytes, d->dn.len);
	peer->dn_why = d->dn_why;
	peer->dns = put_names(&table, &at, d->dns, d->dns_count);
	peer->uris = put_names(&table, &at, d->uris, d->uri_count);
	peer->ca_keys = memcpy(at, d->keys, sizeof_keys);
	peer->ca_key_count = d->key_count;
	return peer;
}

int peer_from_certificate(X509 *certificate, STACK_OF(X509) * chain, bool strict, struct peer **ret,
			  const char **ret_why)
{
	struct draft d;
	char serial[PEER_SERIAL_TEXT_BYTES];
	struct peer *peer = NULL;
	int r;

	d.strict = strict;
	d.cn.len = d.subject.len = d.issuer.len = d.root.len = 0;
	d.dns_count = d.uri_count = d.text_bytes = d.key_count = 0;
	d.names = NULL;
	r = take_cn(&d, X509_get_subject_name(certificate), &d.cn);
	if (!r)
		r = take_leniently(&d, X509_get_subject_name(certificate), &d.subject, take_whole);
	if (!r)
		r = take_dn(&d, X509_get_subject_name(certificate));
	if (!r)
		r = take_ca(&d, X509_get_issuer_name(certificate), &d.issuer);
	if (!r)
		r = take_chain(&d, chain);
	if (!r)
		r = take_alt_names(&d, certificate);
	if (!r)
		r = take_serial(&d, certificate, serial);
	if (!r) {
		peer = build(&d);
		r = peer ? 0 : -ENOMEM;
	}
	GENERAL_NAMES_free(d.names);
	ERR_clear_error();
	if (r == PEER_BAD_NAMES)
		*ret_why = d.why;
	if (r)
		return r;
	memcpy(peer->serial, serial, sizeof(serial));
	peer->not_before = seconds_of(X509_get0_notBefore(certificate));
	peer->not_after = seconds_of(X509_get0_notAfter(certificate));
	*ret = peer;
	return 0;
}

struct peer *peer_ref(struct peer *peer)
{
	__atomic_add_fetch(&peer->refs, 1, __ATOMIC_RELAXED);
	return peer;
}

void peer_free(struct peer *peer)
{
	if (peer && !__atomic_sub_fetch(&peer->refs, 1, __ATOMIC_ACQ_REL))
		free(peer);
}

static bool name_matches(const char *pattern, const char *name, int flags)
{
	return *name && fnmatch(pattern, name, flags) == 0;
}

static bool any_matches(const char *pattern, const char *const *names, int flags)
{
	for (; *names; names++)
		if (name_matches(pattern, *names, flags))
			return true;
	return false;
}

int peer_matches(const struct peer *peer, const struct peer_pattern *pattern)
{
	return (!pattern->cn || name_matches(pattern->cn, peer->cn, 0)) &&
	       (!pattern->issuer_cn || name_matches(pattern->issuer_cn, peer->issuer_cn, 0)) &&
	       (!pattern->dns || any_matches(pattern->dns, peer->dns, FNM_CASEFOLD)) &&
	       (!pattern->uri || any_matches(pattern->uri, peer->uris, 0));
}
