/*
 * Values that documents are built of.
 */
#include "core/errors.h"
#include "core/json_walk.h"
#include "miscadmin.h"
#include "template/node.h"
#include "utils/numeric.h"

void
template_check_size(Size bytes, const char *where)
{
	if (bytes <= INTEG_TEMPLATE_MAX_BYTES)
		return;
	ereport(ERROR, (errcode(ERRCODE_INTEG_INVALID), errmsg("%s gives too much", where),
					errdetail("It passes %d MB.", INTEG_TEMPLATE_MAX_BYTES / (1024 * 1024)),
					errhint("Send the data in several requests.")));
}

static void
unpack_object(const JsonbContainer *container, JsonbValue *out)
{
	IntegJsonWalk walk;
	JsonbValue value;
	Size ignored = 0;

	integ_json_walk_begin(&walk, container);
	out->type = jbvObject;
	out->val.object.nPairs = walk.count;
	out->val.object.pairs = palloc(Max(walk.count, 1) * sizeof(JsonbPair));
	for (JsonbPair *pair = out->val.object.pairs; integ_json_walk_pair(&walk, &pair->key, &value); pair++)
	{
		pair->order = 0;
		template_unpack(&value, &pair->value, &ignored);
	}
}

static void
unpack_array(const JsonbContainer *container, JsonbValue *out)
{
	IntegJsonWalk walk;
	JsonbValue value;
	Size ignored = 0;

	integ_json_walk_begin(&walk, container);
	out->type = jbvArray;
	out->val.array.rawScalar = false;
	out->val.array.nElems = walk.count;
	out->val.array.elems = palloc(Max(walk.count, 1) * sizeof(JsonbValue));
	for (JsonbValue *element = out->val.array.elems; integ_json_walk_element(&walk, &value); element++)
		template_unpack(&value, element, &ignored);
}

void
template_unpack(const JsonbValue *value, JsonbValue *out, Size *bytes)
{
	if (value->type != jbvBinary)
	{
		*out = *value;
		*bytes += sizeof(JEntry) + (value->type == jbvString	? value->val.string.len
									: value->type == jbvNumeric ? VARSIZE_ANY(value->val.numeric)
																: 0);
		return;
	}
	check_stack_depth();
	/* A container's bytes are counted whole, here, where the outermost one comes by. */
	*bytes += value->val.binary.len;
	if (JsonContainerIsObject(value->val.binary.data))
		unpack_object(value->val.binary.data, out);
	else
		unpack_array(value->val.binary.data, out);
}
