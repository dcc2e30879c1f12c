/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of tokens and keys (jwt.h). No state; any thread. */
#include "kafka/jwt.h"

#include <stdbool.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "base/util.h"

static const char *const algorithm_names[JWT_ALGORITHM_COUNT] = {
	[JWT_EDDSA] = "EdDSA",
	[JWT_ES256] = "ES256",
	[JWT_RS256] = "RS256",
};

const char *jwt_algorithm_name(enum jwt_algorithm algorithm)
{
	return algorithm_names[algorithm];
}

size_t base64url(const void *bytes, size_t len, char *ret)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const uint8_t *in = bytes;
	char *out = ret;

	for (size_t i = 0; i < len; i += 3) {
		size_t left = MIN(len - i, (size_t)3);
		uint32_t word = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
				(left > 2 ? in[i + 2] : 0);

		for (size_t j = 0; j <= left; j++)
			*out++ = digits[word >> (18 - 6 * j) & 63];
	}
	*out = 0;
	return (size_t)(out - ret);
}

/* Members in the order of the alphabet, no white space: this very text is what RFC 7638 digests. */
static size_t required_members(const struct jwk *jwk, char ret[JWK_TEXT_BYTES])
{
	char a[BASE64URL_BYTES(sizeof(jwk->a))], b[BASE64URL_BYTES(sizeof(jwk->b))];
	int n = 0;

	base64url(jwk->a, jwk->a_bytes, a);
	base64url(jwk->b, jwk->b_bytes, b);
	switch (jwk->algorithm) {
	case JWT_EDDSA:
		n = snprintf(ret, JWK_TEXT_BYTES,
			     "\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\"", a);
		break;
	case JWT_ES256:
		n = snprintf(ret, JWK_TEXT_BYTES,
			     "\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"", a, b);
		break;
	case JWT_RS256:
		n = snprintf(ret, JWK_TEXT_BYTES, "\"e\":\"%s\",\"kty\":\"RSA\",\"n\":\"%s\"", b,
			     a);
		break;
	case JWT_ALGORITHM_COUNT:
		break;
	}
	return (size_t)n;
}

size_t jwk_thumbprint_text(const struct jwk *jwk, char ret[JWK_TEXT_BYTES])
{
	char members[JWK_TEXT_BYTES];

	required_members(jwk, members);
	return (size_t)snprintf(ret, JWK_TEXT_BYTES, "{%.*s}", JWK_TEXT_BYTES - 3, members);
}

char *jwks_text(const struct jwk *keys, size_t count)
{
	char members[JWK_TEXT_BYTES], *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	fputs("{\"keys\":[", out);
	for (size_t i = 0; i < count; i++) {
		required_members(&keys[i], members);
		fprintf(out, "%s\n{%s,\"alg\":\"%s\",\"kid\":\"%s\",\"use\":\"sig\"}", i ? "," : "",
			members, algorithm_names[keys[i].algorithm], keys[i].kid);
	}
	fputs("\n]}\n", out);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

/* The claims as JSON; NULL without memory. */
static char *claims_text(const struct jwt_claims *claims, size_t *ret_len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_len);

	if (!out)
		return NULL;
	fputs("{\"iss\":", out);
	json_write_string(out, claims->issuer);
	fputs(",\"aud\":", out);
	json_write_string(out, claims->audience);
	fputs(",\"sub\":", out);
	json_write_string(out, claims->subject);
	fprintf(out, ",\"iat\":%" PRId64 ",\"exp\":%" PRId64 "}", claims->issued_at,
		claims->expires_at);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

size_t jwt_text(enum jwt_algorithm algorithm, const char *kid, const struct jwt_claims *claims,
		char ret[JWT_TEXT_BYTES_MAX])
{
	char header[64 + JWT_KID_BYTES];
	int header_len =
		snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
			 algorithm_names[algorithm], kid);
	size_t claims_len, used;
	cleanup_free char *text = claims_text(claims, &claims_len);

	if (!text ||
	    BASE64URL_BYTES((size_t)header_len) + BASE64URL_BYTES(claims_len) > JWT_TEXT_BYTES_MAX)
		return 0;
	used = base64url(header, (size_t)header_len, ret);
	ret[used++] = '.';
	return used + base64url(text, claims_len, ret + used);
}

/* Blanks of any script: Java trims the first, other readers of a token more than these. */
static bool is_blank(const unsigned char *s, size_t len)
{
	static const char *const blanks[] = {
		"\xc2\x85", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003",
		"\u2004",   "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
		"\u200b",   "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\ufeff",
	};

	if (len == 1)
		return *s <= ' ';
	for (size_t i = 0; i < ARRAY_SIZE(blanks); i++)
		if (strlen(blanks[i]) == len && memcmp(blanks[i], s, len) == 0)
			return true;
	return false;
}

const char *jwt_subject_fault(const char *subject)
{
	const unsigned char *s = (const unsigned char *)subject;
	size_t len = strlen(subject), n;
	bool blank = true; /* the last one */

	if (!len)
		return "it is empty";
	if (len > PRINCIPAL_BYTES_MAX)
		return "it is too long";
	if (strcmp(subject, "ANONYMOUS") == 0)
		return "it is Kafka's name for who has none";
	if (is_blank(s, MAX(utf8_sequence(s, len), (size_t)1)))
		return "it begins with a blank, which Kafka would take away";
	for (; len; s += n, len -= n) {
		n = utf8_sequence(s, len);
		if (!n)
			return "it is not UTF-8";
		if (*s < ' ' || *s == 0x7f || (n == 2 && s[0] == 0xc2 && s[1] < 0xa0))
			return "it holds control characters";
		blank = is_blank(s, n);
	}
	return blank ? "it ends with a blank, which Kafka would take away" : NULL;
}
