#include "appliance/sms_event.h"

#include <stdio.h>
#include <string.h>

#include "appliance/base/clock.h"
#include "appliance/base/read.h"

/* A cut must not leave half a character: bytes of one that is not whole are taken off. */
static void cut(char *text)
{
	size_t size = strlen(text);
	size_t back = 0;

	while (back < size && back < 3 && ((unsigned char)text[size - 1 - back] & 0xc0) == 0x80)
		back++;
	if (back == size)
		return;
	unsigned char first = (unsigned char)text[size - 1 - back];
	size_t wanted = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;

	if (wanted > back)
		text[size - 1 - back] = '\0';
}

void sms_event_make(const struct read *read, const char *camera_name, const char *road, const char *list,
		    struct sms_event *ret_event)
{
	bool both = camera_name != NULL && camera_name[0] != '\0' && road != NULL && road[0] != '\0';

	memset(ret_event, 0, sizeof(*ret_event));
	memcpy(ret_event->vrm, read->text, READ_TEXT_SIZE);
	ret_event->time_us = read->capture_us;
	(void)snprintf(ret_event->location, sizeof(ret_event->location), "%s%s%s",
		       camera_name != NULL ? camera_name : "", both ? ", " : "", road != NULL ? road : "");
	(void)snprintf(ret_event->list, sizeof(ret_event->list), "%s", list != NULL ? list : "");
	cut(ret_event->location);
	cut(ret_event->list);
}

json_t *sms_event_json(const struct sms_event *event)
{
	char time[CLOCK_TEXT_SIZE];

	return json_pack("{s:s,s:s,s:s,s:s}", "vrm", event->vrm, "time", clock_text_utc(event->time_us, time),
			 "location", event->location, "list", event->list);
}
