#include "storage/register_db.h"

#include <errno.h>
#include <lmdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/aead.h"
#include "appliance/base/bytes.h"
#include "storage/lmdb_check.h"
#include "storage/register.h"

#define KEY_BYTES 9
#define META_SIZE 16 /* applied u64, record count u64 */
#define SEAL_OVERHEAD (AEAD_NONCE_SIZE + AEAD_TAG_SIZE)
#define BASE_INDEX UINT32_C(0x80000000) /* of a base's first record */

static const uint8_t meta_key[1] = {0};

struct reg_db {
	MDB_env *env;
	MDB_dbi dbi;
	MDB_txn *txn;   /* the writer's */
	uint64_t count; /* records, as of the writer's transaction */
	uint64_t count_committed;
	struct aead_key key;
	bool well; /* opened and checked: closing it leaves the mark of an orderly close */
	char directory[4096];
};

/* LMDB's codes, once. What its file does wrong is -EBADMSG: it will be made again. */
static int db_error(int code)
{
	switch (code) {
	case MDB_SUCCESS:
		return 0;
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_MAP_FULL:
		return -ENOSPC;
	case MDB_READERS_FULL:
		return -EAGAIN;
	case MDB_PAGE_NOTFOUND:
	case MDB_CORRUPTED:
	case MDB_VERSION_MISMATCH:
	case MDB_INVALID:
	case MDB_INCOMPATIBLE:
	case MDB_BAD_DBI:
	case MDB_BAD_VALSIZE:
		return -EBADMSG;
	default:
		return code > 0 ? -code : -EIO;
	}
}

static void key_make(uint8_t key[KEY_BYTES], int kind, uint32_t a, uint32_t b)
{
	key[0] = (uint8_t)kind;
	be32_put(key + 1, a);
	be32_put(key + 5, b);
}

static int value_open(const struct reg_db *db, const MDB_val *key, const MDB_val *sealed, uint8_t *ret_value,
		      size_t *ret_size)
{
	const uint8_t *bytes = sealed->mv_data;
	size_t size = sealed->mv_size - SEAL_OVERHEAD;
	int result;

	if (sealed->mv_size < SEAL_OVERHEAD || size > REG_RECORD_SIZE_MAX)
		return -EBADMSG;
	result = aead_open(&db->key, bytes, key->mv_data, key->mv_size, bytes + SEAL_OVERHEAD, size, ret_value,
			   bytes + AEAD_NONCE_SIZE);
	if (result == 0)
		*ret_size = size;
	return result;
}

static size_t value_seal(const struct reg_db *db, const uint8_t key[KEY_BYTES], uint64_t sequence, uint32_t index,
			 const struct reg_change *change, uint8_t *sealed)
{
	le64_put(sealed, sequence);
	le32_put(sealed + 8, index);
	aead_seal(&db->key, sealed, key, KEY_BYTES, change->value, change->value_size, sealed + SEAL_OVERHEAD,
		  sealed + AEAD_NONCE_SIZE);
	return SEAL_OVERHEAD + change->value_size;
}

static int meta_read(MDB_txn *txn, MDB_dbi dbi, uint64_t *ret_applied, uint64_t *ret_count)
{
	MDB_val key = {sizeof(meta_key), (void *)(uintptr_t)meta_key};
	MDB_val value;
	int result = mdb_get(txn, dbi, &key, &value);

	if (result == MDB_NOTFOUND) {
		*ret_applied = 0;
		*ret_count = 0;
		return 0;
	}
	if (result != 0)
		return db_error(result);
	if (value.mv_size != META_SIZE)
		return -EBADMSG;
	*ret_applied = le64_get(value.mv_data);
	*ret_count = le64_get((uint8_t *)value.mv_data + 8);
	return 0;
}

/* Every value opens, and as many are there as were put. */
static int db_check(struct reg_db *db, uint64_t *ret_applied)
{
	uint8_t value[REG_RECORD_SIZE_MAX];
	MDB_cursor *cursor = NULL;
	MDB_val key;
	MDB_val sealed;
	MDB_txn *txn;
	uint64_t count = 0;
	size_t size;
	int result = db_error(mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn));

	if (result < 0)
		return result;
	result = meta_read(txn, db->dbi, ret_applied, &db->count);
	if (result == 0)
		result = db_error(mdb_cursor_open(txn, db->dbi, &cursor));
	while (result == 0 && (result = db_error(mdb_cursor_get(cursor, &key, &sealed, MDB_NEXT))) == 0) {
		if (key.mv_size == sizeof(meta_key))
			continue;
		count++;
		result = key.mv_size == KEY_BYTES ? value_open(db, &key, &sealed, value, &size) : -EBADMSG;
	}
	if (result == -ENOENT)
		result = count == db->count ? 0 : -EBADMSG;
	bytes_wipe(value, sizeof(value));
	if (cursor != NULL)
		mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	db->count_committed = db->count;
	return result;
}

static int dbi_open(struct reg_db *db, bool read_only)
{
	MDB_txn *txn;
	int result = mdb_txn_begin(db->env, NULL, read_only ? MDB_RDONLY : 0, &txn);

	if (result != 0)
		return db_error(result);
	result = mdb_dbi_open(txn, NULL, 0, &db->dbi);
	if (result != 0) {
		mdb_txn_abort(txn);
		return db_error(result);
	}
	return db_error(mdb_txn_commit(txn));
}

/* LMDB believes whatever its file says: it is looked at first. */
static int env_open(struct reg_db *db, size_t map_size, bool read_only, struct err *err)
{
	unsigned flags = MDB_NOTLS | MDB_NORDAHEAD | (read_only ? MDB_RDONLY | MDB_NOLOCK : 0);
	int dead;
	int result = lmdb_check(db->directory, err);

	if (result == LMDB_ABSENT && read_only)
		return -ENOENT;
	if (result >= 0)
		result = read_only ? 0 : lmdb_mark_remove(db->directory);
	if (result == 0)
		result = db_error(mdb_env_create(&db->env));
	if (result == 0)
		result = db_error(mdb_env_set_mapsize(db->env, map_size));
	if (result == 0)
		result = db_error(mdb_env_open(db->env, db->directory, flags, 0600));
	if (result == 0 && !read_only)
		(void)mdb_reader_check(db->env, &dead);
	return result;
}

static int db_open(const char *directory, size_t map_size, bool read_only, const uint8_t *key, struct err *err,
		   struct reg_db **ret_db, uint64_t *ret_applied)
{
	struct reg_db *db = aligned_alloc(64, (sizeof(*db) + 63) / 64 * 64);
	uint64_t applied = 0;
	int result;

	if (db == NULL)
		return -ENOMEM;
	memset(db, 0, sizeof(*db));
	aead_key_init(&db->key, key);
	result = snprintf(db->directory, sizeof(db->directory), "%s", directory) < (int)sizeof(db->directory)
			 ? env_open(db, map_size, read_only, err)
			 : -ENAMETOOLONG;
	if (result == 0)
		result = dbi_open(db, read_only);
	if (result == 0)
		result = db_check(db, &applied);
	db->well = result == 0 && !read_only;
	if (result < 0) {
		reg_db_free(db);
		return result;
	}
	*ret_db = db;
	*ret_applied = applied;
	return 0;
}

int reg_db_open(const char *directory, size_t map_size, const uint8_t *key, struct reg_db **ret_db,
		uint64_t *ret_applied)
{
	return db_open(directory, map_size, false, key, NULL, ret_db, ret_applied);
}

int reg_db_open_read_only(const char *directory, const uint8_t *key, struct err *err, struct reg_db **ret_db,
			  uint64_t *ret_applied)
{
	return db_open(directory, (size_t)1 << 40, true, key, err, ret_db, ret_applied);
}

struct reg_db *reg_db_free(struct reg_db *db)
{
	if (db == NULL)
		return NULL;
	reg_db_abort(db);
	if (db->env != NULL)
		mdb_env_close(db->env);
	if (db->well)
		(void)lmdb_mark_write(db->directory); /* without it the next open only has less to go by */
	aead_key_fini(&db->key);
	free(db);
	return NULL;
}

int reg_db_wipe(const char *directory)
{
	static const char *const names[] = {"clean", "data.mdb", "lock.mdb"};
	char path[4096];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		if (unlink(path) < 0 && errno != ENOENT)
			return -errno;
	}
	return 0;
}

int reg_db_begin(struct reg_db *db)
{
	db->count = db->count_committed;
	return db_error(mdb_txn_begin(db->env, NULL, 0, &db->txn));
}

static int change_apply(struct reg_db *db, uint64_t sequence, uint32_t index, const struct reg_change *change)
{
	uint8_t sealed[SEAL_OVERHEAD + REG_RECORD_SIZE_MAX];
	uint8_t bytes[KEY_BYTES];
	MDB_val key = {KEY_BYTES, bytes};
	MDB_val value = {0, sealed};
	MDB_val old;
	int found;
	int result;

	key_make(bytes, change->kind, change->a, change->b);
	found = mdb_get(db->txn, db->dbi, &key, &old);
	if (found != 0 && found != MDB_NOTFOUND)
		return db_error(found);
	if (change->value == NULL) {
		result = found == 0 ? mdb_del(db->txn, db->dbi, &key, NULL) : 0;
		db->count -= found == 0;
		return db_error(result);
	}
	value.mv_size = value_seal(db, bytes, sequence, index, change, sealed);
	db->count += found == MDB_NOTFOUND;
	return db_error(mdb_put(db->txn, db->dbi, &key, &value, 0));
}

static int meta_write(struct reg_db *db, uint64_t sequence)
{
	uint8_t meta[META_SIZE];
	MDB_val key = {sizeof(meta_key), (void *)(uintptr_t)meta_key};
	MDB_val value = {META_SIZE, meta};

	le64_put(meta, sequence);
	le64_put(meta + 8, db->count);
	return db_error(mdb_put(db->txn, db->dbi, &key, &value, 0));
}

int reg_db_apply(struct reg_db *db, uint64_t sequence, const struct reg_change *changes, size_t count)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < count; i++)
		result = change_apply(db, sequence, (uint32_t)i, &changes[i]);
	return result < 0 ? result : meta_write(db, sequence);
}

int reg_db_clear(struct reg_db *db)
{
	db->count = 0;
	return db_error(mdb_drop(db->txn, db->dbi, 0));
}

int reg_db_base_put(struct reg_db *db, uint64_t sequence, uint64_t first, const struct reg_change *changes,
		    size_t count)
{
	int result = 0;

	if (first + count > BASE_INDEX)
		return -EFBIG;
	for (size_t i = 0; result == 0 && i < count; i++)
		result = change_apply(db, sequence, BASE_INDEX + (uint32_t)(first + i), &changes[i]);
	return result;
}

int reg_db_base_end(struct reg_db *db, uint64_t sequence)
{
	return meta_write(db, sequence);
}

int reg_db_commit(struct reg_db *db)
{
	int result = mdb_txn_commit(db->txn);

	db->txn = NULL;
	if (result == 0)
		db->count_committed = db->count;
	return db_error(result);
}

void reg_db_abort(struct reg_db *db)
{
	if (db->txn != NULL)
		mdb_txn_abort(db->txn);
	db->txn = NULL;
}

int reg_db_get(struct reg_db *db, int kind, uint32_t a, uint32_t b, void *ret_value, size_t *ret_size)
{
	uint8_t bytes[KEY_BYTES];
	MDB_val key = {KEY_BYTES, bytes};
	MDB_val sealed;
	MDB_txn *txn;
	int result = db_error(mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn));

	if (result < 0)
		return result;
	key_make(bytes, kind, a, b);
	result = db_error(mdb_get(txn, db->dbi, &key, &sealed));
	if (result == 0)
		result = value_open(db, &key, &sealed, ret_value, ret_size);
	mdb_txn_abort(txn);
	return result;
}

static int record_give(const struct reg_db *db, const MDB_val *key, const MDB_val *sealed,
		       int (*each)(void *context, const struct reg_record *record), void *context)
{
	const uint8_t *bytes = key->mv_data;
	uint8_t value[REG_RECORD_SIZE_MAX];
	struct reg_record record = {
		.kind = (enum reg_kind)bytes[0], .a = be32_get(bytes + 1), .b = be32_get(bytes + 5), .value = value};
	int result = value_open(db, key, sealed, value, &record.value_size);

	if (result == 0)
		result = each(context, &record);
	bytes_wipe(value, sizeof(value));
	return result;
}

static int each_in(const struct reg_db *db, MDB_txn *txn, int kind, uint32_t a_first, uint32_t a_last,
		   int (*each)(void *context, const struct reg_record *record), void *context)
{
	uint8_t first[KEY_BYTES];
	uint8_t last[KEY_BYTES];
	MDB_val key = {KEY_BYTES, first};
	MDB_val sealed;
	MDB_cursor *cursor = NULL;
	int result = db_error(mdb_cursor_open(txn, db->dbi, &cursor));

	key_make(first, kind, a_first, 0);
	key_make(last, kind, a_last, UINT32_MAX);
	if (result == 0)
		result = db_error(mdb_cursor_get(cursor, &key, &sealed, MDB_SET_RANGE));
	while (result == 0 && key.mv_size == KEY_BYTES && memcmp(key.mv_data, last, KEY_BYTES) <= 0) {
		result = record_give(db, &key, &sealed, each, context);
		if (result == 0)
			result = db_error(mdb_cursor_get(cursor, &key, &sealed, MDB_NEXT));
	}
	if (cursor != NULL)
		mdb_cursor_close(cursor);
	return result == -ENOENT ? 0 : result;
}

int reg_db_each(struct reg_db *db, int kind, uint32_t a_first, uint32_t a_last,
		int (*each)(void *context, const struct reg_record *record), void *context)
{
	MDB_txn *txn;
	int result = db_error(mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn));

	if (result < 0)
		return result;
	result = each_in(db, txn, kind, a_first, a_last, each, context);
	mdb_txn_abort(txn);
	return result;
}

struct reg_db_view {
	struct reg_db *db;
	MDB_txn *txn;
};

int reg_db_view_new(struct reg_db *db, struct reg_db_view **ret_view, uint64_t *ret_applied)
{
	struct reg_db_view *view = calloc(1, sizeof(*view));
	uint64_t count;
	int result;

	if (view == NULL)
		return -ENOMEM;
	view->db = db;
	result = db_error(mdb_txn_begin(db->env, NULL, MDB_RDONLY, &view->txn));
	if (result == 0)
		result = meta_read(view->txn, db->dbi, ret_applied, &count);
	if (result < 0) {
		reg_db_view_free(view);
		return result;
	}
	*ret_view = view;
	return 0;
}

int reg_db_view_each(struct reg_db_view *view, int (*each)(void *context, const struct reg_record *record),
		     void *context)
{
	int result = 0;

	for (int kind = REG_FEED; result == 0 && kind < REG_KIND_END; kind++)
		result = each_in(view->db, view->txn, kind, 0, UINT32_MAX, each, context);
	return result;
}

struct reg_db_view *reg_db_view_free(struct reg_db_view *view)
{
	if (view == NULL)
		return NULL;
	if (view->txn != NULL)
		mdb_txn_abort(view->txn);
	free(view);
	return NULL;
}
