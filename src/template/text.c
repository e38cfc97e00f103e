/*
 * Rendering a template to text.
 */
#include "core/errors.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "template/node.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

/* A text under way, and the segment of a path that it is in. */
typedef struct TextRender
{
	TemplateRender *render;
	StringInfo out;
	IntegTemplateEncoding encoding;
	int segment;			  /* where it starts */
	const char *segment_name; /* of a placeholder whose value is part of it; NULL: none is */
	bool behind_path;		  /* in the query or fragment of a URL */
} TextRender;

/* Makes room; where the text may hold secrets, the smaller buffer is overwritten before it is freed. */
static void
reserve(TemplateRender *render, StringInfo out, Size more)
{
	Size needed = (Size) out->len + more + 1;
	char *larger;

	template_check_size(render->bytes + needed, render->template->where);
	if (needed <= out->maxlen || render->secrets == NIL)
	{
		enlargeStringInfo(out, more);
		return;
	}
	needed *= 2;
	larger = palloc(needed);
	memcpy(larger, out->data, out->len + 1);
	explicit_bzero(out->data, out->maxlen);
	pfree(out->data);
	out->data = larger;
	out->maxlen = needed;
}

void
template_append_percent(StringInfo out, const char *text, int len, bool plus, bool keep_slashes)
{
	static const char hex[] = "0123456789ABCDEF";

	for (int i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) text[i];
		bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

		if (alnum || c == '-' || c == '.' || c == '_' || c == '~' || (keep_slashes && c == '/'))
			appendStringInfoCharMacro(out, c);
		else if (plus && c == ' ')
			appendStringInfoCharMacro(out, '+');
		else
		{
			appendStringInfoCharMacro(out, '%');
			appendStringInfoCharMacro(out, hex[c >> 4]);
			appendStringInfoCharMacro(out, hex[c & 15]);
		}
	}
}

void
template_append_scalar(const TemplateRender *render, StringInfo out, const JsonbValue *value, const char *name)
{
	switch (value->type)
	{
		case jbvString:
			appendBinaryStringInfo(out, value->val.string.val, value->val.string.len);
			break;
		case jbvBool:
			appendStringInfoString(out, value->val.boolean ? "true" : "false");
			break;
		case jbvNumeric:
			appendStringInfoString(
				out, DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric))));
			break;
		default:
			template_fail(render->template->where, "\"%s\" is an object or a list, which has no text", name);
	}
}

/* Whether the segment's text is nothing, "." or "..", however its dots are written. */
static bool
is_dots(const char *text, int len)
{
	int dots = 0;

	for (int i = 0; i < len; dots++)
	{
		if (text[i] == '.')
			i++;
		else if (len - i >= 3 && text[i] == '%' && text[i + 1] == '2' && (text[i + 2] | 0x20) == 'e')
			i += 3;
		else
			return false;
	}
	return dots <= 2;
}

static void
end_segment(TextRender *text)
{
	if (text->segment_name != NULL && !text->behind_path &&
		is_dots(text->out->data + text->segment, text->out->len - text->segment))
		template_fail(text->render->template->where,
					  "\"%s\" makes a segment of the path empty, \".\" or \"..\", which would lead elsewhere",
					  text->segment_name);
	text->segment_name = NULL;
}

/* Appends text that may end segments: a literal (name NULL), or the value of a placeholder that keeps its slashes. */
static void
append_path(TextRender *text, const char *literal, int len, const char *name)
{
	for (int i = 0; i < len; i++)
	{
		char c = literal[i];

		if (c == '/' || c == '?' || c == '#')
			end_segment(text);
		if (name == NULL && (c == '?' || c == '#'))
			text->behind_path = true;
		appendStringInfoCharMacro(text->out, c);
		if (c == '/')
		{
			text->segment = text->out->len;
			text->segment_name = name;
		}
	}
}

/* Control characters would end a header or hide what follows; a tab is allowed (RFC 9110, section 5.5). */
static void
check_header(const TextRender *text, const char *value, int len, const char *name)
{
	for (int i = 0; i < len; i++)
		if (((unsigned char) value[i] < 0x20 && value[i] != '\t') || value[i] == 0x7f)
			template_fail(text->render->template->where, "\"%s\" has a control character, which no header may hold",
						  name);
}

static void
append_literal(TextRender *text, const char *literal, int len)
{
	if (text->encoding == INTEG_TEMPLATE_HEADER)
		check_header(text, literal, len, "the text");
	reserve(text->render, text->out, len);
	if (text->encoding == INTEG_TEMPLATE_PERCENT)
		append_path(text, literal, len, NULL);
	else
		appendBinaryStringInfo(text->out, literal, len);
}

/*
 * A value as character data or within quotes (XML 1.0, sections 2.2 and 2.4). A carriage return is written as a
 * reference, or a parser would read it as a line feed.
 */
static void
append_xml(const TextRender *text, const char *value, int len, const char *name)
{
	for (int i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) value[i];
		const char *reference = c == '&' ? "&amp;" : c == '<' ? "&lt;"
												 : c == '>'	  ? "&gt;"
												 : c == '"'	  ? "&quot;"
												 : c == '\''  ? "&apos;"
												 : c == '\r'  ? "&#13;"
															  : NULL;

		if (c < 0x20 && c != '\t' && c != '\n' && c != '\r')
			template_fail(text->render->template->where, "\"%s\" has a control character, which XML cannot hold", name);
		/* U+FFFE and U+FFFF are no characters of XML. */
		if (c == 0xef && len - i >= 3 && (unsigned char) value[i + 1] == 0xbf && (unsigned char) value[i + 2] >= 0xbe)
			template_fail(text->render->template->where, "\"%s\" has a character that XML cannot hold", name);
		if (reference != NULL)
			appendStringInfoString(text->out, reference);
		else
			appendStringInfoCharMacro(text->out, c);
	}
}

static void
append_markdown(TextRender *text, const char *value, int len)
{
	for (int i = 0; i < len; i++)
	{
		if (value[i] != '\0' && strchr("\\`*_{}[]()<>#|~&!", value[i]) != NULL)
			appendStringInfoChar(text->out, '\\');
		appendStringInfoCharMacro(text->out, value[i]);
	}
}

static void
append_string(TextRender *text, const TemplatePart *part, const char *value, int len)
{
	StringInfoData encoded;

	switch (text->encoding)
	{
		case INTEG_TEMPLATE_HEADER:
			check_header(text, value, len, part->ref->name);
			/* FALLTHROUGH */
		case INTEG_TEMPLATE_RAW:
			reserve(text->render, text->out, len);
			appendBinaryStringInfo(text->out, value, len);
			break;
		case INTEG_TEMPLATE_XML:
			reserve(text->render, text->out, (Size) len * 6);
			append_xml(text, value, len, part->ref->name);
			break;
		case INTEG_TEMPLATE_MARKDOWN:
			reserve(text->render, text->out, (Size) len * 2);
			append_markdown(text, value, len);
			break;
		case INTEG_TEMPLATE_PERCENT:
			reserve(text->render, text->out, (Size) len * 3);
			text->segment_name = part->ref->name;
			if (!part->keep_slashes)
			{
				template_append_percent(text->out, value, len, false, false);
				break;
			}
			initStringInfo(&encoded);
			template_append_percent(&encoded, value, len, false, true);
			append_path(text, encoded.data, encoded.len, part->ref->name);
			explicit_bzero(encoded.data, encoded.maxlen);
			pfree(encoded.data);
			break;
	}
}

/* Appends a placeholder's value; false where it is absent. */
static bool
append_ref(TextRender *text, const TemplatePart *part)
{
	JsonbValue value;
	StringInfoData scalar;

	if (!template_ref_value(text->render, part->ref, &value) || value.type == jbvNull)
		return false;
	if (value.type == jbvString)
	{
		append_string(text, part, value.val.string.val, value.val.string.len);
		return true;
	}
	initStringInfo(&scalar);
	template_append_scalar(text->render, &scalar, &value, part->ref->name);
	append_string(text, part, scalar.data, scalar.len);
	pfree(scalar.data);
	return true;
}

static void
absent(const TextRender *text, const TemplateRef *ref)
{
	static const char *const hints[] = {
		[TEMPLATE_INPUT] = "Give it in the input; or put what needs it into [brackets] in the template.",
		[TEMPLATE_CONFIG] = "Set it in the config of the instance.",
		[TEMPLATE_TASK] = "Set it in the task.",
		[TEMPLATE_TOKEN] = "It comes with the answer of the token endpoint: authorize the instance again.",
		[TEMPLATE_CREDENTIALS] = "Set it with integ_credential_set.",
		[TEMPLATE_LOCAL] = "Give it in each element of the list; or put what needs it into [brackets] in the template.",
	};
	const char *hint = hints[ref->root];
	int code = ref->root == TEMPLATE_CREDENTIALS ? ERRCODE_INTEG_UNAUTHENTICATED : ERRCODE_INTEG_INVALID;

	if (template_is_earlier(text->render->scope, ref))
		hint = strcmp(ref->steps.steps[0].key, "pagination") == 0
				   ? "The first page has none: put what needs it into [brackets] in the template."
				   : "An earlier request did not bring it.";
	ereport(ERROR, (errcode(code), errmsg("the placeholder \"{%s}\" has no value", ref->name),
					errdetail("It is needed by: %s.", text->render->template->where), errhint("%s", hint)));
}

/* Appends the parts of a fragment; where one is absent, nothing. */
static bool
append_fragment(TextRender *text, const TemplatePart *parts, int count)
{
	TextRender before = *text;
	int len = text->out->len;

	for (int i = 0; i < count; i++)
	{
		if (parts[i].kind == TEMPLATE_PART_LITERAL)
			append_literal(text, parts[i].text, parts[i].len);
		else if (!append_ref(text, &parts[i]))
		{
			*text = before;
			text->out->len = len;
			text->out->data[len] = '\0';
			return false;
		}
	}
	return true;
}

static bool
append_parts(TextRender *text, const TemplateNode *node)
{
	bool any = false;

	for (int i = 0; i < node->nparts; i++)
	{
		const TemplatePart *part = &node->parts[i];

		switch (part->kind)
		{
			case TEMPLATE_PART_LITERAL:
				append_literal(text, part->text, part->len);
				any = true;
				break;
			case TEMPLATE_PART_FRAGMENT:
				if (append_fragment(text, part + 1, part->count))
					any = true;
				i += part->count;
				break;
			case TEMPLATE_PART_REF:
				if (append_ref(text, part))
					any = true;
				else if (node->nparts > 1)
					absent(text, part->ref);
				break;
		}
	}
	return any;
}

bool
template_render_text(TemplateRender *render, const TemplateNode *node, IntegTemplateEncoding encoding, StringInfo out)
{
	TextRender text = {.render = render, .out = out, .encoding = encoding};
	bool any;

	if (node->kind == TEMPLATE_LITERAL)
	{
		if (node->literal.type == jbvNull)
			return false;
		template_append_scalar(render, out, &node->literal, render->template->where);
		if (encoding == INTEG_TEMPLATE_HEADER)
			check_header(&text, out->data, out->len, "the text");
		return true;
	}
	if (node->kind != TEMPLATE_TEXT && node->kind != TEMPLATE_VALUE)
		template_fail(render->template->where, "It must be a text");
	any = append_parts(&text, node);
	if (encoding == INTEG_TEMPLATE_PERCENT)
		end_segment(&text);
	return any;
}

/* Texts one after the other: a text, or a list of them, in which $each and $if build lists. */
typedef struct Joined
{
	IntegTemplateEncoding encoding;
	StringInfo out;
	bool any;
} Joined;

static void
join(TemplateRender *render, const TemplateNode *node, void *arg)
{
	Joined *joined = arg;
	const TemplateNode *branch;

	check_stack_depth();
	switch (node->kind)
	{
		case TEMPLATE_ARRAY:
			for (int i = 0; i < node->count; i++)
				join(render, node->children[i], joined);
			break;
		case TEMPLATE_EACH:
			(void) template_each(render, node, join, joined);
			break;
		case TEMPLATE_IF:
			branch = template_if_branch(render, node);
			if (branch != NULL)
				join(render, branch, joined);
			break;
		case TEMPLATE_LITERAL:
			if (node->literal.type == jbvArray)
			{
				for (int i = 0; i < node->literal.val.array.nElems; i++)
				{
					TemplateNode element = {.kind = TEMPLATE_LITERAL, .literal = node->literal.val.array.elems[i]};

					join(render, &element, joined);
				}
				break;
			}
			/* FALLTHROUGH */
		default:
			if (template_render_text(render, node, joined->encoding, joined->out))
				joined->any = true;
	}
}

char *
integ_template_text(const IntegTemplate *compiled, const IntegTemplateScope *scope, IntegTemplateEncoding encoding)
{
	TemplateRender render;
	StringInfoData out;
	Joined joined = {encoding, &out, false};

	initStringInfo(&out);
	template_render_begin(&render, compiled, scope);
	if (encoding == INTEG_TEMPLATE_RAW || encoding == INTEG_TEMPLATE_XML || encoding == INTEG_TEMPLATE_MARKDOWN)
		join(&render, compiled->root, &joined);
	else
		joined.any = template_render_text(&render, compiled->root, encoding, &out);
	template_render_end(&render);
	return joined.any ? out.data : NULL;
}
