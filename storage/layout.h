/*
 * What lies where in a data directory. All names are relative to it.
 *
 *	lock               held by the one gantryd that serves the directory
 *	journal/           w<worker>-<sequence>.open | .closed
 *	segments/          d<day>-<segment id>.seg, .tmp while being written
 *	catalog/           LMDB environment, rebuildable
 *	lanes.a, .b        what of the catalog no segment can tell, twice
 *	register/          change log and its LMDB index
 *	lists/             sealed blobs named by their content's hash
 *	audit/             Merkle log and checkpoints
 *	keyring.a, .b      the two copies (settings may move one to another disk)
 *	purge/             purge intents, outside LMDB
 *	cases/<hex id>/    d<day>-<segment id>.seg, held rows of purged days
 *	clock              the last time seen, and whether it was trusted
 */
#ifndef GANTRY_STORAGE_LAYOUT_H
#define GANTRY_STORAGE_LAYOUT_H

#define LAYOUT_LOCK "lock"
#define LAYOUT_JOURNAL "journal"
#define LAYOUT_SEGMENTS "segments"
#define LAYOUT_CATALOG "catalog"
#define LAYOUT_REGISTER "register"
#define LAYOUT_LISTS "lists"
#define LAYOUT_AUDIT "audit"
#define LAYOUT_PURGE "purge"
#define LAYOUT_CASES "cases"
#define LAYOUT_CLOCK "clock"
#define LAYOUT_LANES_A "lanes.a"
#define LAYOUT_LANES_B "lanes.b"
#define LAYOUT_KEYRING_A "keyring.a"
#define LAYOUT_KEYRING_B "keyring.b"

/* Longest path that storage builds, end included; longer ones are refused with -ENAMETOOLONG. */
#define LAYOUT_PATH_SIZE 4096

#endif
