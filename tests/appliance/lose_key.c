/* Takes the key of public ids out of a stopped appliance's keyring: `lose_key MASTER-KEY KEYRING-A KEYRING-B`. */
#include <stdio.h>
#include <string.h>

#include "storage/io.h"
#include "storage/keyring.h"

static int lose(struct io *io, char **paths)
{
	struct keyring_options options = {.master_path = paths[0], .copy_a_path = paths[1], .copy_b_path = paths[2]};
	struct key_change change = {.id = {.day = KEY_DAY_NONE, .kind = KEY_IDENTITY}, .destroy = true};
	struct keyring *keyring;
	struct err err = {""};
	int result = keyring_open(&options, io, &err, &keyring);

	if (result < 0) {
		fprintf(stderr, "lose_key: %s\n", err.text);
		return result;
	}
	result = keyring_change(keyring, &change, 1);
	if (result < 0)
		fprintf(stderr, "lose_key: %s\n", strerror(-result));
	(void)keyring_free(keyring);
	return result;
}

int main(int argc, char **argv)
{
	struct io *io;
	int result;

	if (argc != 4) {
		fputs("usage: lose_key MASTER-KEY KEYRING-A KEYRING-B\n", stderr);
		return 2;
	}
	result = io_real_new(&io);
	if (result < 0)
		return 1;
	result = lose(io, argv + 1);
	(void)io_real_free(io);
	return result < 0;
}
