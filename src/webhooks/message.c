/*
 * Putting together what was signed.
 */
#include "webhooks/message.h"

#include <stdlib.h>
#include <string.h>

#include "core/hex.h"
#include "http/form.h"

/* Grows a message; without memory it stays as it is and false is returned. */
static bool
append(IntegMessage *message, size_t *room, const char *data, size_t len)
{
	if (*room - message->len < len)
	{
		size_t wanted = (message->len + len) * 2;
		char *grown = realloc(message->data, wanted);

		if (grown == NULL)
			return false;
		message->data = grown;
		*room = wanted;
	}
	if (len > 0)
		memcpy(message->data + message->len, data, len);
	message->len += len;
	return true;
}

static int
compare_bytes(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

static int
compare_fields(const void *left, const void *right)
{
	const IntegFormField *a = left, *b = right;
	int order = compare_bytes(a->name, a->name_len, b->name, b->name_len);

	return order != 0 ? order : compare_bytes(a->value, a->value_len, b->value, b->value_len);
}

/*
 * The fields of the body, where it is a form, decoded, sorted by name, each as its name and its value. Source: Twilio,
 * "Validating requests"; Mandrill, "Authenticating webhook requests".
 */
static bool
append_sorted_fields(IntegMessage *message, size_t *room, const IntegInbound *request)
{
	const char *at = request->body, *end = request->body + request->body_len;
	size_t n = 0, count = 1;
	IntegFormField *fields;
	char *decoded, *out;
	bool ok = true;

	if (!integ_inbound_is_form(request) || request->body_len == 0)
		return true;
	for (size_t i = 0; i < request->body_len; i++)
		count += request->body[i] == '&';
	fields = malloc(count * sizeof(IntegFormField));
	out = decoded = malloc(request->body_len);
	if (fields == NULL || decoded == NULL)
	{
		free(fields);
		free(decoded);
		return false;
	}
	while (integ_form_next(&at, end, &fields[n]))
	{
		IntegFormField *field = &fields[n++];

		field->name_len = integ_form_decode(field->name, field->name_len, out);
		field->name = out;
		out += field->name_len;
		field->value_len = integ_form_decode(field->value, field->value_len, out);
		field->value = out;
		out += field->value_len;
	}
	qsort(fields, n, sizeof(IntegFormField), compare_fields);
	for (size_t i = 0; i < n && ok; i++)
		ok = append(message, room, fields[i].name, fields[i].name_len) &&
			 append(message, room, fields[i].value, fields[i].value_len);
	free(fields);
	free(decoded);
	return ok;
}

/* Escapes of these characters, and of no others, are decoded. Source: HubSpot, "Validating requests", version 3. */
static bool
append_decoded_url(IntegMessage *message, size_t *room, const char *url)
{
	size_t len = strlen(url);

	for (size_t i = 0; i < len; i++)
	{
		char c = url[i];

		if (c == '%' && len - i > 2 && integ_hex_value(url[i + 1]) >= 0 && integ_hex_value(url[i + 2]) >= 0)
		{
			char decoded = (char) (integ_hex_value(url[i + 1]) << 4 | integ_hex_value(url[i + 2]));

			if (decoded != '\0' && strchr(":/?@!$'()*,;", decoded) != NULL)
			{
				c = decoded;
				i += 2;
			}
		}
		if (!append(message, room, &c, 1))
			return false;
	}
	return true;
}

static bool
append_text(IntegMessage *message, size_t *room, const char *text)
{
	return text == NULL || append(message, room, text, strlen(text));
}

/* What a variable stands for; known is false where it is none. */
static bool
append_variable(IntegMessage *message, size_t *room, const char *name, size_t len, const IntegInbound *request,
				const IntegMessageParts *parts, bool *known)
{
#define IS(literal) (len == sizeof(literal) - 1 && memcmp(name, literal, len) == 0)
	*known = true;
	if (IS("body"))
		return append(message, room, request->body, request->body_len);
	if (IS("timestamp"))
		return append_text(message, room, parts->timestamp);
	if (IS("id"))
		return append_text(message, room, parts->id);
	if (IS("method"))
		return append_text(message, room, request->method);
	if (IS("url"))
		return append_text(message, room, parts->url);
	if (IS("url_decoded"))
		return append_decoded_url(message, room, parts->url);
	if (IS("sorted_params"))
		return append_sorted_fields(message, room, request);
	if (IS("secret"))
		return append(message, room, parts->secret.text, parts->secret.len);
	*known = false;
	return true;
#undef IS
}

bool
integ_message_expand(const char *template, const IntegInbound *request, const IntegMessageParts *parts,
					 IntegMessage *message)
{
	size_t room = strlen(template) + request->body_len + 256;
	const char *at = template;

	message->len = 0;
	message->data = malloc(room);
	while (message->data != NULL && *at != '\0')
	{
		const char *close = *at == '{' ? strchr(at, '}') : NULL;
		bool known = false;
		bool ok = close == NULL || append_variable(message, &room, at + 1, (size_t) (close - at - 1), request, parts,
												   &known);

		if (ok && !known)
			ok = append(message, &room, at, 1);
		at = known ? close + 1 : at + 1;
		if (!ok)
		{
			free(message->data);
			message->data = NULL;
		}
	}
	return message->data != NULL;
}
