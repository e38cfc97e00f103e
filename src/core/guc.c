/*
 * Settings: one table of each type, so that a reader sees all of them at once.
 */
#include "core/guc.h"

#include "access/actor.h"
#include "calls/wake.h"
#include "endpoints/retry_schedule.h"
#include "handlers/slots.h"
#include "ingress/slots.h"
#include "sync/slots.h"
#include "http/address.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/varlena.h"

char *integ_master_key_file;
char *integ_master_key_command;
char *integ_master_key_previous_file;
int integ_vault_algorithm = INTEG_VAULT_AES_CBC_HMAC;
char *integ_allowed_addresses;
char *integ_ca_file;
char *integ_proxy;
char *integ_env_allowed;
int integ_connect_timeout = 10000;
int integ_request_timeout = 30000;
int integ_max_response_size = 65536;
int integ_max_download_size = 1048576;
int integ_max_sync_wait = 30000;
int integ_log_flush = 200;
int integ_log_buffer = 1024;
int integ_log_retention = 30;
int integ_dispatchers = 2;
int integ_instance_concurrency = 64;
int integ_host_concurrency = 0;
int integ_retry_delay = 1000;
int integ_max_retry_delay = 300000;
int integ_deactivate_after_failures = 20;
int integ_deactivate_after = 3600;
int integ_idempotency_retention = 7 * 86400;
int integ_delivery_timeout = 20000;
char *integ_delivery_schedule;
int integ_endpoint_disable_after = 5 * 86400;
int integ_max_handler_workers = 4;
int integ_handler_timeout = 30000;
int integ_max_sync_workers = 4;
int integ_instance_sync_concurrency = 2;
int integ_sync_retention = 90;
int integ_max_event_depth = 16;
int integ_listen_port;
char *integ_listen_addresses;
char *integ_listen_cert_file;
char *integ_listen_key_file;
char *integ_trusted_proxies;
int integ_listeners = 1;
char *integ_public_url;
char *integ_allowed_return_urls;
char *integ_reconnect_url;
int integ_refresh_concurrency = 50;
int integ_answer_retention = 7 * 86400;
int integ_approval_expiry = 7 * 86400;
int integ_approval_retention = 365;
int integ_max_databases = 8;
int integ_max_rate_limits = 4096;
bool integ_hold = false;
bool integ_notify_calls = true;

static const struct config_enum_entry vault_algorithms[] = {
	{"aes-256-cbc-hmac", INTEG_VAULT_AES_CBC_HMAC, false},
	{"aes-256-gcm", INTEG_VAULT_AES_GCM, false},
	{NULL, 0, false}};

/* A bad CIDR list must fail when it is set, not when the first call is guarded. */
static bool
check_address_list(char **newval, void **extra, GucSource source)
{
	char problem[128];

	if (*newval == NULL || integ_address_list_check(*newval, problem, sizeof(problem)))
		return true;
	GUC_check_errdetail("%s", problem);
	GUC_check_errhint("Write a comma-separated list of networks, for example \"10.0.0.0/8, 127.0.0.1/32\".");
	return false;
}

static bool
check_delivery_schedule(char **newval, void **extra, GucSource source)
{
	IntegRetrySchedule schedule;
	char problem[128];

	if (*newval == NULL || integ_retry_schedule_parse(*newval, &schedule, problem, sizeof(problem)))
		return true;
	GUC_check_errdetail("%s", problem);
	GUC_check_errhint("Write intervals with commas between them, for example \"5s, 5min, 2h\".");
	return false;
}

static void
define_strings(void)
{
	static const struct
	{
		const char *name;
		const char *description;
		char **value;
		const char *initial;
		int flags;
		GucStringCheckHook check;
	} settings[] = {
		{"integ.master_key_file", "File that holds the vault's master key as 64 hex digits.",
		 &integ_master_key_file, "", GUC_SUPERUSER_ONLY, NULL},
		{"integ.master_key_command", "Command that prints the vault's master key as 64 hex digits.",
		 &integ_master_key_command, "", GUC_SUPERUSER_ONLY, NULL},
		{"integ.master_key_previous_file", "File of the master key before, while it is being changed.",
		 &integ_master_key_previous_file, "", GUC_SUPERUSER_ONLY, NULL},
		{"integ.allowed_addresses", "Private networks (CIDR list) that requests may reach.",
		 &integ_allowed_addresses, "", GUC_LIST_INPUT, check_address_list},
		{"integ.trusted_proxies", "Networks (CIDR list) of proxies that say truly whom they ask for.",
		 &integ_trusted_proxies, "", GUC_LIST_INPUT, check_address_list},
		{"integ.ca_file", "PEM file of certificate authorities trusted besides the system's.",
		 &integ_ca_file, "", 0, NULL},
		{"integ.proxy", "Proxy through which all requests leave.",
		 &integ_proxy, "", GUC_SUPERUSER_ONLY, NULL},
		{"integ.env_allowed", "Environment variables that credentials may be taken from.",
		 &integ_env_allowed, "", GUC_LIST_INPUT | GUC_SUPERUSER_ONLY, NULL},
		{"integ.allowed_return_urls", "Prefixes of URLs that people may be sent to after an authorization.",
		 &integ_allowed_return_urls, "", GUC_LIST_INPUT, NULL},
		{"integ.delivery_schedule", "Delays after which a delivery that failed is tried again.",
		 &integ_delivery_schedule, "5s, 5min, 30min, 2h, 5h, 10h, 10h", 0, check_delivery_schedule},
		{"integ.reconnect_url", "Page of the application on which an instance is authorized again.",
		 &integ_reconnect_url, "", 0, NULL},
	};

	for (size_t i = 0; i < lengthof(settings); i++)
		DefineCustomStringVariable(settings[i].name, settings[i].description, NULL,
								   settings[i].value, settings[i].initial, PGC_SIGHUP,
								   settings[i].flags, settings[i].check, NULL, NULL);
}

static const struct
{
	const char *name;
	const char *description;
	int *value;
	int initial, min, max;
	GucContext context;
	int flags;
} integers[] = {
	{"integ.connect_timeout", "Longest wait for a connection.",
	 &integ_connect_timeout, 10000, 1, 600000, PGC_USERSET, GUC_UNIT_MS},
	{"integ.request_timeout", "Longest time one HTTP exchange may take.",
	 &integ_request_timeout, 30000, 1, 3600000, PGC_USERSET, GUC_UNIT_MS},
	{"integ.max_response_size", "Largest response that is read.",
	 &integ_max_response_size, 65536, 1, 1000000, PGC_SUSET, GUC_UNIT_KB},
	{"integ.max_download_size", "Largest answer that is streamed: into a large object, or by integ_fetch as events.",
	 &integ_max_download_size, 1048576, 1, PG_INT32_MAX, PGC_SUSET, GUC_UNIT_KB},
	{"integ.max_sync_wait", "Longest time a synchronous request may hold back its transaction.",
	 &integ_max_sync_wait, 30000, 1, 3600000, PGC_USERSET, GUC_UNIT_MS},
	{"integ.log_flush", "How far the request log of reads may lag behind.",
	 &integ_log_flush, 200, 1, 10000, PGC_SIGHUP, GUC_UNIT_MS},
	{"integ.log_retention", "Days that the request log is kept.",
	 &integ_log_retention, 30, 1, 3650, PGC_SIGHUP, 0},
	{"integ.log_buffer", "Shared memory between callers and the recorder, for each database.",
	 &integ_log_buffer, 1024, 64, 262144, PGC_POSTMASTER, GUC_UNIT_KB},
	{"integ.dispatchers", "Workers of each database that carry out durable calls.",
	 &integ_dispatchers, 2, 0, INTEG_MAX_DISPATCHERS, PGC_SIGHUP, 0},
	{"integ.instance_concurrency", "Durable calls at once to an instance whose definition does not say how many.",
	 &integ_instance_concurrency, 64, 1, 512, PGC_SIGHUP, 0},
	{"integ.host_concurrency", "Requests at once to one host, of all instances together; 0: not limited.",
	 &integ_host_concurrency, 0, 0, 10000, PGC_SIGHUP, 0},
	{"integ.max_event_depth", "Runs that led to each other, after which an event leads to nothing.",
	 &integ_max_event_depth, 16, 1, 1000, PGC_SIGHUP, 0},
	{"integ.listeners", "Processes of each database that listens which share its port.",
	 &integ_listeners, 1, 1, INTEG_MAX_LISTENERS, PGC_SIGHUP, 0},
	{"integ.retry_delay", "Longest delay before the second attempt of a durable call; it doubles with each.",
	 &integ_retry_delay, 1000, 1, 3600000, PGC_SIGHUP, GUC_UNIT_MS},
	{"integ.max_retry_delay", "Longest delay between attempts of a durable call.",
	 &integ_max_retry_delay, 300000, 1, 86400000, PGC_SIGHUP, GUC_UNIT_MS},
	{"integ.deactivate_after_failures",
	 "Durable calls that fail one after the other and switch their instance off; 0: never.",
	 &integ_deactivate_after_failures, 20, 0, 1000000, PGC_SIGHUP, 0},
	{"integ.deactivate_after", "How long an instance must have failed before it is switched off.",
	 &integ_deactivate_after, 3600, 0, 365 * 86400, PGC_SIGHUP, GUC_UNIT_S},
	{"integ.idempotency_retention", "How long the idempotency key of a durable call is kept.",
	 &integ_idempotency_retention, 7 * 86400, 1, 365 * 86400, PGC_SIGHUP, GUC_UNIT_S},
	{"integ.delivery_timeout", "Longest time that one request to an endpoint may take.",
	 &integ_delivery_timeout, 20000, 1, 3600000, PGC_SIGHUP, GUC_UNIT_MS},
	{"integ.endpoint_disable_after", "How long an endpoint must have failed to be disabled; 0: it never is.",
	 &integ_endpoint_disable_after, 5 * 86400, 0, 365 * 86400, PGC_SIGHUP, GUC_UNIT_S},
	{"integ.max_handler_workers", "Workers of each database that call users' functions.",
	 &integ_max_handler_workers, 4, 0, INTEG_MAX_HANDLERS, PGC_SIGHUP, 0},
	{"integ.handler_timeout", "Longest time that a user's function may take when integ calls it.",
	 &integ_handler_timeout, 30000, 1, 3600000, PGC_SIGHUP, GUC_UNIT_MS},
	{"integ.max_sync_workers", "Workers of each database that synchronize.",
	 &integ_max_sync_workers, 4, 0, INTEG_MAX_SYNC_WORKERS, PGC_SIGHUP, 0},
	{"integ.instance_sync_concurrency", "Executions of sync tasks at once that use the same instance.",
	 &integ_instance_sync_concurrency, 2, 1, INTEG_MAX_SYNC_WORKERS, PGC_SIGHUP, 0},
	{"integ.sync_retention", "Days that executions of sync tasks are kept, with their errors and logs.",
	 &integ_sync_retention, 90, 1, 3650, PGC_SIGHUP, 0},
	{"integ.refresh_concurrency", "Token requests that a dispatcher has under way at once.",
	 &integ_refresh_concurrency, 50, 1, 1000, PGC_SIGHUP, 0},
	{"integ.answer_retention", "How long the last answer of a conditional method is kept; 0: not at all.",
	 &integ_answer_retention, 7 * 86400, 0, 365 * 86400, PGC_SIGHUP, GUC_UNIT_S},
	{"integ.approval_expiry", "How long an approval waits for a decision.",
	 &integ_approval_expiry, 7 * 86400, 1, 365 * 86400, PGC_SIGHUP, GUC_UNIT_S},
	{"integ.approval_retention", "Days that an approval is kept after it was decided about.",
	 &integ_approval_retention, 365, 1, 36500, PGC_SIGHUP, 0},
	{"integ.max_databases", "Databases of this cluster that may have integ's workers.",
	 &integ_max_databases, 8, 1, 1024, PGC_POSTMASTER, 0},
	{"integ.max_rate_limits", "Rate limits, and circuit breakers, that shared memory has room for.",
	 &integ_max_rate_limits, 4096, 64, 1000000, PGC_POSTMASTER, 0},
};

static void
define_integers(void)
{
	for (size_t i = 0; i < lengthof(integers); i++)
	{
		/* Postmaster settings do not exist for a session that loads integ late. */
		if (integers[i].context == PGC_POSTMASTER && !process_shared_preload_libraries_in_progress)
			continue;
		DefineCustomIntVariable(integers[i].name, integers[i].description, NULL,
								integers[i].value, integers[i].initial, integers[i].min,
								integers[i].max, integers[i].context, integers[i].flags,
								NULL, NULL, NULL);
	}
}

void
integ_guc_define(void)
{
	define_strings();
	define_integers();
	DefineCustomEnumVariable("integ.vault_algorithm",
							 "Algorithm with which new credentials are encrypted.", NULL,
							 &integ_vault_algorithm, INTEG_VAULT_AES_CBC_HMAC,
							 vault_algorithms, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("integ.hold", "While on, nothing leaves this cluster.", NULL,
							 &integ_hold, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("integ.notify_calls", "Notifies channels integ_calls and integ_sync of what has ended.", NULL,
							 &integ_notify_calls, true, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("integ.listen_port", "Port on which services reach this database; 0: none.", NULL,
							&integ_listen_port, 0, 0, 65535, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("integ.listen_addresses", "IP address on which services reach this database.", NULL,
							   &integ_listen_addresses, "127.0.0.1", PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("integ.listen_cert_file", "PEM file of the certificates that the listener shows.", NULL,
							   &integ_listen_cert_file, "", PGC_SUSET, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomStringVariable("integ.listen_key_file", "PEM file of the listener's private key.", NULL,
							   &integ_listen_key_file, "", PGC_SUSET, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomStringVariable("integ.public_url", "URL under which services reach this database.", NULL,
							   &integ_public_url, "", PGC_SUSET, 0, NULL, NULL, NULL);
	integ_actor_define_guc();
	MarkGUCPrefixReserved("integ");
}
