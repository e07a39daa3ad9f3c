#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/bytes.h"
#include "appliance/base/err.h"
#include "appliance/base/prng.h"
#include "mgmt/audit.h"
#include "mgmt/audit_attach.h"
#include "mgmt/leaves.h"
#include "tests/check.h"
#include "tests/mgmt/fixture.h"

static const char secret[] = "{\"vrm\":\"AB12CDE\"}";

static int append(struct audit *audit, uint64_t *ret_index)
{
	struct audit_entry entry = {.uid = 1000,
				    .account = "alice",
				    .verb = "reads.search",
				    .outcome = AUDIT_DONE,
				    .intent = AUDIT_NO_INTENT,
				    .body = secret,
				    .body_size = sizeof(secret) - 1};

	return audit_append(audit, &entry, ret_index);
}

static void fill(const char *directory, unsigned count)
{
	struct test_keys keys = {0};
	struct audit *audit = test_audit(directory, &keys);
	uint64_t index;

	for (unsigned i = 0; i < count; i++)
		CHECK_INT(0, append(audit, &index));
	audit = audit_close(audit);
}

static int open_with(const char *directory, const struct audit_files *files, bool existing, struct audit **ret_audit,
		     struct err *err)
{
	static struct test_keys keys;
	struct audit_options options = {.directory = directory,
					.origin = "gantry.test/audit",
					.keys = test_keys(&keys),
					.files = files,
					.existing = existing};

	return audit_open(&options, ret_audit, err);
}

static int open_quickly(const char *directory, struct audit **ret_audit, struct err *err)
{
	return open_with(directory, test_files(), false, ret_audit, err);
}

static const char *key_of(const char *directory)
{
	static char key[AUDIT_VKEY_MAX];
	struct test_keys keys = {0};
	struct audit *audit = test_audit(directory, &keys);

	(void)snprintf(key, sizeof(key), "%s", audit_vkey(audit));
	audit = audit_close(audit);
	return key;
}

static size_t read_file(const char *directory, const char *name, uint8_t *to, size_t size)
{
	char path[256];
	FILE *file;
	size_t got;

	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "r");
	CHECK(file != NULL);
	got = fread(to, 1, size, file);
	(void)fclose(file);
	return got;
}

static void write_file(const char *directory, const char *name, const uint8_t *bytes, size_t size)
{
	char path[256];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "w");
	CHECK(file != NULL);
	CHECK_INT(size, fwrite(bytes, 1, size, file));
	CHECK_INT(0, fclose(file));
}

static int check_record(const struct audit_record *record, void *ctx)
{
	uint64_t *next = ctx;

	CHECK_INT(*next, record->index);
	CHECK_STR("alice", record->entry.account);
	CHECK_STR("reads.search", record->entry.verb);
	CHECK_INT(1000, record->entry.uid);
	CHECK_INT(AUDIT_DONE, record->entry.outcome);
	CHECK(record->entry.body_size == sizeof(secret) - 1);
	CHECK_MEM(secret, record->entry.body, sizeof(secret) - 1);
	(*next)++;
	return 0;
}

static void written_and_read(void)
{
	const char *directory = check_directory();
	struct test_keys keys = {0};
	struct audit *audit = test_audit(directory, &keys);
	struct audit_head head;
	struct audit_head found;
	struct err err;
	uint8_t bytes[8192];
	uint64_t next = 0;
	uint64_t index;
	size_t size;

	CHECK_INT(0, audit_verify(audit, &head, &err));
	CHECK_INT(0, head.size);
	for (unsigned i = 0; i < 5; i++) {
		CHECK_INT(0, append(audit, &index));
		CHECK_INT(i, index);
	}
	audit = audit_close(audit);
	CHECK_INT(-EBUSY, (audit = test_audit(directory, &keys),
			   open_with(directory, NULL, false, &(struct audit *){0}, &err)));
	audit_head_get(audit, &head);
	CHECK_INT(5, head.size);
	CHECK_INT(0, audit_verify(audit, &found, &err));
	CHECK_MEM(head.root, found.root, sizeof(head.root));
	CHECK_INT(0, audit_read(audit, 0, UINT64_MAX, true, check_record, &next, &err));
	CHECK_INT(5, next);
	next = 3;
	CHECK_INT(0, audit_read(audit, 3, 1, true, check_record, &next, &err));
	CHECK_INT(4, next);
	CHECK_INT(0, append(audit, &index));
	CHECK_INT(5, index);
	audit = audit_close(audit);
	/* What was searched for is on the disk only sealed. */
	size = read_file(directory, LEAVES_NAME, bytes, sizeof(bytes));
	CHECK(memmem(bytes, size, "AB12CDE", 7) == NULL);
	CHECK(memmem(bytes, size, "alice", 5) != NULL);
}

static void limits(void)
{
	struct test_keys keys = {0};
	struct audit *audit = test_audit(check_directory(), &keys);
	char *text = calloc(1, AUDIT_BODY_MAX + 2);
	struct audit_entry entry = {.account = text, .verb = "v", .outcome = AUDIT_NOTE, .intent = AUDIT_NO_INTENT};
	uint64_t index = 77;

	memset(text, 'x', AUDIT_TEXT_MAX + 1);
	CHECK_INT(-EINVAL, audit_append(audit, &entry, &index));
	text[AUDIT_TEXT_MAX] = '\0';
	CHECK_INT(0, audit_append(audit, &entry, &index));
	CHECK_INT(0, index);
	entry = (struct audit_entry){.account = "a", .verb = "v", .outcome = AUDIT_OUTCOME_COUNT};
	CHECK_INT(-EINVAL, audit_append(audit, &entry, &index));
	memset(text, 'x', AUDIT_BODY_MAX + 1);
	entry = (struct audit_entry){.account = "a", .verb = "v", .body = text, .body_size = AUDIT_BODY_MAX + 1};
	CHECK_INT(-EMSGSIZE, audit_append(audit, &entry, &index));
	entry.body_size = AUDIT_BODY_MAX;
	CHECK_INT(0, audit_append(audit, &entry, &index));
	CHECK_INT(1, index);
	audit = audit_close(audit);
	free(text);
}

enum { THREADS = 4, EACH = 40 };

static void *append_many(void *ctx)
{
	uint64_t index;

	for (unsigned i = 0; i < EACH; i++)
		if (append(ctx, &index) < 0)
			return ctx;
	return NULL;
}

static void from_many_threads(void)
{
	struct test_keys keys = {0};
	const char *directory = check_directory();
	struct audit *audit = test_audit(directory, &keys);
	pthread_t threads[THREADS];
	struct audit_head head;
	uint64_t next = 0;
	void *result;

	for (unsigned i = 0; i < THREADS; i++)
		CHECK_INT(0, pthread_create(&threads[i], NULL, append_many, audit));
	CHECK_INT(0, audit_verify(audit, &head, NULL)); /* beside the writers */
	for (unsigned i = 0; i < THREADS; i++) {
		(void)pthread_join(threads[i], &result);
		CHECK(result == NULL);
	}
	CHECK_INT(0, audit_verify(audit, &head, NULL));
	CHECK_INT(THREADS * EACH, head.size);
	CHECK_INT(0, audit_read(audit, 0, UINT64_MAX, true, check_record, &next, NULL));
	CHECK_INT(THREADS * EACH, next);
	audit = audit_close(audit);
}

/* A changed byte anywhere is found, by the appliance when it opens the log and by an auditor with the key. */
static void every_byte_changed(void)
{
	const char *directory = check_directory();
	const char *const names[] = {LEAVES_NAME, CHECKPOINT_NAME};
	uint8_t bytes[2048];
	struct audit *audit;
	struct audit_head head;
	struct err err;
	const char *key;

	fill(directory, 4);
	key = key_of(directory);
	CHECK_INT(0, audit_verify_directory(directory, key, &head, &err));
	for (unsigned n = 0; n < 2; n++) {
		size_t size = read_file(directory, names[n], bytes, sizeof(bytes));

		CHECK(size < sizeof(bytes));
		for (size_t i = 0; i < size; i++) {
			uint8_t bit = (uint8_t)(1 << i % 8);

			bytes[i] ^= bit;
			write_file(directory, names[n], bytes, size);
			err.text[0] = '\0';
			CHECK_INT(-EBADMSG, audit_verify_directory(directory, key, &head, &err));
			CHECK(strstr(err.text, names[n]) != NULL);
			CHECK_INT(-EBADMSG, open_quickly(directory, &audit, &err));
			CHECK(strstr(err.text, names[n]) != NULL);
			bytes[i] ^= bit;
		}
		write_file(directory, names[n], bytes, size);
	}
	CHECK_INT(0, audit_verify_directory(directory, key, &head, &err));
}

static void every_byte_missing(void)
{
	const char *directory = check_directory();
	uint8_t bytes[2048];
	struct audit *audit;
	struct audit_head head;
	struct err err;
	const char *key;
	size_t size;

	fill(directory, 3);
	key = key_of(directory);
	size = read_file(directory, LEAVES_NAME, bytes, sizeof(bytes));
	for (size_t i = 0; i < size; i++) {
		write_file(directory, LEAVES_NAME, bytes, i);
		CHECK_INT(-EBADMSG, audit_verify_directory(directory, key, &head, &err));
		CHECK_INT(-EBADMSG, open_quickly(directory, &audit, &err));
		/* Refused and left as it is. */
		CHECK_INT(i, read_file(directory, LEAVES_NAME, bytes + 1024, 1024));
	}
	write_file(directory, LEAVES_NAME, bytes, size);
	CHECK_INT(0, audit_verify_directory(directory, key, &head, &err));
}

static void whole_files_missing(void)
{
	const char *directory = check_directory();
	char path[256];
	struct audit *audit;
	struct err err;

	CHECK_INT(-ENOENT, open_with(directory, NULL, true, &audit, &err));
	fill(directory, 2);
	CHECK_INT(0, open_with(directory, NULL, true, &audit, &err));
	audit = audit_close(audit);
	(void)snprintf(path, sizeof(path), "%s/" LEAVES_NAME, directory);
	CHECK_INT(0, unlink(path));
	CHECK_INT(-EBADMSG, open_quickly(directory, &audit, &err));
	directory = check_directory();
	fill(directory, 2);
	(void)snprintf(path, sizeof(path), "%s/" CHECKPOINT_NAME, directory);
	CHECK_INT(0, unlink(path));
	CHECK_INT(-EBADMSG, open_quickly(directory, &audit, &err));
}

/* Beyond the checkpoint: a whole entry stays, part of one is cut, garbage is cut; nothing before is touched. */
static void torn_tails(void)
{
	const char *directory = check_directory();
	uint8_t checkpoint[1024];
	uint8_t bytes[2048];
	struct audit *audit;
	struct audit_head head;
	struct err err;
	struct prng prng = {check_seed()};
	size_t checkpoint_size;
	size_t before;
	size_t after;

	fill(directory, 2);
	checkpoint_size = read_file(directory, CHECKPOINT_NAME, checkpoint, sizeof(checkpoint));
	before = read_file(directory, LEAVES_NAME, bytes, sizeof(bytes));
	fill(directory, 1);
	after = read_file(directory, LEAVES_NAME, bytes, sizeof(bytes));
	for (size_t size = before; size <= after; size++) {
		write_file(directory, CHECKPOINT_NAME, checkpoint, checkpoint_size);
		write_file(directory, LEAVES_NAME, bytes, size);
		CHECK_INT(0, open_quickly(directory, &audit, &err));
		CHECK_INT(0, audit_verify(audit, &head, &err));
		CHECK_INT(size == after ? 3 : 2, head.size);
		audit = audit_close(audit);
	}
	for (unsigned i = 0; i < 100; i++) {
		write_file(directory, CHECKPOINT_NAME, checkpoint, checkpoint_size);
		bytes[before + prng_below(&prng, after - before)] ^= (uint8_t)(1 + prng_below(&prng, 255));
		write_file(directory, LEAVES_NAME, bytes, after);
		CHECK_INT(0, open_quickly(directory, &audit, &err));
		audit_head_get(audit, &head);
		CHECK(head.size == 2 || i > 0); /* two changes may meet in one byte and undo each other */
		audit = audit_close(audit);
	}
}

/* A frame that an intruder puts behind the checkpoint, all hashes right, but sealed without the key. */
static void forged_tail_is_cut(void)
{
	const char *directory = check_directory();
	uint8_t checkpoint[1024];
	uint8_t bytes[2048];
	struct audit *audit;
	struct audit_head head;
	struct err err;
	merkle_hash hash;
	size_t checkpoint_size;
	size_t before;
	size_t after;

	fill(directory, 2);
	checkpoint_size = read_file(directory, CHECKPOINT_NAME, checkpoint, sizeof(checkpoint));
	before = read_file(directory, LEAVES_NAME, bytes, sizeof(bytes));
	fill(directory, 1);
	after = read_file(directory, LEAVES_NAME, bytes, sizeof(bytes));
	write_file(directory, CHECKPOINT_NAME, checkpoint, checkpoint_size);
	bytes[before + FRAME_HEAD_SIZE + 4] ^= 1; /* another uid */
	frame_finish(bytes + before, after - before - FRAME_EXTRA_SIZE, hash);
	write_file(directory, LEAVES_NAME, bytes, after);
	CHECK_INT(0, open_quickly(directory, &audit, &err));
	audit_head_get(audit, &head);
	CHECK_INT(2, head.size);
	audit = audit_close(audit);
}

/* Operations counted down: the Nth fails, and then one only, or all that follow (the disk is gone, the power is cut).
 */
struct faults {
	int left;
	bool once;
	bool torn; /* the write that fails has done half of it */
	bool hit;
};

static int fault(struct faults *faults)
{
	if (faults->hit)
		return faults->once ? 0 : -EIO;
	if (--faults->left > 0)
		return 0;
	faults->hit = true;
	return -ENOSPC;
}

static int faulty_write(void *ctx, int fd, const void *bytes, size_t size, uint64_t offset)
{
	struct faults *faults = ctx;
	int r = fault(faults);

	if (r < 0 && faults->torn)
		size /= 2;
	if (r == 0 || faults->torn)
		CHECK_INT(size, pwrite(fd, bytes, size, (off_t)offset));
	return r;
}

static int faulty_sync(void *ctx, int fd)
{
	(void)fd;
	return fault(ctx);
}

static int faulty_rename(void *ctx, const char *from, const char *to)
{
	int r = fault(ctx);

	return r == 0 && rename(from, to) < 0 ? -errno : r;
}

static int faulty_truncate(void *ctx, int fd, uint64_t size)
{
	int r = fault(ctx);

	return r == 0 && ftruncate(fd, (off_t)size) < 0 ? -errno : r;
}

/* Some appends with the fault in their midst; then a new life, which must hold all that was acknowledged. */
static bool life_with_fault(struct faults faults, bool *ret_resumed)
{
	const char *directory = check_directory();
	struct audit_files files = {&faults, faulty_write, faulty_sync, faulty_rename, faulty_truncate};
	struct audit *audit = NULL;
	struct audit_head head;
	struct err err = {""};
	bool acknowledged[6] = {false};
	uint64_t indexes[6];
	uint64_t size = 0;
	bool failed = false;

	if (open_with(directory, &files, false, &audit, &err) == 0) {
		for (unsigned i = 0; i < 6; i++) {
			acknowledged[i] = append(audit, &indexes[i]) == 0;
			if (acknowledged[i] && failed)
				*ret_resumed = true;
			failed = failed || !acknowledged[i];
			size = acknowledged[i] ? indexes[i] + 1 : size;
		}
		audit = audit_close(audit);
	}
	CHECK_INT(0, open_quickly(directory, &audit, &err));
	CHECK_INT(0, audit_verify(audit, &head, &err));
	CHECK(head.size >= size);
	CHECK(head.size <= 6);
	CHECK_INT(head.size, test_audit_count(audit, "reads.search", AUDIT_DONE));
	CHECK_INT(0, append(audit, &indexes[0]));
	CHECK_INT(head.size, indexes[0]);
	audit = audit_close(audit);
	return faults.hit;
}

static void fault_sweep(void)
{
	bool resumed = false;

	for (unsigned mode = 0; mode < 4; mode++) {
		bool hit = true;

		for (int n = 1; hit; n++)
			hit = life_with_fault((struct faults){.left = n, .once = mode & 1, .torn = mode & 2}, &resumed);
	}
	CHECK(resumed); /* a disk that was full for a moment does not stop the log for good */
}

static int count_lost(const struct audit_record *record, void *ctx)
{
	*(unsigned *)ctx += record->body_lost && record->entry.body == NULL;
	return 0;
}

static unsigned attached_count(const char *directory)
{
	DIR *dir = opendir(directory);
	unsigned count = 0;

	CHECK(dir != NULL);
	for (struct dirent *at = readdir(dir); at != NULL; at = readdir(dir))
		count += strstr(at->d_name, ".attached") != NULL || strlen(at->d_name) > 2 * SHA256_SIZE;
	(void)closedir(dir);
	return count;
}

/* An attachment comes back whole, or is refused by its name; it says nothing to whoever lacks the key. */
static void attachments(void)
{
	const char *directory = check_directory();
	struct test_keys keys = {0};
	struct audit *audit = test_audit(directory, &keys);
	struct err err;
	uint8_t name[SHA256_SIZE], other[SHA256_SIZE], bytes[512];
	char hex[2 * SHA256_SIZE + sizeof(".attached")];
	char *text = NULL;
	size_t size, file_size;

	CHECK_INT(0, audit_attach(audit, secret, sizeof(secret) - 1, &err, name));
	CHECK_INT(0, audit_attach(audit, secret, sizeof(secret) - 1, &err, other));
	CHECK(memcmp(name, other, sizeof(name)) != 0);
	CHECK_INT(0, audit_attachment(audit, name, &err, &text, &size));
	CHECK_INT(sizeof(secret) - 1, size);
	CHECK_STR(secret, text);
	free(text);
	CHECK_INT(0, audit_attach(audit, "", 0, &err, other));
	CHECK_INT(0, audit_attachment(audit, other, &err, &text, &size));
	CHECK_STR("", text);
	free(text);
	strcat(hex_encode(name, sizeof(name), hex), ".attached");
	file_size = read_file(directory, hex, bytes, sizeof(bytes));
	CHECK(memmem(bytes, file_size, "AB12CDE", 7) == NULL);
	text = NULL;
	for (size_t bit = 0; bit < 8 * file_size; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		write_file(directory, hex, bytes, file_size);
		CHECK_INT(-EBADMSG, audit_attachment(audit, name, &err, &text, &size));
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t cut = 0; cut < file_size; cut++) {
		write_file(directory, hex, bytes, cut);
		CHECK_INT(-EBADMSG, audit_attachment(audit, name, &err, &text, &size));
	}
	write_file(directory, hex, bytes, file_size);
	memset(other, 0, sizeof(other));
	CHECK_INT(-ENOENT, audit_attachment(audit, other, &err, &text, &size));
	keys.destroyed_before = INT32_MAX;
	CHECK_INT(-ENOKEY, audit_attachment(audit, name, &err, &text, &size));
	CHECK(text == NULL);
	audit = audit_close(audit);
}

static void attachments_without_disk(void)
{
	const char *directory = check_directory();
	struct faults faults = {.left = INT32_MAX};
	struct audit_files files = {&faults, faulty_write, faulty_sync, faulty_rename, faulty_truncate};
	struct audit *audit = NULL;
	uint8_t name[SHA256_SIZE];
	struct err err = {""};
	int n;

	CHECK_INT(0, open_with(directory, &files, false, &audit, &err));
	for (n = 1;; n++) {
		unsigned before = attached_count(directory);

		faults = (struct faults){.left = n, .torn = n % 2};
		if (audit_attach(audit, secret, sizeof(secret) - 1, &err, name) == 0)
			break;
		CHECK(faults.hit);
		CHECK_INT(before, attached_count(directory));
	}
	CHECK(n >= 5);
	audit = audit_close(audit);
}

static void destroyed_key_leaves_proofs(void)
{
	const char *directory = check_directory();
	struct test_keys keys = {0};
	struct audit *audit = test_audit(directory, &keys);
	struct audit_entry entry = {.account = "a",
				    .verb = "old",
				    .intent = AUDIT_NO_INTENT,
				    .body = secret,
				    .body_size = sizeof(secret) - 1,
				    .time_us = INT64_C(1500000000000000)};
	struct audit_head head;
	unsigned lost = 0;
	uint64_t index;

	CHECK_INT(0, audit_append(audit, &entry, &index));
	CHECK_INT(0, append(audit, &index));
	keys.destroyed_before = 2020 * 12;
	CHECK_INT(0, audit_read(audit, 0, 10, true, count_lost, &lost, NULL));
	CHECK_INT(1, lost);
	CHECK_INT(0, audit_verify(audit, &head, NULL));
	CHECK_INT(2, head.size);
	audit = audit_close(audit);
}

static int take_hash(const struct audit_record *record, void *ctx)
{
	merkle_leaf(record->leaf, record->leaf_size, ((merkle_hash *)ctx)[record->index]);
	return 0;
}

static void proofs(void)
{
	const char *directory = check_directory();
	struct test_keys keys = {0};
	struct audit *audit = test_audit(directory, &keys);
	struct audit_head heads[21];
	struct audit_head head;
	merkle_hash hashes[20];
	merkle_hash path[MERKLE_PATH_MAX];
	unsigned count;
	uint64_t index;

	for (unsigned i = 0; i < 20; i++) {
		CHECK_INT(0, append(audit, &index));
		audit_head_get(audit, &heads[i + 1]);
	}
	CHECK_INT(0, audit_read(audit, 0, 20, false, take_hash, hashes, NULL));
	for (uint64_t i = 0; i < 20; i++) {
		CHECK_INT(0, audit_prove_inclusion(audit, i, &head, path, &count, NULL));
		CHECK_INT(0, merkle_inclusion_check(hashes[i], i, head.size, path, count, head.root));
		CHECK_INT(0, audit_prove_consistency(audit, i + 1, &head, path, &count, NULL));
		CHECK_INT(0, merkle_consistency_check(i + 1, heads[i + 1].root, head.size, head.root, path, count));
	}
	CHECK_INT(-ERANGE, audit_prove_inclusion(audit, 20, &head, path, &count, NULL));
	CHECK_INT(-ERANGE, audit_prove_consistency(audit, 21, &head, path, &count, NULL));
	CHECK_INT(-ERANGE, audit_prove_range(audit, &head, 19, 2, path, &count, NULL));
	audit = audit_close(audit);
}

/* Offsets are remembered only now and then: reading from the middle of a long log, also after it was opened anew. */
static void long_log(void)
{
	enum { LONG = 2600 };
	const char *directory = check_directory();
	struct audit *audit;
	uint64_t index;

	CHECK_INT(0, open_quickly(directory, &audit, NULL));
	for (unsigned i = 0; i < LONG; i++)
		CHECK_INT(0, append(audit, &index));
	for (unsigned life = 0; life < 2; life++) {
		for (uint64_t first = 1000; first < LONG; first += 511) {
			uint64_t next = first;

			CHECK_INT(0, audit_read(audit, first, 30, true, check_record, &next, NULL));
			CHECK_INT(first + 30 < LONG ? first + 30 : LONG, next);
		}
		audit = audit_close(audit);
		CHECK_INT(0, open_quickly(directory, &audit, NULL));
	}
	audit = audit_close(audit);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"written and read", written_and_read},
		{"limits", limits},
		{"from many threads", from_many_threads},
		{"every byte changed", every_byte_changed},
		{"every byte missing", every_byte_missing},
		{"whole files missing", whole_files_missing},
		{"torn tails", torn_tails},
		{"a forged tail is cut", forged_tail_is_cut},
		{"fault sweep", fault_sweep},
		{"attachments", attachments},
		{"attachments without disk", attachments_without_disk},
		{"a destroyed key leaves proofs", destroyed_key_leaves_proofs},
		{"proofs", proofs},
		{"a long log", long_log},
		{NULL, NULL},
	};

	return check_main(argc, argv, "audit log", tests);
}
