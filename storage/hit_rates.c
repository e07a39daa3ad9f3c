#include "storage/hit_rates.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "storage/hit_lives.h"

#define Z_95 1.959963984540054 /* standard deviations that hold 95 % */

void hit_rate_interval(uint64_t count, uint64_t total, double *ret_low, double *ret_high)
{
	double n = (double)total;
	double share, middle, half;

	if (total == 0) {
		*ret_low = 0;
		*ret_high = 1;
		return;
	}
	share = (double)count / n;
	middle = share + Z_95 * Z_95 / (2 * n);
	half = Z_95 * sqrt(share * (1 - share) / n + Z_95 * Z_95 / (4 * n * n));
	/* None and all are ends that rounding would miss. */
	*ret_low = count == 0 ? 0 : (middle - half) / (1 + Z_95 * Z_95 / n);
	*ret_high = count == total ? 1 : (middle + half) / (1 + Z_95 * Z_95 / n);
}

static int compare_u32(uint32_t left, uint32_t right)
{
	return left < right ? -1 : left > right;
}

static int compare_camera(const void *a, const void *b)
{
	return compare_u32(((const struct hit_life *)a)->camera, ((const struct hit_life *)b)->camera);
}

static int compare_list(const void *a, const void *b)
{
	return compare_u32(((const struct hit_life *)a)->list, ((const struct hit_life *)b)->list);
}

static int compare_both(const void *a, const void *b)
{
	int by_camera = compare_camera(a, b);

	return by_camera != 0 ? by_camera : compare_list(a, b);
}

static int compare_rates(const void *a, const void *b)
{
	const struct hit_rate *left = a, *right = b;

	if (left->misread != right->misread)
		return left->misread > right->misread ? -1 : 1;
	if (left->low != right->low)
		return left->low > right->low ? -1 : 1;
	return left->camera != right->camera ? compare_u32(left->camera, right->camera)
					     : compare_u32(left->list, right->list);
}

static struct hit_rate group_of(const struct hit_life *life, enum hit_rates_by by)
{
	return (struct hit_rate){.camera = by == HIT_RATES_LIST ? 0 : life->camera,
				 .list = by == HIT_RATES_CAMERA ? 0 : life->list};
}

static void rate_add(struct hit_rate *rate, const struct hit_life *life)
{
	if (life->state < REG_HIT_ASSESSED)
		return;
	rate->assessed++;
	rate->counts[life->disposition]++;
}

static void rate_finish(struct hit_rate *rate)
{
	uint64_t misread = rate->counts[REG_HIT_MISREAD];

	rate->misread = rate->assessed > 0 ? (double)misread / (double)rate->assessed : 0;
	hit_rate_interval(misread, rate->assessed, &rate->low, &rate->high);
}

int hit_rates_of(struct hit_life *lives, size_t count, enum hit_rates_by by, uint64_t assessed_min,
		 struct hit_rate **ret_rates, size_t *ret_count)
{
	static int (*const compares[])(const void *, const void *) = {compare_camera, compare_list, compare_both};
	struct hit_rate *rates;
	size_t groups = 0;
	size_t kept = 0;

	qsort(lives, count, sizeof(*lives), compares[by]);
	for (size_t i = 0; i < count; i++)
		groups += i == 0 || compares[by](&lives[i - 1], &lives[i]) != 0;
	rates = calloc(groups + 1, sizeof(*rates));
	if (rates == NULL)
		return -ENOMEM;
	for (size_t i = 0, end; i < count; i = end) {
		struct hit_rate rate = group_of(&lives[i], by);

		for (end = i; end < count && compares[by](&lives[i], &lives[end]) == 0; end++)
			rate_add(&rate, &lives[end]);
		rate_finish(&rate);
		if (rate.assessed > 0 && rate.assessed >= assessed_min)
			rates[kept++] = rate;
	}
	qsort(rates, kept, sizeof(*rates), compare_rates);
	*ret_rates = rates;
	*ret_count = kept;
	return 0;
}
