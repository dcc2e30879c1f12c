/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See fake_ktls.h. Below is a SOCK_SEQPACKET pair, a packet a record (type, generation, payload),
 * so that readiness, back-pressure and FIN are the kernel's own. A fake remembers the record at the
 * head of its queue, which the program may take in parts.
 */
#include "lib/fake_ktls.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define SOL_TLS_NUMBER	  282
#define EKEYEXPIRED_LINUX 127
#define FDS_MAX		  4096
#define HEAD_BYTES	  2
#define TYPE_ALERT	  21
#define TYPE_HANDSHAKE	  22
#define TYPE_DATA	  23
#define KEY_UPDATE	  24
#define FORGED		  0xff /* no key has this generation */
#define PIPE_BYTES_SAFE	  65536

struct fake {
	bool can_rekey;
	bool raw;	  /* fake_ktls_receive_raw() */
	bool key_expired; /* a KeyUpdate was read: nothing more before its key */
	bool broken;	  /* a record failed: so does every read after it */
	bool have_head;	  /* of the queue */
	uint8_t type;
	size_t start, end; /* of the head's payload */
	uint8_t data[FAKE_KTLS_RAW_BYTES_MAX];
	int sk_err;
	size_t send_max;
	struct fake_ktls_stats stats;
	uint8_t keys[2][16]; /* receiving, sending */
};

static struct fake *fakes[FDS_MAX];

ssize_t __real_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __real_recv(int fd, void *buf, size_t len, int flags);
ssize_t __real_send(int fd, const void *buf, size_t len, int flags);
ssize_t __real_splice(int in, off_t *in_off, int out, off_t *out_off, size_t len,
		      unsigned int flags);
int __real_setsockopt(int fd, int level, int option, const void *value, socklen_t len);
int __real_getsockopt(int fd, int level, int option, void *value, socklen_t *len);
int __real_close(int fd);
ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags);
ssize_t __wrap_splice(int in, off_t *in_off, int out, off_t *out_off, size_t len,
		      unsigned int flags);
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t len);
int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *len);
int __wrap_close(int fd);

static struct fake *fake_of(int fd)
{
	return fd >= 0 && fd < FDS_MAX ? fakes[fd] : NULL;
}

static ssize_t fail(int err)
{
	errno = err;
	return -1;
}

void fake_ktls_pair(int ret[2], bool can_rekey)
{
	int r = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ret);

	assert(r == 0 && ret[0] < FDS_MAX && !fakes[ret[0]]);
	(void)r;
	fakes[ret[0]] = calloc(1, sizeof(*fakes[ret[0]]));
	assert(fakes[ret[0]]);
	fakes[ret[0]]->can_rekey = can_rekey;
}

void fake_ktls_receive_raw(int fd)
{
	fake_of(fd)->raw = true;
}

void fake_ktls_limit_send(int fd, size_t bytes)
{
	fake_of(fd)->send_max = bytes;
}

const struct fake_ktls_stats *fake_ktls_stats(int fd)
{
	return &fake_of(fd)->stats;
}

const uint8_t *fake_ktls_key(int fd, bool sending)
{
	return fake_of(fd)->keys[sending];
}

/* --- the wire --- */

static ssize_t put_record(int fd, uint8_t type, uint8_t generation, const void *data, size_t len)
{
	uint8_t head[HEAD_BYTES] = { type, generation };
	struct iovec iov[] = { { head, sizeof(head) }, { (void *)data, len } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	return __real_sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

bool fake_ktls_wire_send(int wire, uint8_t type, uint8_t generation, const void *data, size_t len)
{
	ssize_t n = put_record(wire, type, generation, data, len);

	assert(n >= 0 || errno == EAGAIN);
	return n >= 0;
}

bool fake_ktls_wire_send_forged(int wire)
{
	return fake_ktls_wire_send(wire, TYPE_DATA, FORGED, "forged", 6);
}

int fake_ktls_wire_recv(int wire, struct fake_ktls_record *ret)
{
	uint8_t head[HEAD_BYTES];
	struct iovec iov[] = { { head, sizeof(head) }, { ret->data, sizeof(ret->data) } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n = __real_recvmsg(wire, &msg, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0)
		return -1;
	ret->type = head[0];
	ret->generation = head[1];
	ret->len = (size_t)n - HEAD_BYTES;
	return 1;
}

/* --- receiving --- */

/* Makes the next record the head of the queue. 1: it is; 0: end of stream; else -errno. */
static int load_head(int fd, struct fake *f)
{
	uint8_t head[HEAD_BYTES];
	struct iovec iov[] = { { head, sizeof(head) }, { f->data, sizeof(f->data) } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n;

	if (f->have_head)
		return 1;
	if (f->sk_err) { /* told once, as sock_error() does */
		int err = f->sk_err;

		f->sk_err = 0;
		return -err;
	}
	if (f->broken) {
		f->sk_err = EBADMSG;
		return -EBADMSG;
	}
	if (f->key_expired)
		return -EKEYEXPIRED_LINUX;
	n = __real_recvmsg(fd, &msg, MSG_DONTWAIT);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	if (head[1] != f->stats.rx_generation) {
		f->broken = true;
		f->sk_err = EBADMSG;
		return -EBADMSG;
	}
	f->type = head[0];
	f->start = 0;
	f->end = (size_t)n - HEAD_BYTES;
	f->have_head = true;
	return 1;
}

/* As load_head(), of bytes that mean nothing here. */
static int load_raw(int fd, struct fake *f)
{
	ssize_t n;

	if (f->have_head)
		return 1;
	n = __real_recv(fd, f->data, sizeof(f->data), MSG_DONTWAIT);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	f->start = 0;
	f->end = (size_t)n;
	f->have_head = true;
	return 1;
}

static void head_taken(struct fake *f)
{
	f->have_head = false;
	/* Kernels that can not re-key let it pass, and the next record fails. */
	if (f->type == TYPE_HANDSHAKE && f->end && f->data[0] == KEY_UPDATE && f->can_rekey)
		f->key_expired = true;
}

static size_t take(struct fake *f, const struct iovec *iov, size_t count, size_t at)
{
	size_t taken = 0;

	for (size_t i = 0; i < count && f->start < f->end; i++) {
		size_t n;

		if (at >= iov[i].iov_len) {
			at -= iov[i].iov_len;
			continue;
		}
		n = iov[i].iov_len - at;
		if (n > f->end - f->start)
			n = f->end - f->start;
		memcpy((uint8_t *)iov[i].iov_base + at, f->data + f->start, n);
		f->start += n;
		taken += n;
		at = 0;
	}
	return taken;
}

/* A stream: as much as there is room for. */
static ssize_t recv_raw(int fd, struct fake *f, struct msghdr *msg)
{
	size_t len = 0, copied = 0;
	int r = 1;

	for (size_t i = 0; i < msg->msg_iovlen; i++)
		len += msg->msg_iov[i].iov_len;
	while (copied < len) {
		r = load_raw(fd, f);
		if (r <= 0)
			break;
		copied += take(f, msg->msg_iov, msg->msg_iovlen, copied);
		f->have_head = f->start < f->end;
	}
	msg->msg_controllen = 0;
	return copied || r == 0 ? (ssize_t)copied : fail(-r);
}

/* The type of what is read, if there is room for it. */
static void put_type(struct msghdr *msg, uint8_t type)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);

	cmsg->cmsg_level = SOL_TLS_NUMBER;
	cmsg->cmsg_type = TLS_GET_RECORD_TYPE;
	cmsg->cmsg_len = CMSG_LEN(1);
	*CMSG_DATA(cmsg) = type;
	msg->msg_controllen = CMSG_SPACE(1);
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct fake *f = fake_of(fd);
	bool can_tell = msg->msg_control && msg->msg_controllen >= CMSG_SPACE(1);
	size_t len = 0, copied = 0;
	uint8_t control = 0;
	int r = 0;

	if (!f)
		return __real_recvmsg(fd, msg, flags);
	if (f->raw)
		return recv_raw(fd, f, msg);
	for (size_t i = 0; i < msg->msg_iovlen; i++)
		len += msg->msg_iov[i].iov_len;
	while (copied < len) {
		r = load_head(fd, f);
		if (r <= 0)
			break;
		r = 0;
		if (!control && f->type != TYPE_DATA && !can_tell) {
			r = -EIO;
			break;
		}
		if (control && control != f->type)
			break;
		control = f->type;
		copied += take(f, msg->msg_iov, msg->msg_iovlen, copied);
		if (f->start == f->end)
			head_taken(f);
		if (control != TYPE_DATA)
			break;
	}
	if (control && can_tell)
		put_type(msg, control);
	else
		msg->msg_controllen = 0;
	if (copied || r == 0)
		return (ssize_t)copied;
	return fail(-r);
}

ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags)
{
	struct iovec iov = { buf, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (!fake_of(fd))
		return __real_recv(fd, buf, len, flags);
	return __wrap_recvmsg(fd, &msg, flags);
}

static ssize_t splice_in(int fd, struct fake *f, int pipe, size_t len)
{
	int inside = 0, r;
	ssize_t n;

	assert(!f->raw); /* nobody has opened it */
	ioctl(pipe, FIONREAD, &inside);
	f->stats.into_used_pipe += inside > 0;
	f->stats.into_small_pipe += fcntl(pipe, F_GETPIPE_SZ) < PIPE_BYTES_SAFE;
	r = load_head(fd, f);
	if (r <= 0)
		return r < 0 ? fail(-r) : 0;
	if (f->type != TYPE_DATA) {
		f->stats.splices_refused++;
		return fail(EINVAL);
	}
	if (f->start == f->end) { /* an empty record: gone, and nothing to tell of it */
		head_taken(f);
		return 0;
	}
	if (len > f->end - f->start)
		len = f->end - f->start;
	n = write(pipe, f->data + f->start, len);
	if (n < 0)
		return -1;
	f->stats.splices_in++;
	f->start += (size_t)n;
	if (f->start == f->end)
		head_taken(f);
	return n;
}

/* --- sending --- */

static bool is_writable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT);
}

static ssize_t refused(struct fake *f)
{
	f->stats.sends_refused++;
	return fail(EAGAIN);
}

static size_t send_bound(const struct fake *f, size_t len)
{
	if (f->send_max && len > f->send_max)
		len = f->send_max;
	return len < FAKE_KTLS_RECORD_BYTES_MAX ? len : FAKE_KTLS_RECORD_BYTES_MAX;
}

static ssize_t send_records(int fd, struct fake *f, uint8_t type, const uint8_t *data, size_t len)
{
	size_t sent = 0;

	if (f->sk_err)
		return fail(f->sk_err);
	do {
		size_t n = send_bound(f, len - sent);
		ssize_t r = is_writable(fd)
				    ? put_record(fd, type, f->stats.tx_generation, data + sent, n)
				    : refused(f);

		if (r < 0)
			return sent ? (ssize_t)sent : -1;
		sent += n;
	} while (sent < len && !f->send_max);
	return (ssize_t)sent;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct fake *f = fake_of(fd);
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
	uint8_t type = TYPE_DATA, *bytes;
	size_t len = 0, at = 0;
	ssize_t n;

	if (!f)
		return __real_sendmsg(fd, msg, flags);
	f->stats.more += (flags & MSG_MORE) != 0;
	if (cmsg && cmsg->cmsg_level == SOL_TLS_NUMBER && cmsg->cmsg_type == TLS_SET_RECORD_TYPE)
		type = *CMSG_DATA(cmsg);
	for (size_t i = 0; i < msg->msg_iovlen; i++)
		len += msg->msg_iov[i].iov_len;
	bytes = malloc(len + 1);
	assert(bytes);
	for (size_t i = 0; i < msg->msg_iovlen; at += msg->msg_iov[i++].iov_len)
		memcpy(bytes + at, msg->msg_iov[i].iov_base, msg->msg_iov[i].iov_len);
	n = send_records(fd, f, type, bytes, len);
	free(bytes);
	return n;
}

ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags)
{
	struct fake *f = fake_of(fd);

	if (!f)
		return __real_send(fd, buf, len, flags);
	f->stats.more += (flags & MSG_MORE) != 0;
	return send_records(fd, f, TYPE_DATA, buf, len);
}

static ssize_t splice_out(int pipe, int fd, struct fake *f, size_t len, unsigned int flags)
{
	uint8_t bytes[FAKE_KTLS_RECORD_BYTES_MAX];
	size_t moved = 0;

	f->stats.more += (flags & SPLICE_F_MORE) != 0;
	if (f->sk_err)
		return fail(f->sk_err);
	while (moved < len) {
		ssize_t n;

		if (!is_writable(fd))
			return moved ? (ssize_t)moved : refused(f);
		n = read(pipe, bytes, send_bound(f, len - moved));
		if (n <= 0)
			return moved ? (ssize_t)moved : n;
		if (put_record(fd, TYPE_DATA, f->stats.tx_generation, bytes, (size_t)n) < 0) {
			/* The bytes are out of the pipe: no writable socket may refuse them. */
			assert(errno == EPIPE || errno == ECONNRESET);
			return -1;
		}
		moved += (size_t)n;
		if (f->send_max)
			break;
	}
	f->stats.splices_out++;
	return (ssize_t)moved;
}

ssize_t __wrap_splice(int in, off_t *in_off, int out, off_t *out_off, size_t len,
		      unsigned int flags)
{
	if (fake_of(in))
		return splice_in(in, fake_of(in), out, len);
	if (fake_of(out))
		return splice_out(in, out, fake_of(out), len, flags);
	return __real_splice(in, in_off, out, out_off, len, flags);
}

/* --- keys --- */

int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
	const struct tls12_crypto_info_aes_gcm_128 *info = value;
	struct fake *f = fake_of(fd);

	if (!f || level != SOL_TLS_NUMBER)
		return __real_setsockopt(fd, level, option, value, len);
	if (!f->can_rekey)
		return (int)fail(EBUSY);
	assert(option == TLS_TX || (option == TLS_RX && !f->raw));
	assert(info->info.cipher_type == TLS_CIPHER_AES_GCM_128 && len == sizeof(*info));
	memcpy(f->keys[option == TLS_TX], info->key, sizeof(info->key));
	if (option == TLS_TX) {
		f->stats.tx_generation++;
		return 0;
	}
	f->stats.rx_generation++;
	f->key_expired = false;
	return 0;
}

int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *len)
{
	struct fake *f = fake_of(fd);

	if (!f || level != SOL_SOCKET || option != SO_ERROR || !f->sk_err)
		return __real_getsockopt(fd, level, option, value, len);
	memcpy(value, &f->sk_err, sizeof(f->sk_err));
	f->sk_err = 0;
	return 0;
}

int __wrap_close(int fd)
{
	if (fake_of(fd)) {
		free(fakes[fd]);
		fakes[fd] = NULL;
	}
	return __real_close(fd);
}
