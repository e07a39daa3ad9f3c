/*
 * Who may change lists and say who is told of hits, until persons have roles (R24: the publisher decides). Accounts are
 * those of the socket's peer. Handler threads.
 */
#ifndef GANTRY_APPLIANCE_LIST_ACCESS_H
#define GANTRY_APPLIANCE_LIST_ACCESS_H

#include <stdint.h>

struct call;
struct gantry;
struct reg;

/*
 * May the call's account change the list that the parameter `name` names? The superuser and the appliance's own account
 * change any; another one those whose owner is the organisation of a subscription of its own that is not for sms. A new
 * list is that of the parameter `owner`, and no list is given to an organisation that the account could not change it
 * for. change_lock held. 0, or -EACCES with the call failed.
 */
int list_access_change(struct call *call, struct gantry *gantry, struct reg *reg);

/* May it end the search back of that number? Those two accounts, and the one that asked for it. The same outcomes. */
int list_access_cancel(struct call *call, struct reg *reg, uint32_t number);

/* May it say whose subscriptions there are? Only the superuser and the appliance's own account. The same outcomes. */
int list_access_subscribe(struct call *call);

#endif
