#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/err.h"
#include "appliance/base/prng.h"
#include "mgmt/merkle.h"
#include "mgmt/note.h"
#include "tests/check.h"

#define COUNT 8

/* The eight leaves and the roots, paths and proofs of the reference implementation of RFC 6962. */
static const struct {
	const char *hex;
	size_t size;
} inputs[COUNT] = {{"", 0},
		   {"00", 1},
		   {"10", 1},
		   {"2021", 2},
		   {"3031", 2},
		   {"40414243", 4},
		   {"5051525354555657", 8},
		   {"606162636465666768696a6b6c6d6e6f", 16}};

static const char *const roots[COUNT] = {
	"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
	"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
	"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
	"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
	"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
	"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
	"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
	"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

static void make_leaves(merkle_hash *leaves)
{
	uint8_t bytes[16];

	for (unsigned i = 0; i < COUNT; i++) {
		CHECK_INT(0, hex_decode(inputs[i].hex, bytes, inputs[i].size));
		merkle_leaf(bytes, inputs[i].size, leaves[i]);
	}
}

static void check_hash(const char *hex, const merkle_hash hash)
{
	char text[2 * MERKLE_HASH_SIZE + 1];

	CHECK_STR(hex, hex_encode(hash, MERKLE_HASH_SIZE, text));
}

static void roots_of_the_rfc(void)
{
	merkle_hash leaves[COUNT];
	struct merkle tree = {0};
	merkle_hash root;

	make_leaves(leaves);
	merkle_root(&tree, root);
	check_hash("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", root);
	for (unsigned i = 0; i < COUNT; i++) {
		merkle_append(&tree, leaves[i]);
		merkle_root(&tree, root);
		check_hash(roots[i], root);
		merkle_root_of(leaves, i + 1, root);
		check_hash(roots[i], root);
	}
}

static void paths_of_the_rfc(void)
{
	merkle_hash leaves[COUNT];
	merkle_hash path[MERKLE_PATH_MAX];

	make_leaves(leaves);
	CHECK_INT(0, merkle_inclusion(leaves, 1, 0, path));
	CHECK_INT(3, merkle_inclusion(leaves, 8, 0, path));
	check_hash("96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7", path[0]);
	check_hash("5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e", path[1]);
	check_hash("6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4", path[2]);
	CHECK_INT(3, merkle_inclusion(leaves, 8, 5, path));
	check_hash("bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b", path[0]);
	check_hash("ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0", path[1]);
	check_hash("d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7", path[2]);
	CHECK_INT(3, merkle_consistency(leaves, 6, 8, path));
	check_hash("0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a", path[0]);
	check_hash("ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0", path[1]);
	check_hash("d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7", path[2]);
	CHECK_INT(2, merkle_consistency(leaves, 2, 5, path));
	check_hash("5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e", path[0]);
	check_hash("bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b", path[1]);
}

#define MANY 70

static void make_many(merkle_hash *leaves)
{
	for (unsigned i = 0; i < MANY; i++)
		merkle_leaf(&i, sizeof(i), leaves[i]);
}

/* Every proof of every tree holds, and stops holding when anything in it is changed. */
static void every_inclusion(void)
{
	merkle_hash leaves[MANY];
	merkle_hash path[MERKLE_PATH_MAX];
	merkle_hash root;
	struct prng prng = {check_seed()};

	make_many(leaves);
	for (uint64_t size = 1; size <= MANY; size++) {
		merkle_root_of(leaves, size, root);
		for (uint64_t i = 0; i < size; i++) {
			unsigned count = merkle_inclusion(leaves, size, i, path);

			CHECK_INT(0, merkle_inclusion_check(leaves[i], i, size, path, count, root));
			CHECK_INT(-EBADMSG, merkle_inclusion_check(leaves[(i + 1) % MANY], i, size, path, count, root));
			CHECK_INT(-EBADMSG, merkle_inclusion_check(leaves[i], i, size, path, count + 1, root));
			CHECK_INT(-EBADMSG, merkle_inclusion_check(leaves[i], size, size, path, count, root));
			if (count == 0)
				continue;
			CHECK_INT(-EBADMSG, merkle_inclusion_check(leaves[i], i, size, path, count - 1, root));
			CHECK_INT(-EBADMSG, merkle_inclusion_check(leaves[i], i ^ 1, size, path, count, root));
			path[prng_below(&prng, count)][prng_below(&prng, 32)] ^= 4;
			CHECK_INT(-EBADMSG, merkle_inclusion_check(leaves[i], i, size, path, count, root));
		}
	}
}

static void every_consistency(void)
{
	merkle_hash leaves[MANY];
	merkle_hash path[MERKLE_PATH_MAX];
	merkle_hash root;
	merkle_hash old_root;
	struct prng prng = {check_seed()};

	make_many(leaves);
	for (uint64_t size = 1; size <= MANY; size++) {
		merkle_root_of(leaves, size, root);
		for (uint64_t old = 1; old <= size; old++) {
			unsigned count = merkle_consistency(leaves, old, size, path);

			merkle_root_of(leaves, old, old_root);
			CHECK_INT(0, merkle_consistency_check(old, old_root, size, root, path, count));
			CHECK_INT(-EBADMSG,
				  merkle_consistency_check(old, old_root, size, leaves[0], path, count) == 0 && size > 1
					  ? 0
					  : -EBADMSG);
			if (count == 0)
				continue;
			CHECK_INT(-EBADMSG, merkle_consistency_check(old, old_root, size, root, path, count - 1));
			path[prng_below(&prng, count)][prng_below(&prng, 32)] ^= 4;
			CHECK_INT(-EBADMSG, merkle_consistency_check(old, old_root, size, root, path, count));
		}
	}
}

static void every_range(void)
{
	enum { SIZE_MAX_ = 34 };
	merkle_hash leaves[MANY];
	merkle_hash path[MERKLE_PATH_MAX];
	merkle_hash root;
	struct prng prng = {check_seed()};

	make_many(leaves);
	for (uint64_t size = 1; size <= SIZE_MAX_; size++) {
		merkle_root_of(leaves, size, root);
		for (uint64_t first = 0; first < size; first++)
			for (uint64_t n = 1; n <= size - first; n++) {
				unsigned count = merkle_range(leaves, size, first, n, path);
				merkle_hash *changed = &leaves[first + prng_below(&prng, n)];

				CHECK_INT(0, merkle_range_check(leaves + first, first, n, size, path, count, root));
				CHECK_INT(-EBADMSG,
					  merkle_range_check(leaves + first, first, n, size, path, count + 1, root));
				CHECK_INT(-EBADMSG,
					  merkle_range_check(leaves + first, first + 1, n, size, path, count, root));
				(*changed)[3] ^= 1;
				CHECK_INT(-EBADMSG,
					  merkle_range_check(leaves + first, first, n, size, path, count, root));
				(*changed)[3] ^= 1;
			}
	}
	CHECK_INT(-EBADMSG, merkle_range_check(leaves, 0, 0, 1, path, 0, root));
	CHECK_INT(-EBADMSG, merkle_range_check(leaves, UINT64_MAX, 2, UINT64_MAX, path, 0, root));
}

/* The example of the signed-note format. */
static void note_of_the_specification(void)
{
	static const char vkey[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
	static const char note[] =
		"If you think cryptography is the answer to your problem,\n"
		"then you don't know what your problem is.\n"
		"\n"
		"\xe2\x80\x94 PeterNeumann "
		"x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
	struct note_verifier verifier;
	char text[NOTE_VKEY_MAX];
	size_t size = 0;

	CHECK_INT(0, note_init());
	CHECK_INT(0, note_vkey_parse(vkey, &verifier, NULL));
	note_vkey(&verifier, text);
	CHECK_STR(vkey, text);
	CHECK_INT(0, note_open(note, strlen(note), &verifier, &size, NULL));
	CHECK_INT(strstr(note, "\n\n") + 1 - note, size);
}

static void vkeys_mistyped(void)
{
	static const char vkey[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
	struct note_verifier verifier;
	char text[sizeof(vkey)];

	for (size_t i = 0; i < sizeof(vkey) - 1; i++) {
		memcpy(text, vkey, sizeof(vkey));
		text[i] ^= 1;
		CHECK_INT(-EINVAL, note_vkey_parse(text, &verifier, NULL));
		memcpy(text, vkey, i);
		text[i] = '\0';
		CHECK_INT(-EINVAL, note_vkey_parse(text, &verifier, NULL));
	}
}

/* A checkpoint is read back, and not when any byte is changed or missing. */
static void checkpoints(void)
{
	uint8_t seed[NOTE_SEED_SIZE] = {1, 2, 3};
	struct note_signer signer;
	struct note_signer other;
	struct checkpoint checkpoint;
	merkle_hash root = {9, 8, 7};
	char text[NOTE_TEXT_MAX];
	char changed[NOTE_TEXT_MAX];
	size_t size;

	CHECK_INT(-EINVAL, note_signer_init(&signer, "a b", seed));
	CHECK_INT(-EINVAL, note_signer_init(&signer, "a+b", seed));
	CHECK_INT(-EINVAL, note_signer_init(&signer, "", seed));
	CHECK_INT(0, note_signer_init(&signer, "gantry.test/log", seed));
	checkpoint_sign(&signer, 123456789, root, text);
	size = strlen(text);
	CHECK_INT(0, checkpoint_open(text, size, &signer.verifier, &checkpoint, NULL));
	CHECK_INT(123456789, checkpoint.size);
	CHECK_MEM(root, checkpoint.root, sizeof(root));
	for (size_t i = 0; i < size; i++) {
		memcpy(changed, text, size);
		for (int bit = 0; bit < 8; bit++) {
			changed[i] = (char)(text[i] ^ 1 << bit);
			CHECK_INT(-EBADMSG, checkpoint_open(changed, size, &signer.verifier, &checkpoint, NULL));
		}
		CHECK_INT(-EBADMSG, checkpoint_open(text, i, &signer.verifier, &checkpoint, NULL));
	}
	seed[0] = 2;
	CHECK_INT(0, note_signer_init(&other, "gantry.test/log", seed));
	CHECK_INT(-EBADMSG, checkpoint_open(text, size, &other.verifier, &checkpoint, NULL));
	note_signer_fini(&signer);
	note_signer_fini(&other);
}

int main(int argc, char **argv)
{
	static const struct check_test tests[] = {
		{"roots of RFC 6962", roots_of_the_rfc},
		{"paths and proofs of RFC 6962", paths_of_the_rfc},
		{"every inclusion proof", every_inclusion},
		{"every consistency proof", every_consistency},
		{"every range proof", every_range},
		{"the specification's signed note", note_of_the_specification},
		{"verifier keys mistyped", vkeys_mistyped},
		{"checkpoints, changed and cut", checkpoints},
		{NULL, NULL},
	};

	return check_main(argc, argv, "merkle tree and notes", tests);
}
