#include "storage/sealed_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/prng.h"
#include "storage/io.h"
#include "storage/keyring.h"
#include "tests/check.h"

static struct io *io;
static struct keyring *keyring;
static char directory[512], path[600];

static void setup(const char *name, bool with_key)
{
	struct key_change make = {.id = {.id = 0, .day = KEY_DAY_NONE, .kind = KEY_REGISTER}};
	static char master[600], copies[2][600];
	struct keyring_options options = {
		.master_path = master, .copy_a_path = copies[0], .copy_b_path = copies[1], .create = true};
	struct err err;

	(void)snprintf(directory, sizeof(directory), "%s/%s", check_memory_directory(), name);
	CHECK_INT(0, mkdir(directory, 0700));
	(void)snprintf(path, sizeof(path), "%s/one.cache", directory);
	(void)snprintf(master, sizeof(master), "%s/master", directory);
	(void)snprintf(copies[0], sizeof(copies[0]), "%s/keyring.a", directory);
	(void)snprintf(copies[1], sizeof(copies[1]), "%s/keyring.b", directory);
	CHECK_INT(0, io_real_new_plain(&io));
	CHECK_INT(0, keyring_open(&options, io, &err, &keyring));
	if (with_key)
		CHECK_INT(0, keyring_change(keyring, &make, 1));
}

static void teardown(void)
{
	keyring = keyring_free(keyring);
	io = io_real_free(io);
}

static size_t file_load(uint8_t *bytes, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size;

	CHECK(fd >= 0);
	size = read(fd, bytes, room);
	close(fd);
	return (size_t)size;
}

static void file_store(const uint8_t *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK_INT(size, write(fd, bytes, size));
	close(fd);
}

static void what_is_put_is_got(void)
{
	static const char first[] = "AB12CDE AB12CDE AB12CDE", second[] = "XY";
	uint8_t file[256];
	void *bytes;
	size_t size;

	setup("put", true);
	CHECK_INT(-ENOENT, sealed_cache_get(io, keyring, directory, "one", &bytes, &size));
	CHECK_INT(0, sealed_cache_put(io, keyring, directory, "one", first, sizeof(first)));
	CHECK(memmem(file, file_load(file, sizeof(file)), "AB12CDE", 7) == NULL);
	CHECK_INT(0, sealed_cache_get(io, keyring, directory, "one", &bytes, &size));
	CHECK_INT(sizeof(first), size);
	CHECK_MEM(first, bytes, size);
	free(bytes);
	CHECK_INT(0, sealed_cache_put(io, keyring, directory, "one", second, sizeof(second)));
	CHECK_INT(0, sealed_cache_put(io, keyring, directory, "two", "", 0));
	CHECK_INT(0, sealed_cache_get(io, keyring, directory, "one", &bytes, &size));
	CHECK_INT(sizeof(second), size);
	free(bytes);
	CHECK_INT(0, sealed_cache_get(io, keyring, directory, "two", &bytes, &size));
	CHECK_INT(0, size);
	free(bytes);
	teardown();
}

static void damage_is_found(void)
{
	struct prng prng = {check_seed()};
	uint8_t whole[400], damaged[400];
	size_t whole_size, size;
	void *bytes;

	setup("damage", true);
	memset(whole, 'x', sizeof(whole));
	CHECK_INT(0, sealed_cache_put(io, keyring, directory, "one", whole, 300));
	whole_size = file_load(whole, sizeof(whole));
	for (size_t bit = 0; bit < 8 * whole_size; bit++) {
		memcpy(damaged, whole, whole_size);
		damaged[bit / 8] ^= (uint8_t)(1 << bit % 8);
		file_store(damaged, whole_size);
		CHECK_INT(-EBADMSG, sealed_cache_get(io, keyring, directory, "one", &bytes, &size));
	}
	for (size_t cut = 0; cut < whole_size; cut++) {
		file_store(whole, cut);
		CHECK_INT(-EBADMSG, sealed_cache_get(io, keyring, directory, "one", &bytes, &size));
	}
	for (unsigned turn = 0; turn < 300; turn++) {
		size_t length = prng_below(&prng, sizeof(damaged));

		for (size_t i = 0; i < length; i++)
			damaged[i] = (uint8_t)prng_next(&prng);
		file_store(damaged, length);
		CHECK_INT(-EBADMSG, sealed_cache_get(io, keyring, directory, "one", &bytes, &size));
	}
	/* Another's content under this name. */
	CHECK_INT(0, sealed_cache_put(io, keyring, directory, "two", "two", 3));
	(void)snprintf(path, sizeof(path), "%s/two.cache", directory);
	size = file_load(damaged, sizeof(damaged));
	(void)snprintf(path, sizeof(path), "%s/one.cache", directory);
	file_store(damaged, size);
	CHECK_INT(-EBADMSG, sealed_cache_get(io, keyring, directory, "one", &bytes, &size));
	file_store(whole, whole_size);
	CHECK_INT(0, sealed_cache_get(io, keyring, directory, "one", &bytes, &size));
	free(bytes);
	teardown();
}

static void without_a_register_nothing_is_kept(void)
{
	setup("keyless", false);
	CHECK_INT(-ENOENT, sealed_cache_put(io, keyring, directory, "one", "x", 1));
	CHECK(access(path, F_OK) < 0);
	teardown();
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"what is put is got", what_is_put_is_got},
		{"damage is found", damage_is_found},
		{"without a register nothing is kept", without_a_register_nothing_is_kept},
		{NULL, NULL},
	};

	return check_main(argc, argv, "sealed cache", tests);
}
