/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One question to a broker (upstream_probe.h), in steps that never wait. An upstream that can not
 * be connected yet is tried again later; one that has been asked is not asked again, whatever it
 * says.
 */
#include "dataplane/upstream_probe.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "dataplane/snapshot.h"

#define RETRY_NS  (30 * NSEC_PER_SEC)
#define ANSWER_NS (5 * NSEC_PER_SEC)

void upstream_probe_init(struct upstream_probe *probe, const struct config_listener *config)
{
	bool wanted = config->role == CONFIG_ROLE_FRONT && config_kafka_chosen(config) &&
		      config->kafka.identity == CONFIG_IDENTITY_NONE &&
		      config->proxy_protocol.send == CONFIG_PROXY_HEADER_OFF;

	*probe =
		(struct upstream_probe){ .state = wanted ? UPSTREAM_PROBE_DUE : UPSTREAM_PROBE_DONE,
					 .fd = -1 };
}

void upstream_probe_fini(struct upstream_probe *probe)
{
	if (probe->fd >= 0)
		close(TAKE_FD(probe->fd));
}

static void end(struct upstream_probe *probe, enum upstream_probe_state state)
{
	upstream_probe_fini(probe);
	probe->state = state;
}

static void connect_it(struct route *route, uint64_t now_ns)
{
	struct upstream_address addresses[UPSTREAM_ADDRESSES_MAX];
	struct upstream_probe *probe = &route->probe;

	if (now_ns < probe->next_ns)
		return;
	probe->next_ns = now_ns + RETRY_NS;
	probe->deadline_ns = now_ns + ANSWER_NS;
	if (!route_addresses(route, addresses))
		return;
	probe->fd =
		socket(addresses[0].addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (probe->fd < 0)
		return;
	if (connect(probe->fd, (struct sockaddr *)&addresses[0].addr, addresses[0].len) == 0 ||
	    errno == EINPROGRESS)
		probe->state = UPSTREAM_PROBE_CONNECTING;
	else
		upstream_probe_fini(probe);
}

static void ask(struct upstream_probe *probe)
{
	struct pollfd pfd = { .fd = probe->fd, .events = POLLOUT };
	uint8_t request[API_VERSIONS_REQUEST_BYTES];

	if (poll(&pfd, 1, 0) <= 0)
		return;
	api_versions_request(request);
	if (send(probe->fd, request, sizeof(request), MSG_NOSIGNAL) != sizeof(request)) {
		end(probe, UPSTREAM_PROBE_DUE); /* nobody is there yet */
		return;
	}
	probe->state = UPSTREAM_PROBE_ASKED;
	probe->asked = true;
}

static void read_answer(struct route *route)
{
	struct upstream_probe *probe = &route->probe;
	ssize_t n = recv(probe->fd, probe->answer + probe->have,
			 sizeof(probe->answer) - probe->have, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		probe->have += (size_t)n;
	if (n > 0 && probe->have < sizeof(probe->answer))
		return;
	if (probe->have == sizeof(probe->answer) && api_versions_is_answer(probe->answer))
		log_msg(LOG_WARNING, "identity_none",
			"listener %s: %s is a Kafka broker, and is told of nobody: to it every "
			"client is User:ANONYMOUS. kafka.identity: oauthbearer tells them apart",
			route->config->name, route->config->upstream_text);
	end(probe, UPSTREAM_PROBE_DONE);
}

void upstream_probe_turn(struct route *route, uint64_t now_ns)
{
	struct upstream_probe *probe = &route->probe;

	if (probe->state == UPSTREAM_PROBE_DUE)
		connect_it(route, now_ns);
	else if (probe->state == UPSTREAM_PROBE_CONNECTING)
		ask(probe);
	else if (probe->state == UPSTREAM_PROBE_ASKED)
		read_answer(route);
	if (probe->fd >= 0 && now_ns > probe->deadline_ns)
		end(probe, probe->state == UPSTREAM_PROBE_ASKED ? UPSTREAM_PROBE_DONE
								: UPSTREAM_PROBE_DUE);
}
