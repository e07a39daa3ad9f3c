/* The keyring's verbs. No key ever stands in an answer or in the audit log: an escrow export leaves sealed only. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "appliance/base/bytes.h"
#include "appliance/base/clock.h"
#include "appliance/base/digest.h"
#include "appliance/gantry.h"
#include "appliance/handlers.h"
#include "mgmt/call.h"
#include "storage/escrow.h"
#include "storage/keyring.h"
#include "storage/store.h"

#define ID_TEXT_SIZE 17

static json_t *kinds_json(const struct keyring_info *info)
{
	static const char *const names[KEY_KIND_END] = {[KEY_JOURNAL] = "journals",
							[KEY_SEGMENT] = "segments",
							[KEY_REGISTER] = "register",
							[KEY_AUDIT_MONTH] = "audit_months",
							[KEY_AUDIT_SIGNING] = "audit_signing",
							[KEY_CACHE] = "caches",
							[KEY_IDENTITY] = "identity",
							[KEY_LANES] = "lanes",
							[KEY_ESCROW] = "escrow",
							[KEY_CASE] = "cases",
							[KEY_MARK] = "marks",
							[KEY_LATE] = "late hits"};
	json_t *object = json_object();

	for (unsigned kind = 0; object != NULL && kind < KEY_KIND_END; kind++)
		if (info->kinds[kind] > 0)
			(void)json_object_set_new(object, names[kind] != NULL ? names[kind] : "other",
						  json_integer((json_int_t)info->kinds[kind]));
	return object;
}

static json_t *copies_json(struct keyring *keyring, bool *ret_well)
{
	struct keyring_copy copies[2];
	json_t *array = json_array();

	keyring_copies(keyring, copies);
	*ret_well = true;
	for (unsigned i = 0; i < 2; i++) {
		*ret_well = *ret_well && copies[i].state == KEYRING_COPY_CURRENT;
		(void)json_array_append_new(array, json_pack("{s:s,s:s,s:I}", "path", copies[i].path, "state",
							     keyring_copy_state_name(copies[i].state), "generation",
							     (json_int_t)copies[i].generation));
	}
	return array;
}

static const char *id_text(uint64_t id, char text[ID_TEXT_SIZE])
{
	uint8_t bytes[8];

	be64_put(bytes, id);
	return hex_encode(bytes, sizeof(bytes), text);
}

int handle_keys_show(struct call *call, void *context)
{
	struct gantry *gantry = context;
	struct keyring *keyring = store_keyring(gantry->store);
	struct keyring_info info;
	char time[CLOCK_TEXT_SIZE];
	char id[ID_TEXT_SIZE];
	json_t *object;
	json_t *copies;
	bool well;

	keyring_info(keyring, &info);
	copies = copies_json(keyring, &well);
	object = json_pack("{s:I,s:I,s:o,s:I,s:s,s:s,s:I,s:b,s:o}", "generation", (json_int_t)info.generation, "keys",
			   (json_int_t)info.key_count, "kinds", kinds_json(&info), "days_destroyed",
			   (json_int_t)info.days_destroyed, "master_key", gantry->config.master_key, "master_made",
			   clock_text_utc(info.master_made_us, time), "master_age_days",
			   (json_int_t)((clock_wall_us() - info.master_made_us) / DAY_US), "copies_current", well,
			   "copies", copies);
	if (info.escrow_made_us != 0) {
		(void)json_object_set_new(object, "escrow", json_string(id_text(info.escrow_id, id)));
		(void)json_object_set_new(object, "escrow_made",
					  json_string(clock_text_utc(info.escrow_made_us, time)));
	} else {
		(void)json_object_set_new(object, "escrow", json_null());
	}
	call_result(call, object);
	return 0;
}

int handle_keys_rotate(struct call *call, void *context)
{
	struct gantry *gantry = context;
	struct keyring *keyring = store_keyring(gantry->store);
	struct keyring_info info;
	char time[CLOCK_TEXT_SIZE];
	struct err err = {""};
	int result = keyring_rotate_master(keyring, &err);

	if (result < 0) {
		gantry_alarm_stand(gantry, ALARM_MASTER_KEY, err.text);
		call_fail(call, CALL_FAILED, "%s", err.text);
		return 0;
	}
	gantry_alarm_over(gantry, ALARM_MASTER_KEY);
	keyring_info(keyring, &info);
	call_audit_fact(call, "generation", json_integer((json_int_t)info.generation));
	call_result(call,
		    json_pack("{s:I,s:s,s:s}", "generation", (json_int_t)info.generation, "master_key",
			      gantry->config.master_key, "master_made", clock_text_utc(info.master_made_us, time)));
	return 0;
}

static json_t *officers_json(const struct escrow_officer officers[ESCROW_OFFICERS])
{
	char digest[2 * sizeof(officers[0].digest) + 1];
	json_t *array = json_array();

	for (unsigned i = 0; i < ESCROW_OFFICERS; i++)
		(void)json_array_append_new(
			array, json_pack("{s:s,s:s,s:s}", "subject", officers[i].name, "sha256",
					 hex_encode(officers[i].digest, sizeof(officers[i].digest), digest),
					 "not_after", officers[i].not_after));
	return array;
}

/* Sealed first: a ring that knows a key which nobody holds would only void the export before it. */
static int export_make(struct gantry *gantry, const char *const certificates[ESCROW_OFFICERS], uint64_t id,
		       struct err *err, char **ret_pem, struct escrow_officer officers[ESCROW_OFFICERS])
{
	uint8_t key[KEY_SIZE];
	char *pem = NULL;
	int result;

	random_bytes(key, sizeof(key));
	result = escrow_seal(key, certificates, err, &pem, officers);
	if (result == 0) {
		result = keyring_escrow_set(store_keyring(gantry->store), key, id, clock_wall_us());
		if (result < 0)
			(void)err_set(err, result, "the keyring could not be written, no export is made: %s",
				      strerror(-result));
	}
	bytes_wipe(key, sizeof(key));
	if (result < 0) {
		free(pem);
		return result;
	}
	*ret_pem = pem;
	return 0;
}

int handle_keys_escrow(struct call *call, void *context)
{
	const char *const certificates[ESCROW_OFFICERS] = {call_text(call, "officer_1"), call_text(call, "officer_2")};
	struct escrow_officer officers[ESCROW_OFFICERS];
	struct err err = {""};
	char text[ID_TEXT_SIZE];
	uint64_t id;
	char *pem;
	int result;

	random_bytes(&id, sizeof(id));
	result = export_make(context, certificates, id, &err, &pem, officers);
	if (result < 0) {
		call_fail(call, result == -EINVAL ? CALL_REFUSED : CALL_FAILED, "%s", err.text);
		return 0;
	}
	call_audit_fact(call, "escrow", json_string(id_text(id, text)));
	call_audit_fact(call, "officers", officers_json(officers));
	call_result(call,
		    json_pack("{s:s,s:o,s:s}", "escrow", text, "officers", officers_json(officers), "sealed", pem));
	free(pem);
	return 0;
}
