/* Ports and what surrounds them: EAL's settings, each profile that needs no peer, refusals, workers, telemetry. */
#include "dpdk/port.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_ethdev.h>

#include "dpdk/eal.h"
#include "dpdk/port_private.h"
#include "dpdk/reply.h"
#include "dpdk/telemetry.h"
#include "tests/check.h"
#include "tests/dpdk/fixture.h"
#include "tests/dpdk/wire.h"

static void eal_refuses_bad_settings_and_a_second_start(void)
{
	static const char *const names[] = {"", ".x", "a/b", "a b", NULL};
	struct eal_settings settings;
	struct err err;

	for (unsigned i = 0; i < 5; i++) {
		eal_settings_init(&settings, names[i]);
		CHECK_INT(-EINVAL, eal_start(&settings, &err));
	}
	eal_settings_init(&settings, "t");
	settings.memory_mib = 3;
	CHECK_INT(-EINVAL, eal_start(&settings, &err));
	eal_settings_init(&settings, "t");
	settings.worker_count = EAL_WORKERS_MAX + 1;
	CHECK_INT(-EINVAL, eal_start(&settings, &err));
	eal_settings_init(&settings, "t");
	settings.worker_cores[0] = 1000;
	CHECK_INT(-EINVAL, eal_start(&settings, &err));
	CHECK(strstr(err.text, "1000") != NULL);
	fixture_eal(); /* none of these used up the one start */
	eal_settings_init(&settings, "t");
	CHECK_INT(-EALREADY, eal_start(&settings, &err));
	CHECK(!eal_hugepages());
}

static int work(void *context)
{
	*(pid_t *)context = gettid();
	return 7;
}

static int core_of_pinned(void *context)
{
	cpu_set_t set;

	(void)context;
	return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) == 1 ? sched_getcpu() : -1;
}

static int wait_for_go(void *context)
{
	while (!__atomic_load_n((bool *)context, __ATOMIC_ACQUIRE))
		(void)usleep(100);
	return 0;
}

static void workers_run_and_return(void)
{
	pid_t threads[2] = {0, 0};
	bool go = false;

	fixture_eal();
	for (unsigned i = 0; i < 2; i++)
		CHECK_INT(0, eal_worker_launch(i, work, &threads[i]));
	for (unsigned i = 0; i < 2; i++)
		CHECK_INT(7, eal_worker_wait(i));
	CHECK(threads[0] > 0 && threads[1] > 0 && threads[0] != threads[1] && threads[0] != gettid());
	CHECK_INT(0, eal_worker_launch(0, work, &threads[1]));
	CHECK_INT(7, eal_worker_wait(0));
	CHECK_INT(threads[0], threads[1]);
	CHECK_INT(0, eal_worker_launch(1, core_of_pinned, NULL));
	CHECK_INT(fixture_core(), eal_worker_wait(1));
	CHECK_INT(0, eal_worker_launch(0, wait_for_go, &go));
	CHECK_INT(-EBUSY, eal_worker_launch(0, work, &threads[1]));
	__atomic_store_n(&go, true, __ATOMIC_RELEASE);
	CHECK_INT(0, eal_worker_wait(0));
	CHECK_INT(-EINVAL, eal_worker_launch(2, work, &threads[0]));
	CHECK_INT(-EINVAL, eal_worker_launch(100000, work, &threads[0]));
}

static void expect_refusal(int code, const struct port_settings *settings)
{
	struct port *port = NULL;
	struct err err = {""};
	char text[1024];
	int result = port_open(settings, &port, &err);

	CHECK_INT(code, result);
	CHECK(port == NULL);
	CHECK(strlen(err.text) > 10);
	err.text[0] = '\0';
	CHECK_INT(code, port_describe(settings, text, sizeof(text), &err));
	CHECK(strlen(err.text) > 10);
}

static void wrong_settings_are_refused(void)
{
	struct port_settings settings;

	fixture_eal();
	fixture_settings(&settings, "vhsot", "/x");
	expect_refusal(-EINVAL, &settings);
	fixture_settings(&settings, NULL, NULL);
	expect_refusal(-EINVAL, &settings);
	fixture_settings(&settings, "ring", "");
	expect_refusal(-EINVAL, &settings);
	fixture_settings(&settings, "vhost", "/tmp/a,queues=9");
	expect_refusal(-EINVAL, &settings);
	fixture_settings(&settings, "ring", "x");
	settings.queue_count = 0;
	expect_refusal(-EINVAL, &settings);
	settings.queue_count = PORT_QUEUES_MAX + 1;
	expect_refusal(-EINVAL, &settings);
	fixture_settings(&settings, "ring", "x");
	settings.buffer_count = 10;
	expect_refusal(-EINVAL, &settings);
	fixture_settings(&settings, "ring", "x");
	settings.descriptor_count = 1000;
	expect_refusal(-EINVAL, &settings);
	fixture_settings(&settings, "ring", "x");
	settings.mtu = 576;
	expect_refusal(-EINVAL, &settings);
	fixture_settings(&settings, "ring", "x");
	settings.mac[0] = 1;
	expect_refusal(-EINVAL, &settings);
	fixture_settings(&settings, "virtio", "/x");
	settings.tx_buffer_count = 1023;
	expect_refusal(-EINVAL, &settings);
}

static void what_the_host_lacks_is_said(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct port_settings settings;
	char path[sizeof(address.sun_path)];
	char long_path[200];
	int fd;

	fixture_eal();
	fixture_settings(&settings, "vhost", "/no/such/directory/s");
	expect_refusal(-ENOENT, &settings);
	(void)snprintf(path, sizeof(path), "%s/s", check_directory());
	fixture_settings(&settings, "virtio", path);
	expect_refusal(-ENOENT, &settings);
	CHECK_INT(0, mkdir(path, 0700));
	expect_refusal(-EINVAL, &settings);
	settings.profile = "vhost";
	expect_refusal(-EEXIST, &settings);
	CHECK_INT(0, rmdir(path));
	fixture_settings(&settings, "vhost", path);
	memcpy(address.sun_path, path, sizeof(path));
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_INT(0, bind(fd, (struct sockaddr *)&address, sizeof(address)));
	CHECK_INT(0, listen(fd, 1));
	expect_refusal(-EADDRINUSE, &settings);
	(void)close(fd);
	fixture_settings(&settings, "af_packet", "no-such-if0");
	expect_refusal(-ENOENT, &settings);
	fixture_settings(&settings, "pci", "0000:fe:1f.7");
	expect_refusal(-ENOENT, &settings);
	fixture_settings(&settings, "pcap", "/no/such.pcap");
	expect_refusal(-ENOENT, &settings);
	memset(long_path, 'a', sizeof(long_path));
	long_path[0] = '/';
	long_path[sizeof(long_path) - 1] = '\0';
	fixture_settings(&settings, "vhost", long_path);
	expect_refusal(-EINVAL, &settings);
}

/* What only DPDK can find out leaves nothing behind either: the same name opens at once afterwards. */
static void dpdks_refusals_leave_nothing_behind(void)
{
	struct port_settings settings;
	struct fixture_end end;
	struct port *port = NULL;
	struct err err = {""};

	fixture_eal();
	fixture_settings(&settings, "net_nosuch0,x=1", NULL);
	CHECK(port_open(&settings, &port, &err) < 0);
	fixture_settings(&settings, "ring", "much");
	settings.buffer_count = 1000000;
	for (unsigned i = 0; i < 3; i++)
		CHECK_INT(-ENOMEM, port_open(&settings, &port, &err));
	CHECK(strstr(err.text, "packet memory") != NULL);
	fixture_settings(&settings, "ring", "a name far too long");
	CHECK_INT(-EINVAL, port_open(&settings, &port, &err));
	fixture_settings(&settings, "null", NULL);
	settings.pool_ops = "no such kind";
	CHECK(port_open(&settings, &port, &err) < 0);
	CHECK(port == NULL);
	fixture_settings(&settings, "ring", "much");
	end = fixture_open(&settings);
	fixture_close(&end);
}

static void ports_open_again_and_again(void)
{
	static const char *const profiles[] = {"ring", "null", "net_null7,size=80"};
	struct port_settings settings;

	for (unsigned i = 0; i < 60; i++) {
		struct fixture_end end;

		fixture_settings(&settings, profiles[i % 3], "again");
		end = fixture_open(&settings);
		CHECK(port_link_up(end.port));
		CHECK(!port_loses_silently(end.port));
		fixture_close(&end);
	}
	CHECK(port_close(NULL) == NULL);
	CHECK(frame_queue_free(NULL) == NULL);
}

static void queues_are_taken_once(void)
{
	struct port_settings settings;
	struct frame_queue *second;
	struct frame_local local;
	struct fixture_end end;
	struct port *other;
	struct port *third;
	struct err err;

	fixture_settings(&settings, "ring", "two");
	settings.queue_count = 2;
	settings.buffer_count = 511;
	settings.tx_buffer_count = 511;
	end = fixture_open(&settings);
	CHECK_INT(0, port_open(&settings, &other, &err));
	CHECK_INT(-EBUSY, port_open(&settings, &third, &err));
	CHECK_INT(2, port_queue_count(end.port));
	frame_local_init(&local, 1);
	CHECK_INT(-EINVAL, frame_queue_new(end.port, 1, &local, &second, &err)); /* without an address */
	CHECK_INT(0, frame_local_add(&local, WIRE_US4_TEXT, &err));
	CHECK_INT(-EBUSY, frame_queue_new(end.port, 0, &local, &second, &err));
	CHECK_INT(-EINVAL, frame_queue_new(end.port, 2, &local, &second, &err));
	local.udp_port = 65535;
	local.udp_port_count = 2;
	CHECK_INT(-EINVAL, frame_queue_new(end.port, 1, &local, &second, &err));
	local.udp_port_count = 1;
	CHECK_INT(0, frame_queue_new(end.port, 1, &local, &second, &err));
	second = frame_queue_free(second);
	CHECK_INT(0, frame_queue_new(end.port, 1, &local, &second, &err));
	(void)frame_queue_free(second);
	fixture_close(&end);
	other = port_close(other);
}

static void the_null_port_brings_nothing_of_ours(void)
{
	struct port_settings settings;
	struct fixture_end end;
	struct port_statistics statistics;

	fixture_settings(&settings, "null", NULL);
	end = fixture_open(&settings);
	for (unsigned i = 0; i < 100; i++) {
		CHECK_INT(FRAME_BURST, frame_receive(end.queue)->frame_count);
		frame_release(end.queue);
	}
	CHECK_INT(100 * FRAME_BURST, fixture_counters(end.queue).mac_other);
	port_statistics(end.port, &statistics);
	CHECK_INT(100 * FRAME_BURST, statistics.rx_frames);
	fixture_close(&end);
}

/* Classic pcap, by hand: a file of the test's own making is played, and what is sent is read back out of another. */
static void put_pcap(FILE *file, const struct wire *wire)
{
	const uint32_t record[4] = {1, 2, (uint32_t)wire->size, (uint32_t)wire->size};

	CHECK_INT(1, fwrite(record, sizeof(record), 1, file));
	CHECK_INT(1, fwrite(wire->bytes, wire->size, 1, file));
}

static void a_pcap_file_is_played(void)
{
	static const uint32_t header[6] = {0xa1b2c3d4, 0x00040002, 0, 0, 65535, 1};
	struct port_settings settings;
	struct fixture_end end;
	char in[300];
	char out[300];
	unsigned datagrams = 0;
	FILE *file;

	(void)snprintf(in, sizeof(in), "%s/in.pcap", check_directory());
	(void)snprintf(out, sizeof(out), "%s/out.pcap", check_directory());
	file = fopen(in, "wb");
	CHECK(file != NULL);
	CHECK_INT(1, fwrite(header, sizeof(header), 1, file));
	for (unsigned i = 0; i < 200; i++) {
		struct wire wire = i % 4 == 3 ? wire_echo4(0, i) : wire_udp(i % 2 == 0 ? 4 : 6, i % 3, i);

		put_pcap(file, &wire);
	}
	CHECK_INT(0, fclose(file));
	fixture_settings(&settings, "pcap", in);
	settings.where_tx = out;
	end = fixture_open(&settings);
	for (unsigned turn = 0; turn < 20; turn++) {
		const struct frame_batch *batch = frame_receive(end.queue);

		for (unsigned i = 0; i < batch->count; i++)
			CHECK_INT(0, reply_send(end.queue, &batch->datagrams[i].path, "ack", 3));
		datagrams += batch->count;
		frame_release(end.queue);
		CHECK_INT(0, reply_flush(end.queue));
	}
	CHECK_INT(150, datagrams);
	CHECK_INT(50, fixture_counters(end.queue).echo_answered);
	fixture_close(&end);
	file = fopen(out, "rb");
	CHECK(file != NULL);
	CHECK_INT(0, fseek(file, 24, SEEK_SET));
	for (unsigned i = 0; i < 200; i++) {
		uint32_t record[4];
		uint8_t bytes[WIRE_MAX];

		CHECK_INT(1, fread(record, sizeof(record), 1, file));
		CHECK(record[2] <= sizeof(bytes));
		CHECK_INT(1, fread(bytes, record[2], 1, file));
		CHECK(wire_checksums_right(bytes, record[2]));
	}
	CHECK_INT(EOF, fgetc(file));
	(void)fclose(file);
}

static void ports_describe_themselves(void)
{
	struct port_settings settings;
	char text[2048];
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/p0.sock", check_directory());
	port_settings_init(&settings, "vhost", path);
	settings.options = "tso=0";
	CHECK_INT(0, port_describe(&settings, text, sizeof(text), NULL));
	CHECK(strstr(text, "net_vhost0,iface=") != NULL && strstr(text, "queues=1,tso=0") != NULL);
	CHECK(access(path, F_OK) < 0);
	port_settings_init(&settings, "af_packet", "lo");
	if (geteuid() == 0) {
		CHECK_INT(0, port_describe(&settings, text, sizeof(text), NULL));
		CHECK(strstr(text, "framecnt=8192") != NULL && strstr(text, "partial") != NULL);
	}
	port_settings_init(&settings, "net_tap0,iface=t0", NULL);
	CHECK_INT(0, port_describe(&settings, text, sizeof(text), NULL));
	CHECK(strstr(text, "net_tap0,iface=t0") != NULL && strstr(text, "not certified") != NULL);
}

static void fill_few(void *context, struct telemetry_sheet *sheet)
{
	telemetry_add(sheet, "answer", *(const uint64_t *)context);
	telemetry_add(sheet, "largest", UINT64_MAX);
}

static void fill_many(void *context, struct telemetry_sheet *sheet)
{
	(void)context;
	for (unsigned i = 0; i < 400; i++) {
		char name[40];

		(void)snprintf(name, sizeof(name), "a_name_of_some_length_%u", i);
		telemetry_add(sheet, name, i);
	}
}

/* What dpdk-telemetry.py does: SEQPACKET, a greeting, "/path" out, JSON back. */
static void telemetry_ask(const char *path, char *answer, size_t size)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	ssize_t got;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	CHECK(fd >= 0);
	CHECK(snprintf(address.sun_path, sizeof(address.sun_path), "%s/dpdk_telemetry.v2", fixture_runtime()) <
	      (int)sizeof(address.sun_path));
	CHECK_INT(0, connect(fd, (struct sockaddr *)&address, sizeof(address)));
	CHECK(recv(fd, answer, size, 0) > 0);
	CHECK_INT(strlen(path), send(fd, path, strlen(path), 0));
	got = recv(fd, answer, size - 1, 0);
	CHECK(got > 0);
	answer[got] = '\0';
	(void)close(fd);
}

static void telemetry_answers(void)
{
	static const uint64_t value = 42;
	static const struct telemetry_command good[] = {
		{"/gantry/test/few", "two numbers", fill_few, (void *)(uintptr_t)&value},
		{"/gantry/test/many", "more than fit", fill_many, NULL}};
	static const struct telemetry_command bad[] = {
		{"/other/x", "h", fill_few, NULL},
		{"/gantry/", "h", fill_few, NULL},
		{"/gantry/a b", "h", fill_few, NULL},
		{"/gantry/a_very_long_path_that_is_longer_than_dpdk_may_take_it", "h", fill_few, NULL}};
	char answer[20000];
	struct err err;

	fixture_eal();
	CHECK_INT(0, telemetry_register(good, 2, &err));
	CHECK_INT(-EEXIST, telemetry_register(good, 1, &err));
	for (unsigned i = 0; i < 4; i++)
		CHECK_INT(-EINVAL, telemetry_register(&bad[i], 1, &err));
	telemetry_ask("/gantry/test/few", answer, sizeof(answer));
	CHECK_STR("{\"/gantry/test/few\":{\"answer\":42,\"largest\":18446744073709551615}}", answer);
	telemetry_ask("/gantry/test/many", answer, sizeof(answer));
	CHECK(strstr(answer, "\"a_name_of_some_length_254\":254") != NULL);
	CHECK(strstr(answer, "\"omitted\":145}}") != NULL);
	CHECK(strlen(answer) < 16 * 1024);
	telemetry_ask("/gantry/test/few", answer, sizeof(answer));
	CHECK(strstr(answer, "42") != NULL);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"EAL refuses bad settings and a second start", eal_refuses_bad_settings_and_a_second_start},
		{"workers run and return", workers_run_and_return},
		{"wrong settings are refused", wrong_settings_are_refused},
		{"what the host lacks is said", what_the_host_lacks_is_said},
		{"what DPDK refuses leaves nothing behind", dpdks_refusals_leave_nothing_behind},
		{"ports open again and again", ports_open_again_and_again},
		{"queues are taken once", queues_are_taken_once},
		{"the null port brings nothing of ours", the_null_port_brings_nothing_of_ours},
		{"a pcap file is played", a_pcap_file_is_played},
		{"ports describe themselves", ports_describe_themselves},
		{"telemetry answers within its limits", telemetry_answers},
		{NULL, NULL}};
	int result = check_main(argc, argv, "dpdk/port", tests);

	fixture_eal_stop();
	return result;
}
