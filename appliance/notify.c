#include "appliance/notify.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "appliance/config.h"
#include "appliance/gantry.h"

static void notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t size = path != NULL ? strlen(path) : 0;
	int fd;

	if (size == 0 || size >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, size);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&address,
		      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size));
	(void)close(fd);
}

void notify_ready(const struct config *config)
{
	char text[CONFIG_TEXT_SIZE + 64];

	(void)snprintf(text, sizeof(text), "READY=1\nSTATUS=serving on %s", config->socket);
	notify(text);
}

void notify_stopping(void)
{
	notify("STOPPING=1\nSTATUS=sealing what is journalled");
}

void notify_watchdog(struct gantry *gantry)
{
	static uint64_t turns[WORKERS_MAX];
	bool all = true;

	for (unsigned i = 0; i < gantry->worker_count; i++) {
		uint64_t now = worker_turns(gantry->workers[i]);

		all = all && now != turns[i];
		turns[i] = now;
	}
	if (all)
		notify("WATCHDOG=1");
}
