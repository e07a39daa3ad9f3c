/* Texts too long for one line: gathered piece by piece for one connection, used up by the request that names them. */
#include "mgmt/private.h"

#include <errno.h>
#include <stdlib.h>

#define UPLOAD_COUNT_MAX 8 /* of one client */

static struct upload **upload_find(struct client *client, uint32_t number)
{
	struct upload **at = &client->uploads;

	while (*at != NULL && (*at)->number != number)
		at = &(*at)->next;
	return at;
}

int upload_open(struct client *client, uint32_t *ret_number)
{
	struct upload *upload;
	unsigned count = 0;

	for (upload = client->uploads; upload != NULL; upload = upload->next)
		count++;
	if (count >= UPLOAD_COUNT_MAX)
		return -EBUSY;
	upload = calloc(1, sizeof(*upload));
	if (upload == NULL)
		return -ENOMEM;
	upload->number = ++client->upload_last;
	upload->next = client->uploads;
	client->uploads = upload;
	*ret_number = upload->number;
	return 0;
}

int upload_append(struct client *client, uint32_t number, const char *text, size_t size, size_t *ret_size)
{
	struct server *server = client->server;
	struct upload *upload = *upload_find(client, number);
	int r;

	if (upload == NULL)
		return -ENOENT;
	if (text_size(&upload->text) + size > server->options.upload_size_max)
		return -EFBIG;
	if (server->upload_total + size > server->options.upload_total_max)
		return -EBUSY;
	r = text_append(&upload->text, text, size);
	if (r < 0)
		return r;
	server->upload_total += size;
	*ret_size = text_size(&upload->text);
	return 0;
}

struct upload *upload_take(struct client *client, uint32_t number)
{
	struct upload **at = upload_find(client, number);
	struct upload *upload = *at;

	if (upload != NULL)
		*at = upload->next;
	return upload;
}

void upload_free(struct server *server, struct upload *upload)
{
	if (upload == NULL)
		return;
	server->upload_total -= text_size(&upload->text);
	text_fini(&upload->text);
	free(upload);
}
