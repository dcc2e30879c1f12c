/* SPDX-License-Identifier: Apache-2.0 */
/* Entry: a table of verbs, one file a verb. */
#include <stdio.h>

int main(int argc, char **argv)
{
	(void)argc;
	printf("%s %s\n", argv[0], SALLYPORT_VERSION);
	return 0;
}
