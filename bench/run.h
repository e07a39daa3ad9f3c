/* `gantry-load run` and `gantry-load pcap`: fleet, spools, transport and ledger put together and driven to the end. */
#ifndef GANTRY_BENCH_RUN_H
#define GANTRY_BENCH_RUN_H

#include "appliance/base/err.h"

struct options;

/* *ret_status: the exit status. SIGINT or SIGTERM ends the making of reads; a second one ends the wait for ACKs. */
int run(const struct options *options, int *ret_status, struct err *err);

#endif
