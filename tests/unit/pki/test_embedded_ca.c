/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedded CA: what it makes verifies (and only for what it is for), what it writes is whole,
 * private and never replaces anything unasked.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/util.h"
#include "pki/embedded_ca.h"
#include "pki/store.h"

#define DAY_SECONDS 86400

static char dir[64];
static struct err_text err;
static struct embedded_ca_result result;

static int set_up(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/sallyport-pki-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	char path[400];

	while (d && (entry = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		unlink(path);
	}
	if (d)
		closedir(d);
	clock_set_fake(NULL);
	return rmdir(dir);
}

static int make_ca(bool replace)
{
	const struct embedded_ca_request request = {
		.dir = dir,
		.replace = replace,
		.subject = { .cn = "Test root", .days = 30 },
	};

	return embedded_ca_create(&request, &result, &err);
}

static int issue(const char *cn, const char *name, enum pki_usage usage, unsigned int days)
{
	static const struct pki_san sans[] = { { PKI_SAN_DNS, "a.example" },
					       { PKI_SAN_IP, "127.0.0.1" },
					       { PKI_SAN_IP, "::1" },
					       { PKI_SAN_URI, "spiffe://example/a,b" } };
	const struct embedded_ca_request request = {
		.dir = dir,
		.name = name,
		.subject = { .cn = cn,
			     .sans = sans,
			     .san_count = ARRAY_SIZE(sans),
			     .usage = usage,
			     .days = days },
	};

	return embedded_ca_issue(&request, &result, &err);
}

static X509 *read_certificate(const char *name)
{
	char path[200];
	X509 *cert;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "re");
	assert_non_null(file);
	cert = PEM_read_X509(file, NULL, NULL, NULL);
	fclose(file);
	assert_non_null(cert);
	return cert;
}

static EVP_PKEY *read_key(const char *name)
{
	char path[200];
	EVP_PKEY *key;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "re");
	assert_non_null(file);
	key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
	fclose(file);
	assert_non_null(key);
	return key;
}

/* OpenSSL's verdict on a leaf for a purpose, with the strictest checks on. */
static int verify(const char *name, int purpose)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509 *root = read_certificate("ca.crt"), *leaf = read_certificate(name);
	int verdict;

	assert_int_equal(X509_STORE_add_cert(store, root), 1);
	assert_int_equal(X509_STORE_CTX_init(ctx, store, leaf, NULL), 1);
	X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
	X509_STORE_CTX_set_purpose(ctx, purpose);
	X509_verify_cert(ctx);
	verdict = X509_STORE_CTX_get_error(ctx);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	X509_free(root);
	X509_free(leaf);
	return verdict;
}

static mode_t mode_of(const char *name)
{
	char path[200];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static bool exists(const char *name)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

static void test_verifies_for_its_usage_only(void **state)
{
	assert_int_equal(make_ca(false), 0);
	assert_int_equal(issue("c", NULL, PKI_USAGE_CLIENT, 5), 0);
	assert_int_equal(issue("s", NULL, PKI_USAGE_SERVER, 5), 0);
	assert_int_equal(issue("b", NULL, PKI_USAGE_BOTH, 5), 0);
	assert_int_equal(verify("c.crt", X509_PURPOSE_SSL_CLIENT), X509_V_OK);
	assert_int_equal(verify("c.crt", X509_PURPOSE_SSL_SERVER), X509_V_ERR_INVALID_PURPOSE);
	assert_int_equal(verify("s.crt", X509_PURPOSE_SSL_SERVER), X509_V_OK);
	assert_int_equal(verify("s.crt", X509_PURPOSE_SSL_CLIENT), X509_V_ERR_INVALID_PURPOSE);
	assert_int_equal(verify("b.crt", X509_PURPOSE_SSL_CLIENT), X509_V_OK);
	assert_int_equal(verify("b.crt", X509_PURPOSE_SSL_SERVER), X509_V_OK);
}

static void test_every_key_type(void **state)
{
	char name[32], crt[40], key_file[40];

	assert_int_equal(make_ca(false), 0);
	/* The larger RSA keys take long to make; the tests of the command line do. */
	for (int type = 0; type <= PKI_KEY_RSA_2048; type++) {
		struct embedded_ca_request request = {
			.dir = dir,
			.key_type = (enum pki_key_type)type,
			.subject = { .cn = name, .usage = PKI_USAGE_BOTH, .days = 1 },
		};
		X509 *cert;
		EVP_PKEY *key;

		snprintf(name, sizeof(name), "k-%s", pki_key_type_names()[type]);
		snprintf(crt, sizeof(crt), "%s.crt", name);
		snprintf(key_file, sizeof(key_file), "%s.key", name);
		assert_int_equal(embedded_ca_issue(&request, &result, &err), 0);
		assert_int_equal(verify(crt, X509_PURPOSE_SSL_SERVER), X509_V_OK);
		cert = read_certificate(crt);
		key = read_key(key_file);
		assert_int_equal(X509_check_private_key(cert, key), 1);
		assert_int_equal(mode_of(key_file), 0600);
		X509_free(cert);
		EVP_PKEY_free(key);
	}
}

static void test_contents(void **state)
{
	X509 *cert, *root;
	char serial[PKI_SERIAL_TEXT_BYTES];
	int64_t now = (int64_t)(clock_realtime_ns() / NSEC_PER_SEC);

	assert_int_equal(make_ca(false), 0);
	root = read_certificate("ca.crt");
	assert_int_equal(X509_check_ca(root), 1);
	assert_int_equal(X509_get_key_usage(root), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
	assert_int_equal(issue("leaf", NULL, PKI_USAGE_SERVER, 5), 0);
	cert = read_certificate("leaf.crt");
	assert_int_equal(X509_get_version(cert), X509_VERSION_3);
	assert_int_equal(X509_check_ca(cert), 0);
	assert_int_equal(X509_get_key_usage(cert), KU_DIGITAL_SIGNATURE);
	assert_int_equal(X509_check_host(cert, "a.example", 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(cert, "b.example", 0, 0, NULL), 0);
	assert_int_equal(X509_check_ip_asc(cert, "127.0.0.1", 0), 1);
	assert_int_equal(X509_check_ip_asc(cert, "::1", 0), 1);
	assert_int_equal(ASN1_OCTET_STRING_cmp(X509_get0_authority_key_id(cert),
					       X509_get0_subject_key_id(root)),
			 0);
	/* its life: from a little ago, to the day asked for */
	assert_in_range(now - pki_time_seconds(X509_get0_notBefore(cert)), 240, 360);
	assert_in_range(pki_time_seconds(X509_get0_notAfter(cert)) - now, 5 * DAY_SECONDS - 60,
			5 * DAY_SECONDS + 60);
	assert_false(result.cut);
	/* a serial of 128 bits, positive, and the one that was told */
	assert_int_equal(pki_serial_text(cert, serial), 0);
	assert_string_equal(serial, result.serial);
	assert_int_equal(strlen(serial), 32);
	assert_true(serial[0] < '8');
	X509_free(cert);
	X509_free(root);
}

/* A comma in a name adds no name. */
static void test_names_are_not_syntax(void **state)
{
	GENERAL_NAMES *names;
	X509 *cert;

	assert_int_equal(make_ca(false), 0);
	assert_int_equal(issue("x,DNS:evil.example", "leaf", PKI_USAGE_SERVER, 5), 0);
	cert = read_certificate("leaf.crt");
	names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	assert_int_equal(sk_GENERAL_NAME_num(names), 4);
	assert_int_equal(X509_check_host(cert, "evil.example", 0, 0, NULL), 0);
	GENERAL_NAMES_free(names);
	X509_free(cert);
}

static void test_cut_to_the_issuer(void **state)
{
	X509 *cert, *root;

	assert_int_equal(make_ca(false), 0);
	assert_int_equal(issue("long", NULL, PKI_USAGE_CLIENT, 3650), 0);
	assert_true(result.cut);
	cert = read_certificate("long.crt");
	root = read_certificate("ca.crt");
	assert_int_equal(ASN1_TIME_compare(X509_get0_notAfter(cert), X509_get0_notAfter(root)), 0);
	X509_free(cert);
	X509_free(root);
}

static void test_expired_issuer(void **state)
{
	struct clock_fake later = { .realtime_ns = clock_realtime_ns() +
						   40ULL * DAY_SECONDS * NSEC_PER_SEC };

	assert_int_equal(make_ca(false), 0);
	clock_set_fake(&later);
	assert_int_equal(issue("late", NULL, PKI_USAGE_CLIENT, 5), -EINVAL);
	assert_non_null(strstr(err.text, "expired"));
	assert_false(exists("late.crt"));
}

static void test_no_overwrite(void **state)
{
	X509 *before, *after;

	assert_int_equal(make_ca(false), 0);
	before = read_certificate("ca.crt");
	assert_int_equal(make_ca(false), -EEXIST);
	assert_non_null(strstr(err.text, "--force"));
	after = read_certificate("ca.crt");
	assert_int_equal(X509_cmp(before, after), 0);
	X509_free(after);
	assert_int_equal(make_ca(true), 0);
	after = read_certificate("ca.crt");
	assert_int_not_equal(X509_cmp(before, after), 0);
	X509_free(after);
	X509_free(before);
	assert_int_equal(issue("x", NULL, PKI_USAGE_CLIENT, 5), 0);
	assert_int_equal(issue("x", NULL, PKI_USAGE_CLIENT, 5), -EEXIST);
	assert_int_equal(issue("y", "x", PKI_USAGE_CLIENT, 5), -EEXIST);
	assert_int_equal(issue("ca", NULL, PKI_USAGE_CLIENT, 5), -EINVAL);
	assert_int_equal(issue("z", "CA", PKI_USAGE_CLIENT, 5), -EINVAL);
}

static void test_names_stay_in_the_directory(void **state)
{
	static const struct {
		const char *cn, *file;
	} rows[] = {
		{ "../../etc/passwd", "_._.._etc_passwd" },
		{ "..", "_." },
		{ ".hidden", "_hidden" },
		{ "-rf", "_rf" },
		{ "a b\"c", "a_b_c" },
		{ "CN=x/y", "CN_x_y" },
		{ "caf\xc3\xa9", "caf__" },
		{ "svc-1.example@x+y", "svc-1.example@x+y" },
	};
	char name[100];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		embedded_ca_file_name(rows[i].cn, name, sizeof(name));
		assert_string_equal(name, rows[i].file);
	}
	assert_int_equal(make_ca(false), 0);
	assert_int_equal(issue("../x", NULL, PKI_USAGE_CLIENT, 5), 0);
	assert_true(exists("_._x.crt"));
	assert_int_equal(issue("x", "../x", PKI_USAGE_CLIENT, 5), -EINVAL);
	assert_int_equal(issue("x", "", PKI_USAGE_CLIENT, 5), -EINVAL);
}

static void test_bad_cns(void **state)
{
	static const char long_65[] = "0123456789012345678901234567890123456789"
				      "0123456789012345678901234";
	static const char *const cns[] = { "", "a\nb", "a\x7f", "\xff", "a\xc2\x85", long_65 };

	for (size_t i = 0; i < ARRAY_SIZE(cns); i++) {
		assert_int_equal(pki_cn_check(cns[i], &err), -EINVAL);
		assert_true(err.text[0] != 0);
	}
	assert_int_equal(pki_cn_check(long_65 + 1, &err), 0);
	assert_int_equal(pki_cn_check("\xc3\xa9", &err), 0);
}

static void test_bad_sans(void **state)
{
	static const char *const sans[] = {
		"x",	   "dns:", "dns:a b",	  "dns:a..b",  "dns:a,b",   "ip:",   "ip:300.1.1.1",
		"ip:host", "uri:", "uri:nothing", "uri:a:b c", "email:a@b", "DNS:x",
	};
	struct pki_san san;

	for (size_t i = 0; i < ARRAY_SIZE(sans); i++)
		assert_int_equal(pki_san_parse(sans[i], &san, &err), -EINVAL);
	assert_int_equal(pki_san_parse("dns:*.example", &san, &err), 0);
	assert_string_equal(san.value, "*.example");
	assert_int_equal(pki_san_parse("uri:spiffe://a/b", &san, &err), 0);
	assert_int_equal(san.kind, PKI_SAN_URI);
}

static void test_no_ca(void **state)
{
	assert_int_equal(issue("x", NULL, PKI_USAGE_CLIENT, 5), -ENOENT);
	assert_non_null(strstr(err.text, "sallyport dev ca"));
}

static void test_foreign_or_open_ca_key(void **state)
{
	char path[200];
	EVP_PKEY *other;
	FILE *file;

	assert_int_equal(make_ca(false), 0);
	snprintf(path, sizeof(path), "%s/ca.key", dir);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(issue("x", NULL, PKI_USAGE_CLIENT, 5), -EPERM);
	assert_int_equal(chmod(path, 0600), 0);
	other = pki_key_new(PKI_KEY_EC_P256, &err);
	file = fopen(path, "we");
	assert_int_equal(PEM_write_PrivateKey(file, other, NULL, NULL, 0, NULL, NULL), 1);
	fclose(file);
	EVP_PKEY_free(other);
	assert_int_equal(issue("x", NULL, PKI_USAGE_CLIENT, 5), -EINVAL);
	assert_non_null(strstr(err.text, "is not the key of"));
	file = fopen(path, "we");
	fputs("garbage", file);
	fclose(file);
	assert_int_equal(issue("x", NULL, PKI_USAGE_CLIENT, 5), -EINVAL);
}

static size_t lines_of_index(void)
{
	char path[200], line[512];
	size_t count = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/index.jsonl", dir);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		assert_non_null(strstr(line, "\"serial\":\""));
		assert_non_null(strstr(line, "\"not_after\":\""));
		assert_int_equal(line[strlen(line) - 2], '}');
		count++;
	}
	if (file)
		fclose(file);
	return count;
}

static void test_index(void **state)
{
	assert_int_equal(make_ca(false), 0);
	assert_int_equal(issue("a\"b", NULL, PKI_USAGE_CLIENT, 5), 0);
	assert_int_equal(issue("c", NULL, PKI_USAGE_CLIENT, 5), 0);
	assert_int_equal(issue("c", NULL, PKI_USAGE_CLIENT, 5), -EEXIST);
	assert_int_equal(lines_of_index(), 3);
}

static size_t count_files(void)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	size_t count = 0;

	while ((entry = readdir(d)))
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(d);
	return count;
}

/* A file system that is full after `bytes` of a file, as RLIMIT_FSIZE plays it. */
static int issue_with_room(rlim_t bytes)
{
	struct rlimit before, limit;
	int r;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	limit = (struct rlimit){ bytes, before.rlim_max };
	setrlimit(RLIMIT_FSIZE, &limit);
	r = issue("full", NULL, PKI_USAGE_CLIENT, 5);
	setrlimit(RLIMIT_FSIZE, &before);
	return r;
}

/* Wherever the room ends, either both files are there or neither, no temporary file is left, and
 * the index has whole lines only. */
static void test_interrupted_writes(void **state)
{
	size_t before;
	int r = -1;

	assert_int_equal(make_ca(false), 0);
	for (rlim_t room = 0; room < 1400; room += 50) {
		before = count_files();
		r = issue_with_room(room);
		if (r == 0)
			break;
		assert_false(exists("full.crt"));
		assert_false(exists("full.key"));
		assert_int_equal(count_files(), before);
		lines_of_index();
		assert_true(err.text[0] != 0);
	}
	assert_int_equal(r, 0);
	assert_true(exists("full.crt") && exists("full.key"));
}

static void test_leftovers_are_removed(void **state)
{
	char path[200];
	FILE *file;

	assert_int_equal(make_ca(false), 0);
	snprintf(path, sizeof(path), "%s/.new-x.key", dir);
	file = fopen(path, "we");
	fputs("half", file);
	fclose(file);
	assert_int_equal(issue("x", NULL, PKI_USAGE_CLIENT, 5), 0);
	assert_false(exists(".new-x.key"));
	assert_int_equal(mode_of("x.key"), 0600);
}

/* A link that somebody has put in the way is not followed. */
static void test_links_are_not_followed(void **state)
{
	char path[200], target[200];

	assert_int_equal(make_ca(false), 0);
	snprintf(path, sizeof(path), "%s/x.key", dir);
	snprintf(target, sizeof(target), "%s/elsewhere", dir);
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(issue("x", NULL, PKI_USAGE_CLIENT, 5), -EEXIST);
	assert_false(exists("elsewhere"));
	assert_false(exists("x.crt"));
}

static void test_store_pair_is_all_or_nothing(void **state)
{
	const struct store_file files[] = { { "a", 0600, "1", 1 }, { "b", 0644, "2", 1 } };
	struct store store = { .fd = -1 };

	assert_int_equal(store_open(&store, dir, false, &err), 0);
	assert_int_equal(store_write(&store, &files[1], 1, false, &err), 0);
	assert_int_equal(store_write(&store, files, 2, false, &err), -EEXIST);
	assert_false(exists("a"));
	assert_int_equal(store_write(&store, files, 2, true, &err), 0);
	assert_true(exists("a"));
	assert_int_equal(mode_of("a"), 0600);
	assert_int_equal(count_files(), 2);
	store_close(&store);
	store_close(&store);
	assert_int_equal(store_open(&store, "/nonexistent/x", true, &err), -ENOENT);
	assert_int_equal(store_open(&store, "/dev/null", true, &err), -ENOTDIR);
}

/* One writer at a time: the lock is really held. */
static void test_store_locks(void **state)
{
	struct store store = { .fd = -1 };
	int fd;

	assert_int_equal(store_open(&store, dir, false, &err), 0);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
	assert_int_equal(errno, EWOULDBLOCK);
	store_close(&store);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_verifies_for_its_usage_only),
		TEST(test_every_key_type),
		TEST(test_contents),
		TEST(test_names_are_not_syntax),
		TEST(test_cut_to_the_issuer),
		TEST(test_expired_issuer),
		TEST(test_no_overwrite),
		TEST(test_names_stay_in_the_directory),
		TEST(test_bad_cns),
		TEST(test_bad_sans),
		TEST(test_no_ca),
		TEST(test_foreign_or_open_ca_key),
		TEST(test_index),
		TEST(test_interrupted_writes),
		TEST(test_leftovers_are_removed),
		TEST(test_links_are_not_followed),
		TEST(test_store_pair_is_all_or_nothing),
		TEST(test_store_locks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
