/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes (ktls_lane.h): the same system calls on the same amounts as the relay's. Bulk goes eight
 * records at once, small messages one by one. Feeding a lane and taking what comes out is in the
 * figures of every way alike; only so is what the kernel does for an arriving record counted, for
 * which nobody has called yet. One thread.
 */
#include "tls/ktls_lane.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/pipe.h"
#include "base/util.h"
#include "limits/limits.h"
#include "tls/record.h"

#define LARGE_RECORDS	8  /* a turn, all at once */
#define SMALL_RECORDS	16 /* a turn, one by one */
#define PLAIN_BYTES_MAX (LARGE_RECORDS * KTLS_LARGE_BYTES)
#define SOCKET_BYTES	(2 * PLAIN_BYTES_MAX)

struct ktls_bench {
	struct aead_cache *cache;
	uint8_t pattern[PLAIN_BYTES_MAX]; /* what is sent */
	uint8_t sealed[LARGE_RECORDS * TLS_RECORD_BYTES_MAX];
	uint8_t work[LARGE_RECORDS * TLS_RECORD_BYTES_MAX];
};

int ktls_bench_new(struct ktls_bench **ret)
{
	struct ktls_bench *bench = malloc(sizeof(*bench));
	uint32_t word = 1;

	if (!bench)
		return -ENOMEM;
	/* For each lane of a suite two contexts. */
	if (aead_cache_new((size_t)4 * KTLS_WAY_COUNT, &bench->cache) < 0) {
		free(bench);
		return -ENOMEM;
	}
	for (size_t i = 0; i < sizeof(bench->pattern); i++) {
		word = word * 1664525 + 1013904223;
		bench->pattern[i] = (uint8_t)(word >> 24);
	}
	*ret = bench;
	return 0;
}

void ktls_bench_free(struct ktls_bench *bench)
{
	if (bench)
		aead_cache_free(bench->cache);
	free(bench);
}

/* --- a lane --- */

static bool is_sending(const struct ktls_lane *lane)
{
	return lane->direction == KTLS_SENDING;
}

static int open_sockets(struct ktls_lane *lane)
{
	const int on = 1, bytes = SOCKET_BYTES;
	int r = ktls_pair_init(&lane->in);

	if (!r)
		r = ktls_pair_init(&lane->out);
	if (r)
		return r;
	for (int i = 0; i < 2; i++) {
		const struct ktls_pair *p = i ? &lane->out : &lane->in;

		if (setsockopt(p->a, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
		    setsockopt(p->a, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)) < 0 ||
		    setsockopt(p->b, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)) < 0)
			return -errno;
	}
	return 0;
}

static int open_pipe(struct ktls_lane *lane)
{
	int r = pipe_open(lane->pipe, O_CLOEXEC, PIPE_BYTES, PIPE_BYTES_MIN);

	return r < 0 ? KTLS_LANE_NO_WAY : KTLS_LANE_OK;
}

static int random_keys(struct traffic_keys *t, bool has_explicit_nonce)
{
	if (getrandom(t->key, sizeof(t->key), 0) != (ssize_t)sizeof(t->key) ||
	    getrandom(t->iv, sizeof(t->iv), 0) != (ssize_t)sizeof(t->iv))
		return -EIO;
	if (has_explicit_nonce)
		memset(t->iv + GCM_SALT_BYTES, 0, sizeof(t->iv) - GCM_SALT_BYTES);
	return 0;
}

static int make_keys(struct ktls_lane *lane, uint16_t version, enum tls_cipher cipher)
{
	bool has_explicit_nonce =
		version != TLS_VERSION_1_3 && cipher != TLS_CIPHER_CHACHA20_POLY1305_SHA256;
	struct tls_keys *ours = tls_keys_new(), *peers = tls_keys_new();
	int r;

	lane->keys = ours;
	lane->peer_keys = peers;
	if (!ours || !peers)
		return -ENOMEM;
	ours->version = peers->version = version;
	ours->cipher = peers->cipher = (uint8_t)cipher;
	r = random_keys(&ours->rx, has_explicit_nonce);
	if (!r)
		r = random_keys(&ours->tx, has_explicit_nonce);
	peers->rx = ours->tx;
	peers->tx = ours->rx;
	aead_init(&lane->ours, ours, is_sending(lane));
	aead_init(&lane->peers, peers, !is_sending(lane));
	return r;
}

static int give_to_kernel(struct ktls_lane *lane, const struct ktls_support *support,
			  struct err_text *err)
{
	int fd = is_sending(lane) ? lane->out.a : lane->in.b;
	int r = ktls_install(fd, lane->keys, support, err);

	if (r)
		return r < 0 ? r : -EOPNOTSUPP;
	if (lane->way == KTLS_WAY_UNPADDED && ktls_expect_unpadded(fd) < 0)
		return KTLS_LANE_NO_WAY;
	return KTLS_LANE_OK;
}

int ktls_lane_init(struct ktls_lane *lane, const struct ktls_support *support, uint16_t version,
		   enum tls_cipher cipher, enum ktls_direction direction, enum ktls_way way,
		   struct err_text *err)
{
	int r;

	*lane = (struct ktls_lane){ .direction = direction,
				    .way = way,
				    .in = KTLS_PAIR_NONE,
				    .out = KTLS_PAIR_NONE,
				    .pipe = { -1, -1 } };
	/* Padding is of TLS 1.3, and of what comes. */
	if (way == KTLS_WAY_UNPADDED && (version != TLS_VERSION_1_3 || direction == KTLS_SENDING))
		return KTLS_LANE_NO_WAY;
	r = open_sockets(lane);
	if (!r)
		r = make_keys(lane, version, cipher);
	if (r)
		return err_set(err, r, "no sockets or keys to try it: %s", strerror(-r));
	if (way == KTLS_WAY_SPLICE)
		r = open_pipe(lane);
	if (!r && way != KTLS_WAY_OWN)
		r = give_to_kernel(lane, support, err);
	return r;
}

void ktls_lane_fini(struct ktls_lane *lane, struct ktls_bench *bench)
{
	aead_release(bench->cache, &lane->ours);
	aead_release(bench->cache, &lane->peers);
	ktls_pair_fini(&lane->in);
	ktls_pair_fini(&lane->out);
	for (int i = 0; i < 2; i++)
		if (lane->pipe[i] >= 0)
			close(lane->pipe[i]);
	tls_keys_free(TAKE_PTR(lane->keys));
	tls_keys_free(TAKE_PTR(lane->peer_keys));
}

/* --- system calls --- */

/* All of it; `iov` is used up. 0 or -errno. */
static int transfer(int fd, bool sending, struct iovec *iov, size_t count)
{
	while (count) {
		struct msghdr msg = { .msg_iov = iov, .msg_iovlen = count };
		ssize_t n =
			sending ? sendmsg(fd, &msg, MSG_NOSIGNAL) : recvmsg(fd, &msg, MSG_WAITALL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPIPE;
		for (; count && (size_t)n >= iov->iov_len; iov++, count--)
			n -= (ssize_t)iov->iov_len;
		if (count) {
			iov->iov_base = (uint8_t *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	return 0;
}

static int transfer_one(int fd, bool sending, void *bytes, size_t len)
{
	struct iovec iov = { bytes, len };

	return transfer(fd, sending, &iov, 1);
}

/* What came out, unseen: `least` bytes and what else is there. */
static int drain(struct ktls_lane *lane, struct ktls_bench *bench, size_t least)
{
	for (;;) {
		int flags = MSG_TRUNC | (least ? MSG_WAITALL : MSG_DONTWAIT);
		ssize_t n =
			recv(lane->out.b, bench->work, least ? least : sizeof(bench->work), flags);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN && !least)
			return 0;
		if (n <= 0)
			return n < 0 ? -errno : -EPIPE;
		least -= MIN((size_t)n, least);
	}
}

/* --- the ways --- */

/* What a move carries: records of the same length. */
struct load {
	size_t records, record_bytes;
};

static size_t wire_bytes(const struct aead *aead, size_t record_bytes)
{
	return aead_prefix_bytes(aead) + record_bytes + aead_suffix_bytes(aead);
}

static int move_sealing(struct ktls_lane *lane, struct ktls_bench *bench, const struct load *load)
{
	size_t prefix = aead_prefix_bytes(&lane->ours);
	size_t pitch = wire_bytes(&lane->ours, load->record_bytes);
	struct iovec iov[LARGE_RECORDS];
	int r;

	for (size_t i = 0; i < load->records; i++)
		iov[i] = (struct iovec){ bench->work + i * pitch + prefix, load->record_bytes };
	r = transfer(lane->in.b, false, iov, load->records);
	for (size_t i = 0; !r && i < load->records; i++)
		r = aead_seal(bench->cache, &lane->ours, TLS_APPLICATION_DATA,
			      bench->work + i * pitch, load->record_bytes);
	if (r)
		return r < 0 ? r : -EIO;
	return transfer_one(lane->out.a, true, bench->work, load->records * pitch);
}

static int move_opening(struct ktls_lane *lane, struct ktls_bench *bench, const struct load *load)
{
	size_t pitch = wire_bytes(&lane->ours, load->record_bytes);
	struct iovec iov[LARGE_RECORDS];
	int r = transfer_one(lane->in.b, false, bench->work, load->records * pitch);

	for (size_t i = 0; !r && i < load->records; i++) {
		uint8_t type, *payload;
		size_t len;

		r = aead_open(bench->cache, &lane->ours, bench->work + i * pitch, pitch, &type,
			      &payload, &len);
		if (!r)
			iov[i] = (struct iovec){ payload, len };
	}
	if (r)
		return r < 0 ? r : -EBADMSG;
	return transfer(lane->out.a, true, iov, load->records);
}

static int move_copying(struct ktls_lane *lane, struct ktls_bench *bench, const struct load *load)
{
	size_t len = load->records * load->record_bytes;
	int r = transfer_one(lane->in.b, false, bench->work, len);

	return r ? r : transfer_one(lane->out.a, true, bench->work, len);
}

static ssize_t splice_some(int from, int to, size_t len)
{
	ssize_t n;

	do {
		n = splice(from, NULL, to, NULL, len, SPLICE_F_MOVE);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : -EPIPE;
	return n;
}

/* Only ever into an empty pipe, as the relay does it. */
static int move_splicing(struct ktls_lane *lane, const struct load *load)
{
	size_t left = load->records * load->record_bytes;

	while (left) {
		ssize_t inside = splice_some(lane->in.b, lane->pipe[1], left);

		if (inside < 0)
			return (int)inside;
		left -= (size_t)inside;
		while (inside) {
			ssize_t n = splice_some(lane->pipe[0], lane->out.a, (size_t)inside);

			if (n < 0)
				return (int)n;
			inside -= n;
		}
	}
	return 0;
}

static int move(struct ktls_lane *lane, struct ktls_bench *bench, const struct load *load)
{
	switch (lane->way) {
	case KTLS_WAY_OWN:
		return is_sending(lane) ? move_sealing(lane, bench, load)
					: move_opening(lane, bench, load);
	case KTLS_WAY_SPLICE:
		return move_splicing(lane, load);
	default:
		return move_copying(lane, bench, load);
	}
}

/* --- a turn --- */

/* The records that the peer will send, one behind the other. */
static int seal_all(struct ktls_lane *lane, struct ktls_bench *bench, size_t records,
		    size_t record_bytes)
{
	size_t prefix = aead_prefix_bytes(&lane->peers);
	uint8_t *at = bench->sealed;
	int r = 0;

	for (size_t i = 0; !r && i < records; i++) {
		memcpy(at + prefix, bench->pattern + i * record_bytes, record_bytes);
		r = aead_seal(bench->cache, &lane->peers, TLS_APPLICATION_DATA, at, record_bytes);
		at += wire_bytes(&lane->peers, record_bytes);
	}
	return r > 0 ? -EIO : r;
}

/* Reads a record of the lane's end and compares it with the pattern at `offset`. */
static int check_record(struct ktls_lane *lane, struct ktls_bench *bench, size_t offset, size_t len,
			size_t *ret_len)
{
	uint8_t *record = bench->work, type, *payload;
	size_t body;
	int r = transfer_one(lane->out.b, false, record, TLS_RECORD_HEADER_BYTES);

	if (!r && tls_record_check_header(record, &type, &body) != TLS_RECORD_OK)
		r = -EBADMSG;
	if (!r)
		r = transfer_one(lane->out.b, false, record + TLS_RECORD_HEADER_BYTES, body);
	if (!r)
		r = aead_open(bench->cache, &lane->peers, record, TLS_RECORD_HEADER_BYTES + body,
			      &type, &payload, ret_len);
	if (r)
		return r < 0 ? r : -EBADMSG;
	if (!*ret_len || *ret_len > len || memcmp(payload, bench->pattern + offset, *ret_len) != 0)
		return -EBADMSG;
	return 0;
}

/* Instead of drain(). The kernel may cut records as it likes. */
static int check_all(struct ktls_lane *lane, struct ktls_bench *bench, size_t offset, size_t len)
{
	int r = 0;

	if (!is_sending(lane)) {
		r = transfer_one(lane->out.b, false, bench->work, len);
		if (!r && memcmp(bench->work, bench->pattern + offset, len) != 0)
			r = -EBADMSG;
		return r;
	}
	while (!r && len) {
		size_t got = 0;

		r = check_record(lane, bench, offset, len, &got);
		offset += got;
		len -= got;
	}
	return r;
}

/* One move: in at one end, out at the other. `offset`: of its plaintext. */
static int pass(struct ktls_lane *lane, struct ktls_bench *bench, const struct load *load,
		size_t offset, bool check)
{
	size_t len = load->records * load->record_bytes, pitch = load->record_bytes;
	uint8_t *from = bench->pattern + offset;
	int r;

	if (!is_sending(lane)) {
		pitch = wire_bytes(&lane->peers, load->record_bytes);
		from = bench->sealed + offset / load->record_bytes * pitch;
	}
	r = transfer_one(lane->in.a, true, from, load->records * pitch);
	if (!r)
		r = move(lane, bench, load);
	if (r)
		return r;
	return check ? check_all(lane, bench, offset, len) : drain(lane, bench, len);
}

int ktls_lane_turn(struct ktls_lane *lane, struct ktls_bench *bench, enum ktls_size size,
		   bool check, uint32_t *ret_ns)
{
	bool large = size == KTLS_LARGE;
	size_t records = large ? LARGE_RECORDS : SMALL_RECORDS;
	struct load load = { large ? LARGE_RECORDS : 1,
			     large ? KTLS_LARGE_BYTES : KTLS_SMALL_BYTES };
	uint64_t began_ns;
	int r = 0;

	if (!is_sending(lane))
		r = seal_all(lane, bench, records, load.record_bytes);
	began_ns = clock_thread_cpu_ns();
	for (size_t done = 0; !r && done < records; done += load.records)
		r = pass(lane, bench, &load, done * load.record_bytes, check);
	if (!r)
		*ret_ns = (uint32_t)MAX((clock_thread_cpu_ns() - began_ns) / records, (uint64_t)1);
	return r;
}
