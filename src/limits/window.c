/*
 * One limit: a rolling window of slots.
 */
#include "limits/window.h"

#include <string.h>

static int64_t
part_width(const IntegWindow *window)
{
	int64_t width = (window->per_us + INTEG_WINDOW_PARTS - 1) / INTEG_WINDOW_PARTS;

	return width > 0 ? width : 1;
}

/* Forgets the parts that have left the window. The ring is as long as the window and the part that runs. */
static void
advance(IntegWindow *window, int64_t now)
{
	int64_t current = now / part_width(window);

	if (window->per_us == 0 || current <= window->newest)
		return;
	if (window->used > 0 && current - window->newest < INTEG_WINDOW_RING)
		for (int64_t part = window->newest + 1; part <= current; part++)
		{
			window->used -= window->parts[part % INTEG_WINDOW_RING];
			window->parts[part % INTEG_WINDOW_RING] = 0;
		}
	else if (window->used > 0)
	{
		memset(window->parts, 0, sizeof(window->parts));
		window->used = 0;
	}
	window->newest = current;
}

/* When the part has left the window. */
static int64_t
part_end(const IntegWindow *window, int64_t part)
{
	return (part + INTEG_WINDOW_RING) * part_width(window);
}

void
integ_window_init(IntegWindow *window, uint32_t limit, int64_t per_us)
{
	memset(window, 0, sizeof(*window));
	window->limit = limit;
	window->per_us = per_us;
}

uint32_t
integ_window_room(IntegWindow *window, int64_t now)
{
	uint64_t taken;

	advance(window, now);
	taken = (uint64_t) window->used + window->in_flight;
	return taken >= window->limit ? 0 : window->limit - (uint32_t) taken;
}

void
integ_window_take(IntegWindow *window)
{
	window->in_flight++;
}

void
integ_window_count(IntegWindow *window, uint32_t requests, int64_t at, int64_t now)
{
	int64_t part = at / part_width(window);

	advance(window, now);
	if (window->per_us == 0 || part <= window->newest - INTEG_WINDOW_RING)
		return;
	if (part > window->newest)
		part = window->newest;
	window->parts[part % INTEG_WINDOW_RING] += requests;
	window->used += requests;
}

void
integ_window_answered(IntegWindow *window, int64_t now)
{
	/* Should the clock lag behind what was seen of it, the slot is taken for longer. */
	int64_t newest = window->newest * part_width(window);

	integ_window_give_back(window);
	integ_window_count(window, 1, now > newest ? now : newest, now);
}

void
integ_window_give_back(IntegWindow *window)
{
	if (window->in_flight > 0)
		window->in_flight--;
}

int64_t
integ_window_next(IntegWindow *window, uint32_t wanted, int64_t now)
{
	uint64_t needed;

	advance(window, now);
	if (wanted > window->limit)
		wanted = window->limit;
	/* Taken slots beyond what leaves room for the wanted ones. */
	needed = (uint64_t) window->used + window->in_flight + wanted;
	if (needed <= window->limit)
		return now;
	needed -= window->limit;
	for (int64_t part = window->newest - INTEG_WINDOW_PARTS; part <= window->newest; part++)
	{
		uint32_t freed = part < 0 ? 0 : window->parts[part % INTEG_WINDOW_RING];

		if (freed >= needed)
			return part_end(window, part);
		needed -= freed;
	}
	return -1;
}

int64_t
integ_window_reset(IntegWindow *window, int64_t now)
{
	advance(window, now);
	for (int64_t part = window->newest; window->used > 0 && part > window->newest - INTEG_WINDOW_RING; part--)
		if (part >= 0 && window->parts[part % INTEG_WINDOW_RING] > 0)
			return part_end(window, part);
	return now;
}
