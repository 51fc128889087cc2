/*
 * One member of a Corosync process group under load. `roundel-perf peers` compiles and starts it:
 *
 *   cpg ID MEMBERS SIZE RATE       RATE messages a second; 0: as many as are accepted
 *
 * When MEMBERS are in the group it prints {"event":"ready"} and reads the line "BEGIN START END",
 * nanoseconds of CLOCK_MONOTONIC. It sends from BEGIN. Member 1 sends a marker at START and one at
 * END; what is delivered between them is measured, and printed as one line of JSON.
 */
#define _GNU_SOURCE
#include <corosync/cpg.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

enum { MEMBERS_MAX = 128, BURST = 64 };
enum kind { LOAD = 1, START, END };
enum phase { GATHERING, WARMING, MEASURING, OVER };

static const uint64_t SECOND_NS = 1000000000;
static const uint64_t GATHER_MAX_NS = 20 * SECOND_NS;
static const uint64_t MARKER_LATE_MAX_NS = 15 * SECOND_NS;
/* Nobody says when a full daemon has room again. */
static const uint64_t WAIT_MAX_NS = 1000000;

struct head {
	uint32_t kind;
	uint32_t sender;
	uint64_t counter;
	uint64_t planned_ns;
};

static cpg_handle_t group;
static enum phase phase = GATHERING;
static const char *reason;
static uint32_t me;
static size_t members, members_now, size;
static uint64_t rate, begin_ns, marker_ns[2];

static char *message;
static uint64_t sent;
static int markers_sent;

static uint64_t next[MEMBERS_MAX + 1];
static uint64_t seen, delivered, started_ns, ended_ns, digest;
static uint64_t *latency_ns;
static size_t latencies, latencies_max;

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static void stop(const char *why)
{
	if (phase != OVER)
		reason = why;
	phase = OVER;
}

/* Four independent lanes, so that one multiplication does not wait for another. */
static uint64_t hash(uint64_t seed, const void *data, size_t bytes)
{
	const uint64_t prime = UINT64_C(0x9E3779B97F4A7C15);
	const char *at = data;
	uint64_t lane[4] = { seed, seed ^ 1, seed ^ 2, bytes };
	for (; bytes >= sizeof lane; at += sizeof lane, bytes -= sizeof lane) {
		uint64_t word[4];
		memcpy(word, at, sizeof word);
		for (int i = 0; i < 4; i++)
			lane[i] = ((lane[i] ^ word[i]) * prime) ^ (lane[i] >> 29);
	}
	for (; bytes > 0; at++, bytes--)
		lane[0] = (lane[0] ^ (unsigned char)*at) * prime;
	for (int i = 1; i < 4; i++)
		lane[0] = ((lane[0] ^ lane[i]) * prime) ^ (lane[0] >> 31);
	return lane[0];
}

static void measure(const struct head *head, const void *payload, size_t bytes)
{
	delivered++;
	digest = hash(digest, payload, bytes);
	if (head->sender == me && rate > 0 && latencies < latencies_max)
		latency_ns[latencies++] = now_ns() - head->planned_ns;
}

static void deliver(cpg_handle_t handle, const struct cpg_name *name, uint32_t node, uint32_t pid,
		    void *payload, size_t bytes)
{
	struct head head;
	(void)handle, (void)name, (void)node, (void)pid;
	if (phase == OVER || bytes < sizeof head)
		return;
	seen++;
	memcpy(&head, payload, sizeof head);
	if (head.kind == START) {
		started_ns = now_ns();
		phase = MEASURING;
	} else if (head.kind == END) {
		ended_ns = now_ns();
		phase = OVER;
	} else if (head.sender > MEMBERS_MAX || head.counter != next[head.sender]++) {
		stop("messages of a sender are missing or out of their order");
	} else if (phase == MEASURING) {
		measure(&head, payload, bytes);
	}
}

static void change(cpg_handle_t handle, const struct cpg_name *name,
		   const struct cpg_address *list, size_t count, const struct cpg_address *left,
		   size_t left_count, const struct cpg_address *joined, size_t joined_count)
{
	(void)handle, (void)name, (void)list, (void)left, (void)joined, (void)joined_count;
	members_now = count;
	if (left_count > 0 && phase != GATHERING)
		stop("a member was lost");
}

/* Whether it was accepted. */
static int publish(enum kind kind, uint64_t planned_ns)
{
	struct head head = { kind, me, sent, planned_ns };
	struct iovec part = { message, kind == LOAD ? size : sizeof head };
	memcpy(message, &head, sizeof head);
	cs_error_t answer = cpg_mcast_joined(group, CPG_TYPE_AGREED, &part, 1);
	if (answer != CS_OK && answer != CS_ERR_TRY_AGAIN)
		stop("the daemon accepts no message");
	return answer == CS_OK;
}

/* Sends some of what is due, and says when it is worth to look again. */
static uint64_t send_due(uint64_t now)
{
	if (me == 1 && markers_sent < 2 && now >= marker_ns[markers_sent])
		markers_sent += publish(markers_sent == 0 ? START : END, now);
	for (int i = 0; i < BURST; i++) {
		uint64_t planned_ns = rate == 0 ? now
			: begin_ns + sent / rate * SECOND_NS + sent % rate * SECOND_NS / rate;
		if (planned_ns > now)
			return planned_ns;
		if (!publish(LOAD, planned_ns))
			return now + WAIT_MAX_NS;
		sent++;
	}
	return now;
}

static void wait_until(uint64_t at_ns)
{
	int fd;
	uint64_t now = now_ns();
	if (at_ns <= now || cpg_fd_get(group, &fd) != CS_OK)
		return;
	uint64_t left = at_ns - now < WAIT_MAX_NS ? at_ns - now : WAIT_MAX_NS;
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	struct timespec span = { 0, (long)left };
	ppoll(&ready, 1, &span, NULL);
}

static void dispatch(void)
{
	cs_error_t answer = cpg_dispatch(group, CS_DISPATCH_ALL);
	if (answer != CS_OK && answer != CS_ERR_TRY_AGAIN)
		stop("the daemon ended");
}

static void join(void)
{
	cpg_callbacks_t callbacks = { deliver, change };
	struct cpg_name name;
	/* What an earlier run at another rate left in the daemons goes to a group without members. */
	name.length = (uint32_t)snprintf(name.value, sizeof name.value, "rate-%" PRIu64, rate);
	uint64_t deadline = now_ns() + GATHER_MAX_NS;
	while (cpg_initialize(&group, &callbacks) != CS_OK)
		if (now_ns() > deadline)
			return stop("the daemon does not answer");
		else
			nanosleep(&(struct timespec){ 0, 20000000 }, NULL);
	while (cpg_join(group, &name) == CS_ERR_TRY_AGAIN && now_ns() < deadline)
		nanosleep(&(struct timespec){ 0, 20000000 }, NULL);
	while (members_now < members && phase == GATHERING) {
		dispatch();
		if (now_ns() > deadline)
			stop("the members did not come together in 20 s");
		wait_until(now_ns() + WAIT_MAX_NS);
	}
}

static void run(void)
{
	printf("{\"event\":\"ready\"}\n");
	fflush(stdout);
	if (scanf("%" SCNu64 " %" SCNu64 " %" SCNu64, &begin_ns, &marker_ns[0], &marker_ns[1]) != 3)
		return stop("nobody said when to begin");
	phase = WARMING;
	latencies_max = (size_t)((marker_ns[1] - begin_ns) / SECOND_NS + 16) * (rate + 1);
	latency_ns = calloc(latencies_max, sizeof *latency_ns);
	if (latency_ns == NULL)
		return stop("not enough memory");
	while (phase != OVER) {
		uint64_t now = now_ns(), before = seen;
		uint64_t due_ns = now < begin_ns ? begin_ns : send_due(now);
		dispatch();
		if (seen == before)
			wait_until(due_ns);
		if (now > marker_ns[1] + MARKER_LATE_MAX_NS)
			stop("the end marker did not come");
	}
}

int main(int count, char **values)
{
	if (count != 5)
		return 2;
	me = (uint32_t)atoi(values[1]);
	members = (size_t)atoi(values[2]);
	size = (size_t)atoi(values[3]);
	rate = (uint64_t)atoll(values[4]);
	message = calloc(1, size + sizeof(struct head));
	if (message == NULL || me < 1 || me > MEMBERS_MAX || size < sizeof(struct head))
		return 2;
	memset(message + sizeof(struct head), 'm', size - sizeof(struct head));
	/* Sleeps end when they should: planned times are microseconds apart. */
	prctl(PR_SET_TIMERSLACK, 1);
	join();
	if (phase != OVER)
		run();
	printf("{\"event\":\"result\",\"delivered\":%" PRIu64 ",\"span_ns\":%" PRIu64
	       ",\"digest\":\"%016" PRIx64 "\",\"latency_ns\":[", delivered,
	       ended_ns - started_ns, digest);
	for (size_t i = 0; i < latencies; i++)
		printf("%s%" PRIu64, i > 0 ? "," : "", latency_ns[i]);
	printf("],\"reason\":%s%s%s}\n", reason ? "\"" : "", reason ? reason : "null",
	       reason ? "\"" : "");
	fflush(stdout);
	cpg_finalize(group);
	return reason == NULL ? 0 : 1;
}
