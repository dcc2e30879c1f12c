/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An agent sleeps nearly all of its life, often beside many others on a host. It gives back what
 * starting took as soon as it has started, because linking with so many libraries touches more of
 * them than it will ever use, and what issuing took when it has been quiet for a moment: free heap,
 * and the pages of program and libraries, which are read-only and come back from the page cache
 * when they are touched. Main thread.
 */
#include <link.h>
#include <malloc.h>
#include <sys/mman.h>

#include "agent/agent_impl.h"
#include "base/clock.h"
#include "base/util.h"

#define QUIET_NS (3 * NSEC_PER_SEC)

void agent_trim_later(struct agent *agent)
{
	agent->trim_ns = clock_monotonic_ns() + QUIET_NS;
}

/* Segments that nobody may write are as they are in their file: nothing is lost with them. */
static int drop_segments(struct dl_phdr_info *object, size_t size, void *arg)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	(void)size;
	(void)arg;
	for (int i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
		uintptr_t from = object->dlpi_addr + segment->p_vaddr;
		uintptr_t to = from + segment->p_filesz;

		if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W))
			continue;
		from &= ~(page - 1);
		madvise((void *)from, to - from, MADV_DONTNEED);
	}
	return 0;
}

void agent_trim(void)
{
	malloc_trim(0);
	dl_iterate_phdr(drop_segments, NULL);
}

uint64_t agent_trim_turn(struct agent *agent, uint64_t now_ns)
{
	if (!agent->trim_ns)
		return UINT64_MAX;
	if (now_ns < agent->trim_ns)
		return agent->trim_ns;
	agent->trim_ns = 0;
	agent_trim();
	return UINT64_MAX;
}
