/*
 * The server's macros that change the flow of control or declare something,
 * explained to cppcheck, which does not read the server's headers.
 */
#define PG_VERSION_NUM 150000
#define PGDLLIMPORT
#define PG_FUNCTION_INFO_V1(name)
#define PG_MODULE_MAGIC
#define PG_MODULE_MAGIC_EXT(...)
#define FLEXIBLE_ARRAY_MEMBER
#define pg_attribute_noreturn() __attribute__((noreturn))
#define PG_TRY() if (1)
#define PG_CATCH() else
#define PG_FINALLY()
#define PG_END_TRY()
#define PG_RETURN_NULL() return 0
#define PG_RETURN_VOID() return 0
#define DEBUG1 14
#define LOG 15
#define NOTICE 18
#define WARNING 19
#define ERROR 21
#define FATAL 22
#define PANIC 23
#define ereport(level, ...)   \
	do                        \
	{                         \
		if ((level) >= ERROR) \
			abort();          \
	} while (0)
#define elog(level, ...) ereport(level)
#define lengthof(array) (sizeof(array) / sizeof((array)[0]))
