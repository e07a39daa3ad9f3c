#include "storage/lmdb_check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "appliance/base/bytes.h"

#define PATH_SIZE 4200
#define MAGIC UINT32_C(0xbeefc0de)
#define DATA_VERSION 1
#define PAGE_SIZE_MIN 512
#define PAGE_SIZE_MAX 65536
#define DEPTH_MAX 32 /* LMDB's own bound of a cursor's stack */
#define NO_PAGE UINT64_MAX
#define FREE_DB_FLAGS 0x08 /* integer keys; any other persistent flag is not ours */

enum page_flags { PAGE_BRANCH = 0x01, PAGE_LEAF = 0x02, PAGE_OVERFLOW = 0x04, PAGE_META = 0x08 };
enum node_flags { NODE_BIG = 0x01, NODE_DB = 0x02 };

/* Offsets in a page's header, in a node's, in a database's record and in a meta page. */
enum {
	PAGE_AT_NUMBER = 0,
	PAGE_AT_FLAGS = 10,
	PAGE_AT_LOWER = 12,
	PAGE_AT_UPPER = 14,
	PAGE_AT_PAGES = 12,
	PAGE_HEADER_SIZE = 16,
	NODE_AT_FLAGS = 4,
	NODE_AT_KEY_SIZE = 6,
	NODE_HEADER_SIZE = 8,
	DB_AT_PAD = 0,
	DB_AT_FLAGS = 4,
	DB_AT_DEPTH = 6,
	DB_AT_BRANCHES = 8,
	DB_AT_LEAVES = 16,
	DB_AT_OVERFLOWS = 24,
	DB_AT_ENTRIES = 32,
	DB_AT_ROOT = 40,
	DB_SIZE = 48,
	META_AT_MAGIC = 16,
	META_AT_VERSION = 20,
	META_AT_FREE = 40,
	META_AT_MAIN = 88,
	META_AT_LAST_PAGE = 136,
	META_AT_TRANSACTION = 144,
	META_SIZE = 152,
};

struct walk {
	int fd;
	uint64_t size; /* of the file */
	uint32_t page_size;
	uint64_t last_page;
	uint8_t *seen; /* a bit a page: part of a tree, or free */
	struct err *err;
};

/* What a walk through one tree counted, against its record. */
struct tree {
	bool is_free; /* the list of free pages: numbers as keys */
	bool is_main; /* its values may be databases */
	unsigned depth;
	uint64_t branches;
	uint64_t leaves;
	uint64_t overflows;
	uint64_t entries;
};

struct key {
	const uint8_t *bytes; /* NULL: no bound */
	size_t size;
};

static int damage(const struct walk *walk, uint64_t page, const char *what)
{
	return err_set(walk->err, -EBADMSG, "page %llu: %s", (unsigned long long)page, what);
}

static int read_at(int fd, uint64_t offset, void *buffer, size_t size)
{
	uint8_t *at = buffer;

	while (size > 0) {
		ssize_t count = pread(fd, at, size, (off_t)offset);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return count < 0 ? -errno : -EBADMSG;
		at += count;
		offset += (uint64_t)count;
		size -= (size_t)count;
	}
	return 0;
}

static int page_take(struct walk *walk, uint64_t page, const char *what)
{
	if (page < 2 || page > walk->last_page)
		return damage(walk, page, what);
	if ((walk->seen[page / 8] >> (page % 8) & 1) != 0)
		return damage(walk, page, "is used twice");
	walk->seen[page / 8] |= (uint8_t)(1 << (page % 8));
	return 0;
}

static int page_read(struct walk *walk, uint64_t page, uint8_t *buffer)
{
	int r = page_take(walk, page, "no such page, yet it is pointed to");

	if (r == 0)
		r = read_at(walk->fd, page * walk->page_size, buffer, walk->page_size);
	if (r == 0 && le64_get(buffer + PAGE_AT_NUMBER) != page)
		return damage(walk, page, "bears another number");
	return r;
}

static int key_compare(const struct tree *tree, struct key a, struct key b)
{
	size_t size = a.size < b.size ? a.size : b.size;
	int order;

	if (tree->is_free) {
		uint64_t x = le64_get(a.bytes), y = le64_get(b.bytes);

		return x < y ? -1 : x > y;
	}
	order = memcmp(a.bytes, b.bytes, size);
	return order != 0 ? order : a.size < b.size ? -1 : a.size > b.size;
}

/* Free pages, named in descending order. */
static int free_take(struct walk *walk, uint64_t page, const uint8_t *data, size_t size)
{
	uint64_t count = size >= 8 ? le64_get(data) : UINT64_MAX;
	uint64_t before = NO_PAGE;

	if (count > size / 8 - 1)
		return damage(walk, page, "a list of free pages has another length than it says");
	for (uint64_t i = 0; i < count; i++) {
		uint64_t number = le64_get(data + 8 + 8 * i);
		int r = number < before ? page_take(walk, number, "is named as free and does not exist")
					: damage(walk, page, "a list of free pages is not in order");

		if (r < 0)
			return r;
		before = number;
	}
	return 0;
}

/* A value in pages of its own: as many as it needs, or more when it was longer once. */
static int big_take(struct walk *walk, struct tree *tree, uint64_t first, size_t size)
{
	uint64_t needed = (PAGE_HEADER_SIZE - 1 + (uint64_t)size) / walk->page_size + 1;
	uint8_t *page = malloc(needed * walk->page_size);
	uint64_t pages = 0;
	int r = page != NULL ? page_read(walk, first, page) : -ENOMEM;

	if (r == 0) {
		pages = le32_get(page + PAGE_AT_PAGES);
		if (le16_get(page + PAGE_AT_FLAGS) != PAGE_OVERFLOW || pages < needed ||
		    pages > walk->last_page - first + 1)
			r = damage(walk, first, "is not the large value that it is taken for");
	}
	for (uint64_t i = 1; i < pages && r == 0; i++)
		r = page_take(walk, first + i, "of a large value does not exist");
	if (r == 0 && tree->is_free && needed > 1)
		r = read_at(walk->fd, (first + 1) * walk->page_size, page + walk->page_size,
			    (needed - 1) * walk->page_size);
	if (r == 0 && tree->is_free)
		r = free_take(walk, first, page + PAGE_HEADER_SIZE, size);
	tree->overflows += pages;
	free(page);
	return r;
}

static int tree_walk(struct walk *walk, const uint8_t *record, struct tree *tree);

static int value_take(struct walk *walk, uint64_t page, struct tree *tree, unsigned flags, const uint8_t *data,
		      size_t size)
{
	struct tree inner = {.is_free = false};

	if ((flags & NODE_DB) != 0) {
		if (!tree->is_main || size != DB_SIZE || flags != NODE_DB)
			return damage(walk, page, "a database's record where none can be");
		return tree_walk(walk, data, &inner);
	}
	if ((flags & NODE_BIG) != 0)
		return size / walk->page_size > walk->last_page ? damage(walk, page, "a value is larger than the file")
								: big_take(walk, tree, le64_get(data), size);
	return tree->is_free ? free_take(walk, page, data, size) : 0;
}

struct node {
	struct key key;
	unsigned flags;
	uint64_t child;      /* of a branch */
	const uint8_t *data; /* of a leaf */
	size_t data_size;
	size_t size; /* of the whole node in the page */
};

/* False when the node does not lie inside the page. */
static bool node_get(const struct walk *walk, const uint8_t *page, unsigned index, bool leaf, struct node *node)
{
	size_t at = le16_get(page + PAGE_HEADER_SIZE + 2 * index);
	size_t upper = le16_get(page + PAGE_AT_UPPER);
	const uint8_t *bytes = page + at;
	uint32_t low;

	if (at < upper || at % 2 != 0 || at + NODE_HEADER_SIZE > walk->page_size)
		return false;
	low = le32_get(bytes);
	node->flags = le16_get(bytes + NODE_AT_FLAGS);
	node->key = (struct key){bytes + NODE_HEADER_SIZE, le16_get(bytes + NODE_AT_KEY_SIZE)};
	node->child = low | (uint64_t)node->flags << 32;
	node->data = node->key.bytes + node->key.size;
	node->data_size = leaf ? low : 0;
	node->size = NODE_HEADER_SIZE + node->key.size;
	if (leaf)
		node->size += (node->flags & NODE_BIG) != 0 ? 8 : node->data_size;
	return at + node->size <= walk->page_size;
}

static bool page_header_valid(const struct walk *walk, const uint8_t *page, bool leaf)
{
	size_t lower = le16_get(page + PAGE_AT_LOWER);
	size_t upper = le16_get(page + PAGE_AT_UPPER);

	return le16_get(page + PAGE_AT_FLAGS) == (leaf ? PAGE_LEAF : PAGE_BRANCH) && lower >= PAGE_HEADER_SIZE + 2 &&
	       lower % 2 == 0 && lower <= upper && upper <= walk->page_size;
}

static int page_walk(struct walk *walk, struct tree *tree, uint64_t number, unsigned level, struct key low,
		     struct key high);

/* The keys of a branch are its children's bounds; its first one is empty and means the page's own. */
static int branch_walk(struct walk *walk, struct tree *tree, const uint8_t *page, uint64_t number, unsigned count,
		       unsigned level, struct key low, struct key high)
{
	struct node node = {.size = 0}, next = {.size = 0};
	int r = 0;

	for (unsigned i = 0; i < count && r == 0; i++) {
		struct key from, to = high;

		if (!node_get(walk, page, i, false, &node) ||
		    (i + 1 < count && !node_get(walk, page, i + 1, false, &next)))
			return damage(walk, number, "a node lies outside it");
		from = i == 0 ? low : node.key;
		if (i + 1 < count)
			to = next.key;
		r = page_walk(walk, tree, node.child, level + 1, from, to);
	}
	return r;
}

static int leaf_walk(struct walk *walk, struct tree *tree, const uint8_t *page, uint64_t number, unsigned count)
{
	struct node node;
	int r = 0;

	for (unsigned i = 0; i < count && r == 0; i++) {
		(void)node_get(walk, page, i, true, &node);
		if ((node.flags & ~(unsigned)(NODE_BIG | NODE_DB)) != 0)
			return damage(walk, number, "a node of an unknown kind");
		r = value_take(walk, number, tree, node.flags, node.data, node.data_size);
	}
	tree->entries += count;
	return r;
}

/* Nodes inside the page, side by side without a gap; keys ascending and between the bounds. */
static int nodes_check(struct walk *walk, const struct tree *tree, const uint8_t *page, uint64_t number, unsigned count,
		       bool leaf, struct key low, struct key high)
{
	size_t used = 0;
	struct node node;
	struct key before = low;

	for (unsigned i = 0; i < count; i++) {
		if (!node_get(walk, page, i, leaf, &node))
			return damage(walk, number, "a node lies outside it");
		used += node.size + node.size % 2;
		if (!leaf && i == 0)
			continue;
		if (tree->is_free ? node.key.size != 8 : node.key.size == 0)
			return damage(walk, number, "a key has an impossible length");
		/* The first key of a leaf may be its lower bound itself. */
		if (before.bytes != NULL &&
		    key_compare(tree, before, node.key) >= (before.bytes == low.bytes && leaf && i == 0 ? 1 : 0))
			return damage(walk, number, "its keys are not in order");
		if (high.bytes != NULL && key_compare(tree, node.key, high) >= 0)
			return damage(walk, number, "its keys are not in order");
		before = node.key;
	}
	return used == walk->page_size - le16_get(page + PAGE_AT_UPPER)
		       ? 0
		       : damage(walk, number, "its nodes do not fill their part of it");
}

static int page_walk(struct walk *walk, struct tree *tree, uint64_t number, unsigned level, struct key low,
		     struct key high)
{
	bool leaf = level == tree->depth;
	uint8_t *page = malloc(walk->page_size);
	unsigned count = 0;
	int r = page != NULL ? page_read(walk, number, page) : -ENOMEM;

	if (r == 0 && !page_header_valid(walk, page, leaf))
		r = damage(walk, number, "has an impossible header");
	if (r == 0) {
		count = (le16_get(page + PAGE_AT_LOWER) - PAGE_HEADER_SIZE) / 2u;
		r = nodes_check(walk, tree, page, number, count, leaf, low, high);
	}
	if (r == 0) {
		tree->leaves += leaf;
		tree->branches += !leaf;
		r = leaf ? leaf_walk(walk, tree, page, number, count)
			 : branch_walk(walk, tree, page, number, count, level, low, high);
	}
	free(page);
	return r;
}

static int tree_walk(struct walk *walk, const uint8_t *record, struct tree *tree)
{
	const struct key none = {NULL, 0};
	uint64_t root = le64_get(record + DB_AT_ROOT);
	unsigned flags = le16_get(record + DB_AT_FLAGS);
	int r = 0;

	tree->depth = le16_get(record + DB_AT_DEPTH);
	if (flags != (tree->is_free ? FREE_DB_FLAGS : 0))
		return err_set(walk->err, -EBADMSG, "a database has flags that were never given (%x)", flags);
	if (tree->depth > DEPTH_MAX || (tree->depth == 0) != (root == NO_PAGE))
		return err_set(walk->err, -EBADMSG, "a database's root and depth do not agree");
	if (root != NO_PAGE)
		r = page_walk(walk, tree, root, 1, none, none);
	if (r < 0)
		return r;
	if (tree->branches != le64_get(record + DB_AT_BRANCHES) || tree->leaves != le64_get(record + DB_AT_LEAVES) ||
	    tree->overflows != le64_get(record + DB_AT_OVERFLOWS) || tree->entries != le64_get(record + DB_AT_ENTRIES))
		return err_set(walk->err, -EBADMSG, "a database holds other numbers of pages or entries than it says");
	return 0;
}

static int meta_check(const struct walk *walk, const uint8_t *meta, unsigned index)
{
	uint64_t transaction = le64_get(meta + META_AT_TRANSACTION);

	if (le64_get(meta + PAGE_AT_NUMBER) != index || le16_get(meta + PAGE_AT_FLAGS) != PAGE_META ||
	    le32_get(meta + META_AT_MAGIC) != MAGIC || le32_get(meta + META_AT_VERSION) != DATA_VERSION)
		return damage(walk, index, "is no meta page");
	if (transaction != 0 && transaction % 2 != index)
		return damage(walk, index, "its transaction belongs to the other meta page");
	return 0;
}

/* Both meta pages, of which the newer is given. They are neighbours: a commit writes the one that its number says. */
static int metas_read(struct walk *walk, uint8_t ret_meta[META_SIZE])
{
	uint8_t metas[2][META_SIZE];
	uint64_t numbers[2];
	unsigned newer;
	int r = read_at(walk->fd, 0, metas[0], META_SIZE);

	if (r == 0)
		r = meta_check(walk, metas[0], 0);
	if (r < 0)
		return r;
	walk->page_size = le32_get(metas[0] + META_AT_FREE + DB_AT_PAD);
	if (walk->page_size < PAGE_SIZE_MIN || walk->page_size > PAGE_SIZE_MAX ||
	    (walk->page_size & (walk->page_size - 1)) != 0)
		return damage(walk, 0, "says an impossible size of pages");
	r = read_at(walk->fd, walk->page_size, metas[1], META_SIZE);
	if (r == 0)
		r = meta_check(walk, metas[1], 1);
	if (r < 0)
		return r;
	if (le32_get(metas[1] + META_AT_FREE + DB_AT_PAD) != walk->page_size)
		return damage(walk, 1, "says another size of pages");
	numbers[0] = le64_get(metas[0] + META_AT_TRANSACTION);
	numbers[1] = le64_get(metas[1] + META_AT_TRANSACTION);
	newer = numbers[1] > numbers[0];
	if (numbers[newer] != 0 && numbers[newer] - numbers[!newer] != 1)
		return err_set(walk->err, -EBADMSG, "the meta pages are not of neighbouring transactions");
	memcpy(ret_meta, metas[newer], META_SIZE);
	walk->last_page = le64_get(ret_meta + META_AT_LAST_PAGE);
	return 0;
}

static int file_walk(struct walk *walk)
{
	struct tree free_pages = {.is_free = true};
	struct tree main_tree = {.is_main = true};
	uint8_t meta[META_SIZE];
	int r = metas_read(walk, meta);

	if (r < 0)
		return r == -EBADMSG && walk->err != NULL && walk->err->text[0] == '\0'
			       ? err_set(walk->err, r, "it ends inside its meta pages")
			       : r;
	if (walk->last_page == 0 || walk->last_page >= walk->size / walk->page_size)
		return err_set(walk->err, -EBADMSG, "it is cut short: %llu pages are missing",
			       (unsigned long long)(walk->last_page + 1 - walk->size / walk->page_size));
	walk->seen = calloc(1, walk->last_page / 8 + 1);
	if (walk->seen == NULL)
		return -ENOMEM;
	r = tree_walk(walk, meta + META_AT_FREE, &free_pages);
	if (r == 0)
		r = tree_walk(walk, meta + META_AT_MAIN, &main_tree);
	free(walk->seen);
	return r;
}

static int data_open(const char *directory, char path[PATH_SIZE])
{
	int fd;

	if (snprintf(path, PATH_SIZE, "%s/data.mdb", directory) >= PATH_SIZE)
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 ? fd : -errno;
}

int lmdb_check(const char *directory, struct err *err)
{
	struct err why = {""};
	struct walk walk = {.err = &why};
	struct stat status;
	char path[PATH_SIZE];
	int r;

	walk.fd = data_open(directory, path);
	if (walk.fd < 0 && walk.fd != -ENOENT)
		return err_set(err, walk.fd, "%s/data.mdb: %s", directory, strerror(-walk.fd));
	r = walk.fd >= 0 && fstat(walk.fd, &status) < 0 ? -errno : 0;
	walk.size = walk.fd >= 0 && r == 0 ? (uint64_t)status.st_size : 0;
	if (r == 0)
		r = lmdb_mark_compare(directory, walk.fd, walk.size, &why);
	if (r == 0 && walk.size == 0)
		r = LMDB_ABSENT;
	else if (r == 0)
		r = file_walk(&walk);
	if (walk.fd >= 0)
		(void)close(walk.fd);
	return r < 0 ? err_set(err, r, "%s: %s", path, why.text[0] != '\0' ? why.text : strerror(-r)) : r;
}
