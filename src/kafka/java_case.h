/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of kafka/ only: Java's String.toLowerCase(Locale.ENGLISH) and .toUpperCase().
 */
#ifndef SALLYPORT_KAFKA_JAVA_CASE_H
#define SALLYPORT_KAFKA_JAVA_CASE_H

#include <stdbool.h>
#include <stddef.h>

enum java_case_result {
	JAVA_CASE_OK = 0,
	/* A letter beyond ASCII would become an ASCII one: the name of somebody else. */
	JAVA_CASE_BECOMES_ASCII = 1,
	JAVA_CASE_DOUBTFUL = 2, /* Java and Unicode's tables may differ here */
};

/* `text` is UTF-8, not empty. *ret is the caller's to free. 0, a java_case_result or -ENOMEM. Any
 * thread. */
int java_case_map(const char *text, size_t len, bool upper, char **ret);

#endif
