/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A subject as the JDK prints it (X500Principal.getName(), its form of RFC 2253), because that is
 * what a broker would have matched its rules on: last attribute first, its own list of keywords and
 * escapes.
 *
 * Its versions differ in how they read strings: older ones take the bytes of any type for UTF-8, by
 * which different names look alike (BMPString U+6162 prints as "ab"). Only subjects that all of
 * them print alike have a name here; of any other it is said why not. Any thread.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <openssl/asn1.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509.h>

#include "base/utf8.h"
#include "base/util.h"
#include "tls/peer_impl.h"

#define OID_TEXT_BYTES 256

struct printer {
	struct peer_dn *dn;
	const char *why; /* the name can not be told */
	bool too_long, no_memory;
};

static void put(struct printer *p, const void *bytes, size_t len)
{
	if (len > sizeof(p->dn->bytes) - p->dn->len) {
		p->too_long = true;
		return;
	}
	memcpy(p->dn->bytes + p->dn->len, bytes, len);
	p->dn->len += len;
}

static void put_text(struct printer *p, const char *text)
{
	put(p, text, strlen(text));
}

/* The keywords that the JDK's RFC 2253 knows; NULL: it prints the number. */
static const char *keyword_of(const ASN1_OBJECT *type)
{
	switch (OBJ_obj2nid(type)) {
	case NID_commonName:
		return "CN";
	case NID_countryName:
		return "C";
	case NID_localityName:
		return "L";
	case NID_stateOrProvinceName:
		return "ST";
	case NID_organizationName:
		return "O";
	case NID_organizationalUnitName:
		return "OU";
	case NID_streetAddress:
		return "STREET";
	case NID_domainComponent:
		return "DC";
	case NID_userId:
		return "UID";
	default:
		return NULL;
	}
}

/* Types that the JDK prints as text. */
static bool is_text(int type)
{
	return type == V_ASN1_PRINTABLESTRING || type == V_ASN1_UTF8STRING ||
	       type == V_ASN1_IA5STRING || type == V_ASN1_T61STRING ||
	       type == V_ASN1_GENERALSTRING || type == V_ASN1_BMPSTRING;
}

static void put_hex(struct printer *p, const ASN1_STRING *value)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char *der = NULL;
	int len = i2d_ASN1_PRINTABLE(value, &der);

	if (len < 0) {
		p->no_memory = true;
		return;
	}
	put_text(p, "#");
	for (int i = 0; i < len; i++) {
		char pair[] = { digits[der[i] >> 4], digits[der[i] & 15] };

		put(p, pair, sizeof(pair));
	}
	OPENSSL_free(der);
}

/* The bytes of the character at `at`, one byte at least; 0 if Java's versions may print another
 * one, or nobody should. */
static size_t character_of(int type, const uint8_t *at, size_t len)
{
	size_t n = type == V_ASN1_UTF8STRING  ? utf8_sequence(at, len)
		   : type == V_ASN1_BMPSTRING ? 0
					      : *at < 0x80;

	return n && !peer_is_control(at, len) ? n : 0;
}

static void put_value(struct printer *p, const ASN1_STRING *value)
{
	const uint8_t *bytes = ASN1_STRING_get0_data(value);
	size_t len = (size_t)ASN1_STRING_length(value), lead = 0, trail = len, n;
	int type = ASN1_STRING_type(value);

	while (lead < len && bytes[lead] == ' ')
		lead++;
	while (trail && bytes[trail - 1] == ' ')
		trail--;
	for (size_t i = 0; i < len; i += n) {
		n = character_of(type, bytes + i, len - i);
		if (!n) {
			p->why = "the subject holds control characters, or text of a type that "
				 "Java's versions read differently";
			return;
		}
		if (i < lead || i >= trail || strchr(",=+<>#;\"\\", bytes[i]))
			put_text(p, "\\");
		put(p, bytes + i, n);
	}
}

static void put_entry(struct printer *p, const X509_NAME_ENTRY *entry)
{
	const ASN1_OBJECT *type = X509_NAME_ENTRY_get_object(entry);
	const ASN1_STRING *value = X509_NAME_ENTRY_get_data(entry);
	const char *keyword = keyword_of(type);
	char oid[OID_TEXT_BYTES];
	int len;

	if (!keyword) {
		len = OBJ_obj2txt(oid, sizeof(oid), type, 1);
		if (len <= 0 || (size_t)len >= sizeof(oid))
			p->why = "the subject has an attribute of a type that can not be told";
	}
	put_text(p, keyword ? keyword : oid);
	put_text(p, "=");
	if (keyword && is_text(ASN1_STRING_type(value)))
		put_value(p, value);
	else
		put_hex(p, value);
}

/* The attributes from `first` to before `end`, which are one RDN. */
static void put_rdn(struct printer *p, const X509_NAME *name, int first, int end)
{
	for (int i = first; i < end && !p->why; i++) {
		if (i > first)
			put_text(p, "+");
		put_entry(p, X509_NAME_get_entry(name, i));
	}
}

static int set_of(const X509_NAME *name, int i)
{
	return X509_NAME_ENTRY_set(X509_NAME_get_entry(name, i));
}

/* How many RDNs the encoded name has, or -1. Those without an attribute, which Java prints and
 * nobody means, are not to be seen otherwise. */
static int count_rdns(const X509_NAME *name)
{
	const unsigned char *at, *end;
	size_t len;
	long content;
	int tag, class, count = 0;

	if (X509_NAME_get0_der((X509_NAME *)name, &at, &len) != 1 ||
	    ASN1_get_object(&at, &content, &tag, &class, (long)len) & 0x80)
		return -1;
	for (end = at + content; at < end; at += content, count++)
		if (ASN1_get_object(&at, &content, &tag, &class, end - at) & 0x80)
			return -1;
	return count;
}

int peer_print_dn(const X509_NAME *name, struct peer_dn *ret, const char **ret_why)
{
	struct printer p = { .dn = ret };
	int count = X509_NAME_entry_count(name), rdns = 0;

	ret->len = 0;
	for (int end = count, first; end > 0 && !p.why; end = first, rdns++) {
		first = end - 1;
		while (first > 0 && set_of(name, first - 1) == set_of(name, end - 1))
			first--;
		if (end < count)
			put_text(&p, ",");
		put_rdn(&p, name, first, end);
	}
	if (!p.why && rdns != count_rdns(name))
		p.why = "the subject has a part without any attribute";
	ERR_clear_error();
	if (p.no_memory)
		return -ENOMEM;
	if (p.too_long)
		return PEER_DN_TOO_LONG;
	*ret_why = p.why;
	return p.why ? PEER_DN_DOUBTFUL : PEER_DN_OK;
}
