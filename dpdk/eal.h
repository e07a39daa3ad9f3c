/*
 * DPDK's environment layer (EAL): started once per process, before any port, by the main thread.
 *
 * The default needs nothing of the host: no hugepages, no PCI, addresses as virtual, no root. Worker threads are EAL
 * lcores: lcore 0 is the control thread (the caller of eal_start), worker i is lcore i + 1. Control plane only.
 */
#ifndef GANTRY_DPDK_EAL_H
#define GANTRY_DPDK_EAL_H

#include <stdbool.h>

#include "appliance/base/err.h"

#define EAL_WORKERS_MAX 32
#define EAL_DEVICES_MAX 16
#define EAL_CORE_ANY (-1)

struct eal_settings {
	const char *name;      /* of this instance, [A-Za-z0-9._-]: EAL's file prefix, telemetry socket's directory */
	unsigned memory_mib;   /* all that pools and rings may take: it never grows */
	bool hugepages;        /* take them when enough are free; otherwise go on without (eal_hugepages says which) */
	bool verbose;          /* EAL's own log at info instead of warnings */
	int control_core;      /* CPU of the control thread, or EAL_CORE_ANY */
	unsigned worker_count; /* 0..EAL_WORKERS_MAX */
	int worker_cores[EAL_WORKERS_MAX];        /* CPU each worker is pinned to, or EAL_CORE_ANY */
	const char *pci_devices[EAL_DEVICES_MAX]; /* addresses bound to vfio-pci; none named: PCI is left alone */
	const char *extra;                        /* further EAL arguments, split at blanks; NULL none */
};

/* The defaults: 512 MiB, no hugepages, no PCI, one worker, cores left to the scheduler. `name` is kept by reference. */
void eal_settings_init(struct eal_settings *settings, const char *name);

/*
 * 0; -EALREADY when EAL was started (or tried) before in this process; -EINVAL for settings that contradict themselves
 * (nothing was started); else what EAL said. EAL can not be tried twice: after any other failure end the process.
 * From then on SIGPIPE is ignored in this process. The caller's own CPU affinity is as control_core says afterwards;
 * threads made later inherit it.
 */
int eal_start(const struct eal_settings *settings, struct err *err);

/* After the last port is closed and the workers have returned: removes EAL's runtime files too. Nothing of DPDK may be
 * used afterwards. */
void eal_stop(void);

/* True when this process runs on hugepages. */
bool eal_hugepages(void);

/* Runs `work` on worker `index`; -EBUSY while it still runs something, -EINVAL when there is no such worker. */
int eal_worker_launch(unsigned index, int (*work)(void *context), void *context);

/* Waits until the worker has returned and gives its result; 0 when it ran nothing. */
int eal_worker_wait(unsigned index);

#endif
