/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the proxy tells bpf/pacing.bpf.c: a socket option of a level of our own, which the program
 * takes before the kernel looks at it. Where no program is attached the kernel does not know the
 * option (ENOPROTOOPT).
 */
#ifndef SALLYPORT_ABI_PACING_H
#define SALLYPORT_ABI_PACING_H

#include <linux/types.h>

#define PACING_LEVEL  0x53414c59 /* "SALY" */
#define PACING_OPTION 1

/* The socket belongs to this client, who is to be sent no more bytes a second than this; 0: as many
 * as there are. The last word of any of a client's sockets holds for all of them. */
struct pacing_order {
	__u64 client; /* 0: nobody's, nothing is done */
	__u64 rate;
};

#endif
