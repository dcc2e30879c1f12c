/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A subject as the JDK prints it (X500Principal.getName(), its form of RFC 2253), because that is
 * what a broker would have matched its rules on: last attribute first, its own list of keywords and
 * escapes, and what is in a string taken for UTF-8 whatever its type says.
 *
 * That last habit makes different names look alike (BMPString U+6162 prints as "ab"). Only strings
 * that print as what they are have a name here; of any other it is said why not. Any thread.
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

/* Types whose bytes the JDK prints as text. */
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

/* Whether text of that type prints as what it is. `at`: one byte of it; returns the bytes of its
 * character, or 0. */
static size_t character_of(int type, const uint8_t *at, size_t len)
{
	size_t n;

	if (type == V_ASN1_BMPSTRING)
		return len > 1 && !at[0] && at[1] >= 0x20 && at[1] < 0x7f ? 2 : 0;
	n = type == V_ASN1_UTF8STRING ? utf8_sequence(at, len) : *at < 0x80;
	return n && !peer_is_control(at, len) ? n : 0;
}

static void put_character(struct printer *p, const uint8_t *at, size_t len, bool escaped)
{
	if (!*at) { /* half of a BMPString's character */
		put_text(p, "\\00");
		at++;
		len--;
	}
	if (escaped || strchr(",=+<>#;\"\\", *at))
		put_text(p, "\\");
	put(p, at, len);
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
			p->why = "the subject holds control characters, or text that is not what "
				 "its type says";
			return;
		}
		put_character(p, bytes + i, n, i + n <= lead || i + n > trail);
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

int peer_print_dn(const X509_NAME *name, struct peer_dn *ret, const char **ret_why)
{
	struct printer p = { .dn = ret };
	int count = X509_NAME_entry_count(name);

	ret->len = 0;
	for (int end = count, first; end > 0 && !p.why; end = first) {
		first = end - 1;
		while (first > 0 && set_of(name, first - 1) == set_of(name, end - 1))
			first--;
		if (end < count)
			put_text(&p, ",");
		put_rdn(&p, name, first, end);
	}
	ERR_clear_error();
	if (p.no_memory)
		return -ENOMEM;
	if (p.too_long)
		return PEER_DN_TOO_LONG;
	*ret_why = p.why;
	return p.why ? PEER_DN_DOUBTFUL : PEER_DN_OK;
}
