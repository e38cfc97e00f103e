/*
 * The module integ_ingress: the HTTP server's library, brought to the loop that is in integ itself.
 */
#include "postgres.h"

#include "fmgr.h"
#include "ingress/driver.h"
#include "ingress/ingress.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void integ_ingress_main(Datum arg);

/* Entry point of the worker, by the name the postmaster looks up. */
void
integ_ingress_main(Datum arg)
{
	integ_ingress_run(&integ_server_driver);
}
