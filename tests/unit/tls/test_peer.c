/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From certificate to peer, strict and for the log, and matching with rules.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "limits/limits.h"
#include "pki.h"
#include "tls/peer_impl.h"

static struct peer *peer_of(const struct pki_spec *spec, bool strict, int expected)
{
	const char *why = NULL;
	struct peer *peer = NULL;
	struct pki_cert cert;

	pki_make(&cert, NULL, spec);
	assert_int_equal(peer_from_certificate(cert.x509, NULL, strict, &peer, &why), expected);
	if (expected)
		assert_non_null(why);
	pki_cert_fini(&cert);
	return peer;
}

static void test_all_fields(void **state)
{
	struct peer *peer = peer_of(&(struct pki_spec){ .cn = "first",
							.raw_cn = (const uint8_t *)"last",
							.raw_cn_bytes = 4,
							.san = "DNS:a.test,URI:spiffe://t/x,"
							       "IP:127.0.0.1,DNS:b.test",
							.serial_hex = "00Ab" },
				    true, PEER_OK);

	assert_string_equal(peer->cn, "last"); /* the most specific of several */
	assert_string_equal(peer->subject, "CN=last,CN=first,O=Tests");
	assert_string_equal(peer->issuer_cn, "last");
	assert_string_equal(peer->dns[0], "a.test");
	assert_string_equal(peer->dns[1], "b.test");
	assert_null(peer->dns[2]);
	assert_string_equal(peer->uris[0], "spiffe://t/x");
	assert_null(peer->uris[1]);
	assert_string_equal(peer->serial, "ab");
	peer_free(peer);
	peer_free(NULL);
}

static void test_no_names(void **state)
{
	struct peer *peer = peer_of(&(struct pki_spec){ .cn = NULL }, true, PEER_OK);

	assert_string_equal(peer->cn, "");
	assert_string_equal(peer->issuer_cn, "O=Tests"); /* no CN there: the whole name */
	assert_null(peer->dns[0]);
	assert_null(peer->uris[0]);
	peer_free(peer);
}

static void test_negative_serial(void **state)
{
	struct peer *peer =
		peer_of(&(struct pki_spec){ .cn = "x", .serial_hex = "-0f" }, true, PEER_OK);

	assert_string_equal(peer->serial, "-0f");
	peer_free(peer);
}

static void test_bounds(void **state)
{
	static char name[PEER_NAME_BYTES_MAX + 2], san[PEER_NAME_BYTES_MAX + 8];

	for (size_t extra = 0; extra <= 1; extra++) {
		struct pki_spec spec = { .raw_cn = (const uint8_t *)name,
					 .raw_cn_bytes = (int)(PEER_NAME_BYTES_MAX + extra) };
		struct peer *peer;

		memset(name, 'n', sizeof(name));
		peer = peer_of(&spec, true, extra ? PEER_BAD_NAMES : PEER_OK);
		peer_free(peer);
		peer = peer_of(&spec, false, PEER_OK);
		assert_int_equal(strlen(peer->cn), PEER_NAME_BYTES_MAX);
		assert_int_equal(strlen(peer->subject), PEER_NAME_BYTES_MAX);
		peer_free(peer);

		snprintf(san, sizeof(san), "URI:%.*s", (int)(PEER_NAME_BYTES_MAX + extra), name);
		spec = (struct pki_spec){ .cn = "x", .san = san };
		peer = peer_of(&spec, true, extra ? PEER_BAD_NAMES : PEER_OK);
		peer_free(peer);
		peer = peer_of(&spec, false, PEER_OK);
		assert_int_equal(peer->uris[0] == NULL, extra);
		peer_free(peer);
	}
}

/* What was refused still gets a line in the log, which it must not be able to forge. */
static void test_for_the_log(void **state)
{
	struct pki_spec spec = { .raw_cn = (const uint8_t *)"a\nb\0c\xc2\x9b"
							    "d",
				 .raw_cn_bytes = 8,
				 .raw_dns = (const uint8_t *)"x\ny",
				 .raw_dns_bytes = 3 };
	struct peer *peer = peer_of(&spec, true, PEER_BAD_NAMES);

	assert_null(peer);
	peer = peer_of(&spec, false, PEER_OK);
	assert_memory_equal(peer->cn, "a?b?c?", 6);
	assert_null(peer->dns[0]);
	peer_free(peer);
}

static void test_matching(void **state)
{
	static const char *const dns[] = { "orders.shop.test", "Orders-2.shop.test", NULL };
	static const char *const uris[] = { "spiffe://shop/ns/a/sa/orders", NULL };
	static const char *const none[] = { NULL };
	static const struct peer full = {
		.cn = "svc-orders", .issuer_cn = "Root A", .dns = dns, .uris = uris
	};
	static const struct peer empty = { .cn = "", .issuer_cn = "", .dns = none, .uris = none };
	static const struct {
		struct peer_pattern pattern;
		bool full;
	} rows[] = {
		{ { NULL }, true },
		{ { .cn = "svc-*" }, true },
		{ { .cn = "svc-order?" }, true },
		{ { .cn = "SVC-*" }, false },
		{ { .cn = "svc" }, false },
		{ { .cn = "*" }, true },
		{ { .dns = "*.shop.test" }, true },
		{ { .dns = "orders-[0-9].SHOP.test" }, true },
		{ { .dns = "other.test" }, false },
		{ { .uri = "spiffe://shop/*" }, true },
		{ { .uri = "spiffe://bank/*" }, false },
		{ { .issuer_cn = "Root A" }, true },
		{ { .issuer_cn = "Root B" }, false },
		{ { .cn = "svc-*", .issuer_cn = "Root B" }, false },
		{ { .cn = "svc-*", .dns = "*", .uri = "*", .issuer_cn = "*" }, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(peer_matches(&full, &rows[i].pattern), rows[i].full);
		/* Nameless: only the pattern that asks for nothing. */
		assert_int_equal(peer_matches(&empty, &rows[i].pattern), i == 0);
	}
}

/* As Java prints it; that it does is seen by tests/kafka/test_principal.py. */
static void test_dn(void **state)
{
	static const struct {
		const char *raw_cn, *dn;
	} rows[] = {
		{ "svc-a", "CN=svc-a,O=Tests" },
		{ " #a, b ", "CN=\\ \\#a\\, b\\ ,O=Tests" },
		{ "  ", "CN=\\ \\ ,O=Tests" },
		{ "=+<>;\"\\", "CN=\\=\\+\\<\\>\\;\\\"\\\\,O=Tests" },
		{ "m\u00fcller", "CN=m\u00fcller,O=Tests" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct peer *peer =
			peer_of(&(struct pki_spec){ .raw_cn = (const uint8_t *)rows[i].raw_cn,
						    .raw_cn_bytes = (int)strlen(rows[i].raw_cn) },
				true, PEER_OK);

		assert_string_equal(peer->dn, rows[i].dn);
		assert_null(peer->dn_why);
		peer_free(peer);
	}
}

/* Subjects of one attribute: what is put in, and what comes out; NULL: nothing. */
static void test_dn_types(void **state)
{
	static const struct {
		int nid, type;
		const char *value, *dn;
	} rows[] = {
		{ NID_organizationName, V_ASN1_PRINTABLESTRING, "x", "O=x" },
		{ NID_domainComponent, V_ASN1_IA5STRING, "corp", "DC=corp" },
		{ NID_userId, V_ASN1_UTF8STRING, "u", "UID=u" },
		{ NID_pkcs9_emailAddress, V_ASN1_IA5STRING, "a@b",
		  "1.2.840.113549.1.9.1=#1603614062" },
		{ NID_serialNumber, V_ASN1_PRINTABLESTRING, "1", "2.5.4.5=#130131" },
		{ NID_organizationName, V_ASN1_T61STRING, "x", "O=x" },
		{ NID_organizationName, V_ASN1_T61STRING, "\xfc", NULL },
		{ NID_organizationName, V_ASN1_BMPSTRING, "ab", NULL },
		{ NID_organizationName, V_ASN1_UTF8STRING, "a\nb", NULL },
		{ NID_organizationName, V_ASN1_UTF8STRING, "\xff", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		X509_NAME *name = X509_NAME_new();
		struct peer_dn dn;
		const char *why = NULL;
		int r;

		X509_NAME_add_entry_by_NID(name, rows[i].nid, rows[i].type,
					   (const unsigned char *)rows[i].value, -1, -1, 0);
		r = peer_print_dn(name, &dn, &why);
		assert_int_equal(r, rows[i].dn ? PEER_DN_OK : PEER_DN_DOUBTFUL);
		assert_int_equal(!why, r == PEER_DN_OK);
		if (rows[i].dn) {
			assert_int_equal(dn.len, strlen(rows[i].dn));
			assert_memory_equal(dn.bytes, rows[i].dn, dn.len);
		}
		X509_NAME_free(name);
	}
}

/* Never cut: a subject that is too long makes the certificate unfit. */
static void test_dn_bounds(void **state)
{
	static char value[PEER_DN_BYTES_MAX];
	struct peer_dn dn;
	const char *why;

	memset(value, 'n', sizeof(value));
	for (int extra = 0; extra <= 1; extra++) {
		X509_NAME *name = X509_NAME_new();

		X509_NAME_add_entry_by_NID(name, NID_organizationName, V_ASN1_UTF8STRING,
					   (unsigned char *)value, PEER_DN_BYTES_MAX - 2 + extra,
					   -1, 0);
		assert_int_equal(peer_print_dn(name, &dn, &why),
				 extra ? PEER_DN_TOO_LONG : PEER_DN_OK);
		X509_NAME_free(name);
	}
}

static void test_chain(void **state)
{
	STACK_OF(X509) *chain = sk_X509_new_null();
	struct pki_cert root, ca, leaf;
	struct peer *peer = NULL;
	const char *why;

	pki_make(&root, NULL, &(struct pki_spec){ .cn = "Root", .is_ca = true });
	pki_make(&ca, &root, &(struct pki_spec){ .cn = "CA", .is_ca = true });
	pki_make(&leaf, &ca, &(struct pki_spec){ .cn = "leaf" });
	sk_X509_push(chain, leaf.x509);
	assert_int_equal(peer_from_certificate(leaf.x509, chain, true, &peer, &why), PEER_OK);
	assert_string_equal(peer->root_cn, "leaf"); /* a root of ours itself */
	assert_int_equal(peer->ca_key_count, 1);
	peer_free(peer);
	sk_X509_push(chain, ca.x509);
	sk_X509_push(chain, root.x509);
	assert_int_equal(peer_from_certificate(leaf.x509, chain, true, &peer, &why), PEER_OK);
	assert_string_equal(peer->root_cn, "Root");
	assert_string_equal(peer->issuer_cn, "CA");
	assert_int_equal(peer->ca_key_count, 2);
	assert_memory_not_equal(&peer->ca_keys[0], &peer->ca_keys[1], sizeof(struct peer_key));
	peer_free(peer);
	assert_int_equal(peer_from_certificate(leaf.x509, NULL, true, &peer, &why), PEER_OK);
	assert_string_equal(peer->root_cn, "");
	assert_int_equal(peer->ca_key_count, 0);
	peer_free(peer);
	sk_X509_free(chain);
	pki_cert_fini(&leaf);
	pki_cert_fini(&ca);
	pki_cert_fini(&root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_fields),
		cmocka_unit_test(test_no_names),
		cmocka_unit_test(test_negative_serial),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_dn),
		cmocka_unit_test(test_dn_types),
		cmocka_unit_test(test_dn_bounds),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_for_the_log),
		cmocka_unit_test(test_matching),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
