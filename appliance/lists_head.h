/* The head of a list on the management socket: from a call's parameters, and as JSON. Handler threads. */
#ifndef GANTRY_APPLIANCE_LISTS_HEAD_H
#define GANTRY_APPLIANCE_LISTS_HEAD_H

#include <jansson.h>

struct call;
struct list_conditions;
struct list_info;

/* A new list's, of that name. */
void lists_head_default(const char *name, struct list_info *ret_info);

/* What the call gives goes into `info`; the rest stays. -EINVAL with the call failed; info is then half changed. */
int lists_head_take(struct call *call, struct list_info *info);

/* Only the conditions: hours, directions, camera types, areas. The same. */
int lists_head_take_conditions(struct call *call, struct list_conditions *conditions);

/* All of it but class, purpose and priority, into an object. */
void lists_head_show(const struct list_info *info, json_t *object);

/* All that `to` says otherwise than `from` (NULL: nothing is known of it), each as {from, to}; NULL: nothing. */
json_t *lists_head_changes(const struct list_info *from, const struct list_info *to);

#endif
