#include "http/address.h"

bool
integ_address_list_check(const char *list, char *problem, size_t size)
{
	(void) list;
	(void) problem;
	(void) size;
	return true;
}
