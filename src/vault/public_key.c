/*
 * integ_public_key: the certificate to seal values to.
 */
#include "postgres.h"

#include "access/actor.h"
#include "core/owner.h"
#include "core/query.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "vault/sealing.h"

PG_FUNCTION_INFO_V1(integ_public_key);

static char *
active_certificate(MemoryContext context)
{
	static IntegQuery active = {"SELECT certificate FROM integ.sealing_keys WHERE status = 'active'", 0, {0}};

	return integ_query(&active, NULL, NULL) == 0 ? NULL : integ_result_text(0, 1, context);
}

Datum
integ_public_key(PG_FUNCTION_ARGS)
{
	const IntegActor *actor = integ_actor_require(INTEG_LEVEL_USER, "see the vault's public key");
	MemoryContext context = CurrentMemoryContext;
	IntegOwnerScope scope;
	char *certificate;

	integ_owner_enter(&scope);
	certificate = active_certificate(context);
	if (certificate == NULL)
	{
		PreventCommandIfReadOnly("integ_public_key() for the first time");
		integ_sealing_lock();
		certificate = active_certificate(context);
		if (certificate == NULL)
			certificate = integ_sealing_replace(actor->role, context);
	}
	integ_owner_leave(&scope);
	PG_RETURN_TEXT_P(cstring_to_text(certificate));
}
