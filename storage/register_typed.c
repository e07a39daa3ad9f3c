/* The register's records by their types: get and decode, encode and put. */
#include "storage/register.h"

#include "appliance/base/bytes.h"

int reg_feed_get(struct reg *reg, uint32_t feed, struct reg_feed *ret_feed)
{
	uint8_t value[REG_RECORD_SIZE_MAX];
	size_t size;
	int result = reg_get(reg, REG_FEED, feed, 0, value, &size);

	if (result == 0)
		result = reg_feed_decode(value, size, ret_feed);
	bytes_wipe(value, sizeof(value));
	return result;
}

int reg_camera_get(struct reg *reg, uint32_t camera, struct reg_camera *ret_camera)
{
	uint8_t value[REG_RECORD_SIZE_MAX];
	size_t size;
	int result = reg_get(reg, REG_CAMERA, camera, 0, value, &size);

	return result == 0 ? reg_camera_decode(value, size, ret_camera) : result;
}

int reg_list_get(struct reg *reg, uint32_t list, struct reg_list *ret_list)
{
	uint8_t value[REG_RECORD_SIZE_MAX];
	size_t size;
	int result = reg_get(reg, REG_LIST, list, 0, value, &size);

	return result == 0 ? reg_list_decode(value, size, ret_list) : result;
}

struct reg_change reg_feed_put(const struct reg_feed *feed, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	return (struct reg_change){
		.kind = REG_FEED, .a = feed->feed, .value = buffer, .value_size = reg_feed_encode(feed, buffer)};
}

struct reg_change reg_camera_put(const struct reg_camera *camera, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	return (struct reg_change){.kind = REG_CAMERA,
				   .a = camera->camera,
				   .value = buffer,
				   .value_size = reg_camera_encode(camera, buffer)};
}

struct reg_change reg_binding_put(const struct reg_binding *binding, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	return (struct reg_change){.kind = REG_BINDING,
				   .a = binding->feed,
				   .b = binding->camera,
				   .value = buffer,
				   .value_size = reg_binding_encode(binding, buffer)};
}

struct reg_change reg_list_put(const struct reg_list *list, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	return (struct reg_change){
		.kind = REG_LIST, .a = list->list, .value = buffer, .value_size = reg_list_encode(list, buffer)};
}

struct reg_change reg_mark_put(const struct reg_mark *mark, uint8_t buffer[REG_RECORD_SIZE_MAX])
{
	return (struct reg_change){.kind = REG_MARK,
				   .a = (uint32_t)mark->day,
				   .b = mark->number,
				   .value = buffer,
				   .value_size = reg_mark_encode(mark, buffer)};
}
