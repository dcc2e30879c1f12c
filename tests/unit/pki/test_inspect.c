/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `check` finds in certificate files. The files are made here, by the embedded CA's own parts,
 * good first and then each bad in one way.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/pem.h>

#include "base/clock.h"
#include "base/util.h"
#include "pki/certificate.h"
#include "pki/inspect.h"
#include "pki/key.h"

#define DAY_SECONDS 86400ULL

static char dir[64];
static struct pki_findings findings;
static struct pki_identity identity;
static struct err_text err;
static EVP_PKEY *ca_key, *key;
static X509 *ca;

static const struct pki_san san = { PKI_SAN_DNS, "a.example" };
static const struct pki_subject root_subject = { .cn = "Root", .days = 100 };
static const struct pki_subject server_subject = {
	.cn = "server", .sans = &san, .san_count = 1, .usage = PKI_USAGE_SERVER, .days = 50
};

static const char *path_of(const char *name)
{
	static char paths[4][400];
	static size_t next;
	char *path = paths[next++ % ARRAY_SIZE(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static FILE *create(const char *name, mode_t mode)
{
	FILE *file = fopen(path_of(name), "we");

	assert_non_null(file);
	assert_int_equal(fchmod(fileno(file), mode), 0);
	return file;
}

static void write_certificates(const char *name, X509 **certs, size_t count)
{
	FILE *file = create(name, 0644);

	for (size_t i = 0; i < count; i++)
		assert_int_equal(PEM_write_X509(file, certs[i]), 1);
	fclose(file);
}

static void write_key(const char *name, EVP_PKEY *pkey, mode_t mode, const char *password)
{
	FILE *file = create(name, mode);

	assert_int_equal(PEM_write_PrivateKey(file, pkey, password ? EVP_aes_128_cbc() : NULL,
					      (const unsigned char *)password,
					      password ? (int)strlen(password) : 0, NULL, NULL),
			 1);
	fclose(file);
}

static void write_leaf(const struct pki_subject *subject)
{
	X509 *leaf = pki_leaf_new(subject, key, ca, ca_key, &err);

	assert_non_null(leaf);
	write_certificates("leaf.crt", &leaf, 1);
	X509_free(leaf);
}

static int set_up(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/sallyport-inspect-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	ca_key = pki_key_new(PKI_KEY_EC_P256, &err);
	key = pki_key_new(PKI_KEY_EC_P256, &err);
	ca = pki_root_new(&root_subject, ca_key, &err);
	write_certificates("ca.crt", &ca, 1);
	write_key("leaf.key", key, 0600, NULL);
	write_leaf(&server_subject);
	return 0;
}

static int tear_down(void **state)
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	while (d && (entry = readdir(d)))
		unlink(path_of(entry->d_name));
	if (d)
		closedir(d);
	clock_set_fake(NULL);
	X509_free(ca);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
	return rmdir(dir);
}

static bool inspect(bool is_server)
{
	memset(&findings, 0, sizeof(findings));
	memset(&identity, 0, sizeof(identity));
	return pki_inspect_identity(path_of("leaf.crt"), path_of("leaf.key"), is_server, &identity,
				    &findings);
}

static size_t inspect_roots(const char *name)
{
	memset(&findings, 0, sizeof(findings));
	return pki_inspect_roots(path_of(name), &findings);
}

static void assert_nothing(void)
{
	for (size_t i = 0; i < findings.count; i++)
		print_error("found: %s\n", findings.items[i].text);
	assert_int_equal(findings.count, 0);
}

static void assert_found(enum pki_finding_about about, bool error, const char *text)
{
	for (size_t i = 0; i < findings.count; i++)
		if (findings.items[i].about == about && findings.items[i].error == error &&
		    strstr(findings.items[i].text, text))
			return;
	print_error("not found: %s\n", text);
	assert_nothing();
	fail();
}

static void test_good(void **state)
{
	assert_true(inspect(true));
	assert_nothing();
	assert_string_equal(identity.cn, "server");
	assert_int_equal(identity.chain_count, 0);
	assert_in_range(identity.not_after - (int64_t)(clock_realtime_ns() / NSEC_PER_SEC),
			50 * DAY_SECONDS - 60, 50 * DAY_SECONDS + 60);
	assert_int_equal(inspect_roots("ca.crt"), 1);
	assert_nothing();
}

static void test_absent(void **state)
{
	unlink(path_of("leaf.crt"));
	unlink(path_of("leaf.key"));
	assert_false(inspect(true));
	assert_found(PKI_ABOUT_CERTIFICATE, true, "No such file");
	assert_found(PKI_ABOUT_KEY, true, "No such file");
	assert_int_equal(inspect_roots("nothing.crt"), 0);
	assert_found(PKI_ABOUT_ROOTS, true, "No such file");
}

static void test_wrong_contents(void **state)
{
	rename(path_of("leaf.key"), path_of("leaf.crt"));
	fclose(create("leaf.key", 0600));
	assert_false(inspect(true));
	assert_found(PKI_ABOUT_CERTIFICATE, true, "holds no PEM certificate");
	assert_found(PKI_ABOUT_KEY, true, "empty");
}

static void test_time(void **state)
{
	struct clock_fake then = { .realtime_ns = clock_realtime_ns() };

	then.realtime_ns += 47 * DAY_SECONDS * NSEC_PER_SEC;
	clock_set_fake(&then);
	inspect(true);
	assert_found(PKI_ABOUT_CERTIFICATE, false, "expires soon");
	assert_int_equal(findings.errors, 0);
	then.realtime_ns += 4 * DAY_SECONDS * NSEC_PER_SEC;
	inspect(true);
	assert_found(PKI_ABOUT_CERTIFICATE, true, "has expired at");
	then.realtime_ns -= 60 * DAY_SECONDS * NSEC_PER_SEC;
	inspect(true);
	assert_found(PKI_ABOUT_CERTIFICATE, true, "is not valid before");
}

static void test_purpose(void **state)
{
	inspect(false);
	assert_found(PKI_ABOUT_CERTIFICATE, true, "not for client use");
	write_certificates("leaf.crt", &ca, 1);
	inspect(true);
	assert_found(PKI_ABOUT_CERTIFICATE, false, "is a CA's");
}

static void test_no_names(void **state)
{
	struct pki_subject subject = server_subject;

	subject.san_count = 0;
	subject.usage = PKI_USAGE_BOTH;
	write_leaf(&subject);
	inspect(true);
	assert_found(PKI_ABOUT_CERTIFICATE, false, "no alternative names");
	assert_int_equal(findings.errors, 0);
	inspect(false);
	assert_nothing();
}

static void test_key(void **state)
{
	write_key("leaf.key", ca_key, 0600, NULL);
	inspect(true);
	assert_found(PKI_ABOUT_KEY, true, "not the key of the certificate");
	write_key("leaf.key", key, 0644, NULL);
	inspect(true);
	assert_found(PKI_ABOUT_KEY, true, "mode 0644");
	write_key("leaf.key", key, 0600, "secret");
	inspect(true);
	assert_found(PKI_ABOUT_KEY, true, "password");
}

static void test_weak(void **state)
{
	EVP_PKEY *weak = EVP_RSA_gen(1024);
	X509 *leaf = pki_leaf_new(&server_subject, weak, ca, ca_key, &err), *root;

	write_certificates("leaf.crt", &leaf, 1);
	write_key("leaf.key", weak, 0600, NULL);
	inspect(true);
	assert_found(PKI_ABOUT_CERTIFICATE, true, "weak key (RSA, 1024 bits)");
	X509_free(leaf);
	leaf = pki_leaf_new(&server_subject, key, ca, ca_key, &err);
	assert_true(X509_sign(leaf, ca_key, EVP_sha1()) > 0);
	write_certificates("leaf.crt", &leaf, 1);
	write_key("leaf.key", key, 0600, NULL);
	inspect(true);
	assert_found(PKI_ABOUT_CERTIFICATE, true, "weak digest");
	X509_free(leaf);
	/* nobody checks the signature of a root */
	root = pki_root_new(&root_subject, ca_key, &err);
	assert_true(X509_sign(root, ca_key, EVP_sha1()) > 0);
	write_certificates("root.crt", &root, 1);
	assert_int_equal(inspect_roots("root.crt"), 1);
	assert_nothing();
	X509_free(root);
	EVP_PKEY_free(weak);
}

static void test_chain_order(void **state)
{
	X509 *leaf = pki_leaf_new(&server_subject, key, ca, ca_key, &err);
	EVP_PKEY *other_key = pki_key_new(PKI_KEY_EC_P256, &err);
	X509 *other =
		pki_root_new(&(struct pki_subject){ .cn = "Other", .days = 100 }, other_key, &err);
	X509 *good[] = { leaf, ca }, *bad[] = { leaf, other };

	write_certificates("leaf.crt", good, 2);
	inspect(true);
	assert_nothing();
	assert_int_equal(identity.chain_count, 1);
	write_certificates("leaf.crt", bad, 2);
	inspect(true);
	assert_found(PKI_ABOUT_CERTIFICATE, true, "has not signed the one before it");
	X509_free(leaf);
	X509_free(other);
	EVP_PKEY_free(other_key);
}

static void test_roots(void **state)
{
	struct clock_fake then = { .realtime_ns =
					   clock_realtime_ns() + 200 * DAY_SECONDS * NSEC_PER_SEC };
	X509 *leaf = pki_leaf_new(&server_subject, key, ca, ca_key, &err);
	X509 *two[] = { ca, leaf };

	write_certificates("two.crt", two, 2);
	assert_int_equal(inspect_roots("two.crt"), 2);
	assert_found(PKI_ABOUT_ROOTS, false, "root 2 (server) is not a CA's");
	assert_int_equal(findings.errors, 0);
	clock_set_fake(&then);
	assert_int_equal(inspect_roots("ca.crt"), 1);
	assert_found(PKI_ABOUT_ROOTS, true, "root 1 (Root) has expired");
	/* next to others it is worth a warning only */
	assert_int_equal(inspect_roots("two.crt"), 2);
	assert_found(PKI_ABOUT_ROOTS, false, "root 1 (Root) has expired");
	X509_free(leaf);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_good),  TEST(test_absent),  TEST(test_wrong_contents),
		TEST(test_time),  TEST(test_purpose), TEST(test_no_names),
		TEST(test_key),	  TEST(test_weak),    TEST(test_chain_order),
		TEST(test_roots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
