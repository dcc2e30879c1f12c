/* SPDX-License-Identifier: Apache-2.0 */
/* An agent's configuration: what is not in it has defaults, and contradictions are found. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/agent.h"
#include "base/util.h"

#define HEAD                                                                                       \
	"certificates:\n"                                                                          \
	"  - name: a\n"                                                                            \
	"    source: dev\n"                                                                        \
	"    dir: ca\n"                                                                            \
	"    common_name: a\n"

static struct config_problems problems;

static int load(const char *text, struct config_agent **ret)
{
	char file[] = "/tmp/sallyport-agent-XXXXXX";
	int fd = mkstemp(file), r;

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	memset(&problems, 0, sizeof(problems));
	r = config_agent_load(file, ret, &problems);
	unlink(file);
	return r;
}

static void test_defaults(void **state)
{
	struct config_agent *config = NULL;
	const struct config_agent_certificate *c;

	assert_int_equal(load(HEAD "    layouts: [ { directory: out } ]\n", &config), 0);
	assert_int_equal(config->certificate_count, 1);
	c = &config->certificates[0];
	assert_string_equal(c->certificate.name, "a");
	assert_string_equal(c->certificate.dir, "/tmp/ca");
	assert_int_equal(config_agent_mode(c), 0600);
	assert_int_equal(c->keep_ms, 3600 * 1000);
	assert_null(c->owner);
	assert_string_equal(c->layouts[0].directory, "/tmp/out");
	assert_true(config_layout_has(&c->layouts[0], CONFIG_LAYOUT_PEM));
	assert_false(config_layout_has(&c->layouts[0], CONFIG_LAYOUT_PKCS12));
	assert_int_equal(config->process.metrics.listen.port, 0);
	assert_string_equal(config->process.admin.socket, "auto");
	assert_int_equal(config->process.log_level, LOG_INFO);
	config_agent_free(config);
	config_agent_free(NULL);
}

static void refuse(const char *text, unsigned int line, const char *path, const char *says)
{
	struct config_agent *config = NULL;

	assert_int_equal(load(text, &config), -EINVAL);
	assert_null(config);
	for (size_t i = 0; i < problems.count; i++)
		if (problems.items[i].line == line && strcmp(problems.items[i].path, path) == 0 &&
		    strstr(problems.items[i].text, says))
			return;
	fail_msg("%u: %s: %s: not said", line, path, says);
}

static void test_mistakes(void **state)
{
	refuse(HEAD, 2, "certificates[0].layouts", "missing");
	refuse(HEAD "    layouts: [ { directory: a }, { directory: a } ]\n", 6,
	       "certificates[0].layouts[1].directory", "another layout (line 6) has this");
	refuse(HEAD "    layouts: [ { directory: a, formats: [pkcs12] } ]\n", 6,
	       "certificates[0].layouts[0].password_file", "without a password");
	refuse(HEAD "    layouts: [ { directory: a, formats: [] } ]\n", 6,
	       "certificates[0].layouts[0].formats", "there would be no files");
	refuse(HEAD
	       "    layouts: [ { directory: a, templates: [ { source: t, target: tls.key } ] } ]\n",
	       6, "certificates[0].layouts[0].templates", "the name of another file");
	refuse(HEAD "    layouts: [ { directory: a } ]\n    mode: \"0666\"\n", 7,
	       "certificates[0].mode", "not for everybody");
	refuse(HEAD "    layouts: [ { directory: a } ]\n    mode: \"0040\"\n", 7,
	       "certificates[0].mode", "nobody could read");
	refuse(HEAD "    layouts: [ { directory: a } ]\n    hooks: [ { command: [sh] } ]\n", 7,
	       "certificates[0].hooks[0].command", "an absolute path");
	refuse("certificates:\n  - { name: a, source: files, certificate: c, key: k,\n"
	       "      layouts: [ { directory: a } ] }\n",
	       2, "certificates[0].roots", "missing");
	/* Of the sections that a proxy has, too. */
	refuse("certificates:\n  - { name: a, source: vault, common_name: a, role: r,\n"
	       "      layouts: [ { directory: a } ] }\n",
	       2, "certificates[0].source", "there is no section vault");
	refuse(HEAD "    layouts: [ { directory: a } ]\nlisteners: []\n", 7, "listeners",
	       "unknown key");
	refuse(HEAD "    directory: a\n    layouts: [ { directory: a } ]\n", 6,
	       "certificates[0].directory", "this key belongs under 'certificates[].layouts[]'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
