/* What the tests of the server share: the appliance's side of it, as small as it can be. */
#ifndef GANTRY_TESTS_MGMT_SERVER_WORLD_H
#define GANTRY_TESTS_MGMT_SERVER_WORLD_H

#include <pthread.h>
#include <stdatomic.h>

#include "tests/mgmt/fixture.h"

#define WORLD_GROUNDS "\"purpose\":\"serious\",\"case\":\"C-17\",\"reason\":\"robbery at the station\""

struct world {
	atomic_int effects;
	atomic_int cancelled;
	atomic_int rows;
	atomic_int blocked; /* handlers that wait in world_wait */
	pthread_mutex_t lock;
	struct call *stream; /* kept by hits.follow */
};

/* Handlers that tests bind to methods of their own choice, too. */
int world_status(struct call *call, void *ctx);
int world_change(struct call *call, void *ctx);
/* A server with every handler of this world bound, started. */
void world_begin(struct test_server *test, struct world *world);
/* Ten seconds at most. */
void world_wait_for(atomic_int *value, int wanted);
struct server_counters world_counters(struct test_server *test);

/* test_server.c */
void server_test_hello_and_status(void);
void server_test_strangeness_is_refused(void);
void server_test_wrong_parameters_have_no_effect(void);
void server_test_grounds_are_needed(void);
void server_test_unaudited_is_undone(void);
void server_test_answers_too_large(void);
void server_test_outcome_that_cannot_be_recorded(void);
void server_test_uploads(void);

/* test_server_lines.c */
void server_test_lines_in_random_pieces(void);
void server_test_mutated_lines(void);
void server_test_oversize_line_ends_the_client(void);
void server_test_too_many_clients(void);
void server_test_one_server_a_socket(void);
void server_test_stale_socket_is_replaced(void);
void server_test_idle_client_is_dropped(void);

/* test_server_frames.c */
void server_test_frames(void);
void server_test_frames_in_random_pieces(void);
void server_test_damaged_frames(void);
void server_test_frame_parser(void);

/* test_server_streams.c */
void server_test_rows_stream(void);
void server_test_credit_is_kept(void);
void server_test_no_credit_is_a_stall(void);
void server_test_slow_reader_is_dropped(void);
void server_test_cancel_ends_a_call(void);
void server_test_status_goes_beside_searches(void);
void server_test_disconnect_cancels(void);
void server_test_follow_delivers_until_cancelled(void);
void server_test_leaving_while_stopping(void);
void server_test_streams_come_and_go(void);
void server_test_stop_with_everything_in_flight(void);

#endif
