/* RE2::Set for C: the only C++ here, built where libre2-dev is. */
#ifndef GANTRY_BENCH_SUITE_RE2_H
#define GANTRY_BENCH_SUITE_RE2_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct re2_set;

/* NULL: no memory, or a pattern is refused. */
struct re2_set *re2_set_new(const char *const *expressions, size_t count);
void re2_set_free(struct re2_set *set);
int re2_set_match(const struct re2_set *set, const char *text, size_t size); /* how many match; < 0: out of memory */

#ifdef __cplusplus
}
#endif

#endif
