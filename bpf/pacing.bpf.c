// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Pacing of all sockets of a client together, by earliest departure time: each packet is given the
 * time at which it may leave, and the queueing discipline fq holds it until then. Two programs on
 * the proxy's cgroup: one takes the order that says whose a socket is (include/abi/pacing.h), the
 * other stamps what the socket sends. Nothing is ever dropped.
 *
 * A client's entry in the table is made by the order, and may be thrown out for others when there
 * are very many: its sockets are then not paced until the next order.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include "abi/pacing.h"

#define CLIENTS_MAX  16384
#define NSEC_PER_SEC 1000000000ULL
/* A packet waits no longer than this; what comes then goes with it. What is let through at once is
 * a client's burst at most, and its rate here is such that a burst takes a second: it is reached
 * only if a limit has just become much lower. fq's own horizon, beyond which it drops, is 10 s. */
#define HORIZON_NS   NSEC_PER_SEC
#define IPV4_HEADERS 52 /* IPv4, TCP, and its timestamps: the rate is of what they carry */
#define IPV6_HEADERS 72
#define ETH_P_IPV6   0x86dd

struct client {
	__u64 rate;
	__u64 next_ns; /* when all that has been sent is paid for */
};

struct socket {
	__u64 client;
	__u64 last_ns; /* departure of its last packet: none overtakes another */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CLIENTS_MAX);
	__type(key, __u64);
	__type(value, struct client);
} clients SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct socket);
} sockets SEC(".maps");

/* Out of memory is no error: without pacing nothing is lost. */
static void carry_out(struct bpf_sock *sk, const struct pacing_order *order)
{
	struct client fresh = { .rate = order->rate }, *client;
	struct socket *socket;
	__u64 id = order->client;

	if (!id)
		return;
	client = bpf_map_lookup_elem(&clients, &id);
	if (client)
		client->rate = order->rate;
	else
		bpf_map_update_elem(&clients, &id, &fresh, BPF_NOEXIST);
	socket = bpf_sk_storage_get(&sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (socket)
		socket->client = id;
}

SEC("cgroup/setsockopt")
int take_order(struct bpf_sockopt *ctx)
{
	struct pacing_order *order = ctx->optval;

	if (ctx->level != PACING_LEVEL || ctx->optname != PACING_OPTION || !ctx->sk ||
	    (void *)(order + 1) > ctx->optval_end)
		return 1;
	carry_out(ctx->sk, order);
	ctx->optlen = -1; /* the kernel is not to look at it */
	return 1;
}

/* False: another CPU was quicker. Else *begin_ns is when what costs so much may leave. */
static __always_inline bool pay(struct client *client, __u64 cost_ns, __u64 now_ns, __u64 *begin_ns)
{
	__u64 next_ns = client->next_ns;

	*begin_ns = next_ns > now_ns ? next_ns : now_ns;
	if (*begin_ns > now_ns + HORIZON_NS) {
		*begin_ns = now_ns + HORIZON_NS;
		return true;
	}
	return __sync_bool_compare_and_swap(&client->next_ns, next_ns, *begin_ns + cost_ns);
}

/* When `bytes` may leave, at `now_ns` or after. Three times beaten, they are not counted. No loop:
 * without CAP_PERFMON the verifier follows what a CPU may guess of one, for too long. */
static __u64 departure(struct client *client, __u64 bytes, __u64 now_ns)
{
	__u64 rate = client->rate, cost_ns, begin_ns = now_ns;

	if (!rate)
		return now_ns;
	cost_ns = bytes * NSEC_PER_SEC / rate;
	if (pay(client, cost_ns, now_ns, &begin_ns) || pay(client, cost_ns, now_ns, &begin_ns))
		return begin_ns;
	pay(client, cost_ns, now_ns, &begin_ns);
	return begin_ns;
}

SEC("cgroup_skb/egress")
int stamp(struct __sk_buff *skb)
{
	__u32 headers =
		skb->protocol == __builtin_bswap16(ETH_P_IPV6) ? IPV6_HEADERS : IPV4_HEADERS;
	struct bpf_sock *sk = skb->sk;
	struct socket *socket;
	struct client *client;
	__u64 now_ns, at_ns;

	if (sk)
		sk = bpf_sk_fullsock(sk);
	socket = sk ? bpf_sk_storage_get(&sockets, sk, NULL, 0) : NULL;
	client = socket ? bpf_map_lookup_elem(&clients, &socket->client) : NULL;
	if (!client)
		return 1;
	now_ns = bpf_ktime_get_ns();
	at_ns = skb->len > headers ? departure(client, skb->len - headers, now_ns) : now_ns;
	if (at_ns < socket->last_ns)
		at_ns = socket->last_ns;
	socket->last_ns = at_ns;
	/* TCP itself may want it later. */
	if (at_ns > skb->tstamp)
		skb->tstamp = at_ns;
	return 1;
}

/* Either of the two that the licence line offers. */
char program_license[] SEC("license") = "Dual BSD/GPL";
