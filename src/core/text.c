#include "core/text.h"

void
integ_text_append_va(StringInfo text, const char *format, va_list args)
{
	for (;;)
	{
		va_list again;
		int needed;

		va_copy(again, args);
		needed = appendStringInfoVA(text, format, again);
		va_end(again);
		if (needed == 0)
			return;
		enlargeStringInfo(text, needed);
	}
}

char *
integ_text_va(const char *format, va_list args)
{
	StringInfoData text;

	initStringInfo(&text);
	integ_text_append_va(&text, format, args);
	return text.data;
}
