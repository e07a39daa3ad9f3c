/* gantryctl and hits: told, searched, taken on. */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "tests/check.h"
#include "tests/mgmt/ctl_world.h"

void ctl_test_hits(void)
{
	struct world world;

	ctl_begin(&world);
	CHECK_INT(0,
		  ctl_run(&world, "hits follow room --count 3 --purpose serious --case OP1 --reason 'a test of hits'"));
	CHECK_INT(4, ctl_line_count());
	CHECK(ctl_says("CAPTURED                     VRM       LIST              PRIORITY  KIND      PLACE "));
	CHECK(ctl_says("2026-07-01 13:00:00.250 BST  AB12CDE   stolen            80                  Ring North "));
	CHECK(ctl_says("  stop              robbery   ") && ctl_says("  0-17953684597700\n"));
	CHECK(ctl_says("2026-07-01 13:00:00.250 BST  CL0NE     -                 50        clone     1002 "));
	CHECK(ctl_says("  1077          2026-07-01 12:50:00.000 BST  0-17953684597701\n"));
	CHECK(ctl_says(
		"2026-07-01 13:00:01.250 BST  SM12SMS   stolen                                Ring South, A1\n"));
	CHECK_INT(0,
		  ctl_run(&world,
			  "hits follow room --count 3 --json --purpose serious --case OP1 --reason 'a test of hits'"));
	CHECK_INT(3, ctl_line_count());
	CHECK_INT(0, ctl_run(&world,
			     "hits follow room --for 1 --json --purpose serious --case OP1 --reason 'a test of hits'"));
	CHECK_INT(6, ctl_line_count());
	CHECK(ctl_says("a bad disk"));
	CHECK(strstr(ctl_output, "\"cursor\"") == NULL);
	CHECK(world.acknowledged >= 2); /* each lane once at least */
	world.acknowledged = 0;
	CHECK_INT(0, ctl_run(&world, "hits follow room --for 1 --json --no-ack " GROUNDS));
	CHECK(ctl_says("\"lane\":\"urgent\",\"cursor\":\"00\"}") && ctl_says("\"lane\":\"mass\",\"cursor\":\"00\"}"));
	CHECK_INT(0, world.acknowledged);
	CHECK_INT(0, ctl_run(&world, "audit show --json " GROUNDS));
	CHECK(ctl_says("\"rows_sent\":5")); /* hits, not what is said beside them */
	CHECK(strstr(ctl_output, "\"rows_sent\":6") == NULL);
	test_server_fini(&world.test);
}

void ctl_test_hits_searched(void)
{
	struct world world;

	ctl_begin(&world);
	CHECK_INT(0, ctl_run(&world, "hits search --from 2026-07-01 " GROUNDS));
	CHECK(ctl_says("2026-07-01 13:00:00.250 BST  CL0NE    -             50  clone  1002 "));
	CHECK(ctl_says("robbery") && ctl_says("1077  2026-07-01 12:50:00.000 BST  0-17953684597701\n"));
	CHECK(ctl_complains("2 hits, 1.5 ms"));
	CHECK_INT(0, ctl_run(&world, "hits search --from 2026-07-01 --priority-min 1 " GROUNDS));
	CHECK(ctl_complains("2 hits of the lists of your own subscriptions, 1.5 ms"));
	test_server_fini(&world.test);
}

void ctl_test_lists_and_rates(void)
{
	struct world world;

	ctl_begin(&world);
	CHECK_INT(0, ctl_run(&world, "lists show"));
	CHECK(ctl_says("stolen  0123456789ab        5\n"));
	CHECK_INT(0, ctl_run(&world, "lists show stolen"));
	CHECK(ctl_says("name     stolen\nsha256   " SIXTY_FOUR "\nentries  5\n"));
	CHECK_INT(0, ctl_run(&world, "lists show stolen --json"));
	CHECK(ctl_says("{\"lists\":["));
	CHECK_INT(0, ctl_run(&world, "hits rates --assessed-min 1"));
	CHECK(ctl_says("   -  Ring                12.3 %        0.0 %\n"));
	CHECK_INT(0, ctl_run(&world, "hits rates"));
	CHECK_STR("no row has 20 or more assessed hits; --assessed-min 1 shows those with fewer\n", ctl_output);
	CHECK_INT(0, ctl_run(&world, "hits rates --json"));
	CHECK(ctl_says("\"rates\":[]"));
	test_server_fini(&world.test);
}

void ctl_test_hits_taken_on(void)
{
	struct world world;

	ctl_begin(&world);
	CHECK_INT(0, ctl_run(&world, "hits acknowledge 0-1 0-2"));
	CHECK_INT(4, ctl_run(&world, "hits acknowledge 0-1 9-2"));
	CHECK(ctl_says("9-2     refused"));
	CHECK_INT(4, ctl_run(&world, "hits acknowledge 0-1 9-2 --json"));
	CHECK(ctl_says("\"refused\":1"));
	test_server_fini(&world.test);
}

static void *stop_when_followed(void *ctx)
{
	struct world *world = ctx;

	while (world->following == 0)
		(void)usleep(1000);
	test_server_fini(&world->test);
	return NULL;
}

/* An end that nobody asked for is no good end, whichever way the appliance answers while it stops. */
void ctl_test_hits_end_with_the_appliance(void)
{
	for (int delivered = -1; delivered <= 5; delivered += 6) {
		struct world world;
		pthread_t thread;

		ctl_begin(&world);
		world.delivered = delivered;
		CHECK_INT(0, pthread_create(&thread, NULL, stop_when_followed, &world));
		CHECK_INT(3, ctl_run(&world, "hits follow room --for 30 " GROUNDS));
		CHECK(ctl_complains("the appliance is stopping"));
		CHECK_INT(0, pthread_join(thread, NULL));
	}
}
