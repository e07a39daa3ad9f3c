/* gantry-fsck's look at the audit log: the one place where that program meets mgmt/. Reads only. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "appliance/base/bytes.h"
#include "appliance/base/err.h"
#include "mgmt/leaves.h"
#include "mgmt/note.h"
#include "storage/fsck.h"
#include "storage/keyring.h"

#define LOST "; the log before it is proved by the checkpoints that auditors keep; gantryd does not start with it"

/* The key's name stands in the checkpoint itself, in its first line; the signature covers it. */
static int origin_read(int directory_fd, char origin[NOTE_NAME_MAX + 1])
{
	int fd = openat(directory_fd, CHECKPOINT_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t size = fd >= 0 ? read(fd, origin, NOTE_NAME_MAX) : -1;
	int r = fd < 0 || size < 0 ? -errno : 0;

	if (fd >= 0)
		(void)close(fd);
	if (r < 0)
		return r;
	origin[size] = '\0';
	origin[strcspn(origin, "\n")] = '\0';
	return 0;
}

static int verifier_get(struct fsck *fsck, const char *origin, struct note_signer *signer)
{
	const struct key_id id = {.id = 0, .day = KEY_DAY_NONE, .kind = KEY_AUDIT_SIGNING};
	uint8_t seed[KEY_SIZE];
	int r = note_init();

	if (r == 0)
		r = keyring_get(fsck->keyring, id, seed);
	if (r == 0)
		r = note_signer_init(signer, origin, seed);
	bytes_wipe(seed, sizeof(seed));
	return r;
}

static int leaves_check(struct fsck *fsck, int directory_fd, const struct checkpoint *checkpoint, struct err *err)
{
	struct leaves_scan scan;
	struct merkle tree;
	int r = leaves_scan_init(&scan, directory_fd, 0, LEAVES_HEAD_SIZE, err);

	if (r < 0)
		return r;
	r = leaves_verify(&scan, checkpoint, &tree, err);
	if (r == 0) {
		fsck->audit_entries = checkpoint->size;
		while ((r = leaves_next(&scan, NULL)) == 0)
			fsck->audit_entries++;
		if (r != LEAVES_END)
			fsck_note(fsck, LAYOUT_AUDIT
				  "/" LEAVES_NAME
				  ": an incomplete last entry that was never acknowledged, cut at the next start");
		r = 0;
	}
	leaves_scan_fini(&scan);
	return r;
}

static int log_check(struct fsck *fsck, int directory_fd, struct err *err)
{
	struct note_signer signer = {.secret_key = {0}};
	struct checkpoint checkpoint = {0};
	char origin[NOTE_NAME_MAX + 1];
	char text[NOTE_TEXT_MAX];
	int r = origin_read(directory_fd, origin);

	if (r < 0)
		return err_set(err, r, CHECKPOINT_NAME ": %s", strerror(-r));
	r = verifier_get(fsck, origin, &signer);
	if (r < 0)
		return err_set(err, r, CHECKPOINT_NAME ": its first line names no key of this log");
	r = checkpoint_read(directory_fd, &signer.verifier, &checkpoint, text, err);
	note_signer_fini(&signer);
	return r < 0 ? r : leaves_check(fsck, directory_fd, &checkpoint, err);
}

int fsck_audit(struct fsck *fsck)
{
	const struct key_id id = {.id = 0, .day = KEY_DAY_NONE, .kind = KEY_AUDIT_SIGNING};
	char path[LAYOUT_PATH_SIZE];
	struct err err = {""};
	uint8_t seed[KEY_SIZE];
	bool begun = keyring_get(fsck->keyring, id, seed) == 0;
	int fd = open(fsck_path(fsck, LAYOUT_AUDIT, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? -errno : 0;

	bytes_wipe(seed, sizeof(seed));
	if (!begun && fd >= 0)
		(void)close(fd);
	if (!begun) {
		fsck_note(fsck, LAYOUT_AUDIT ": never begun");
		return 0;
	}
	if (r == 0)
		r = log_check(fsck, fd, &err);
	if (fd >= 0)
		(void)close(fd);
	if (r < 0)
		fsck_damage_format(fsck, 0, LAYOUT_AUDIT "/%s" LOST, err.text[0] != '\0' ? err.text : strerror(-r));
	return 0;
}
