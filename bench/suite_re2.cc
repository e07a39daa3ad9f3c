#include "bench/suite_re2.h"

#include <new>
#include <vector>

#include <re2/re2.h>
#include <re2/set.h>

#define MEMORY_MAX (int64_t(1) << 30)

static RE2::Options options_make()
{
	RE2::Options options;

	options.set_max_mem(MEMORY_MAX);
	options.set_log_errors(false);
	return options;
}

struct re2_set {
	re2_set() : set(options_make(), RE2::ANCHOR_BOTH) {}
	RE2::Set set;
};

struct re2_set *re2_set_new(const char *const *expressions, size_t count)
{
	struct re2_set *set = new (std::nothrow) re2_set;

	if (set == nullptr)
		return nullptr;
	for (size_t i = 0; i < count; i++) {
		if (set->set.Add(expressions[i], nullptr) < 0) {
			delete set;
			return nullptr;
		}
	}
	if (!set->set.Compile()) {
		delete set;
		return nullptr;
	}
	return set;
}

void re2_set_free(struct re2_set *set)
{
	delete set;
}

int re2_set_match(const struct re2_set *set, const char *text, size_t size)
{
	std::vector<int> found;
	RE2::Set::ErrorInfo error;

	if (!set->set.Match(re2::StringPiece(text, size), &found, &error))
		return error.kind == RE2::Set::kNoError ? 0 : -1;
	return (int)found.size();
}
