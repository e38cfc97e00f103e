/*
 * The driver that the module integ_ingress brings.
 */
#ifndef INTEG_INGRESS_DRIVER_H
#define INTEG_INGRESS_DRIVER_H

#include "ingress/server.h"

extern const IntegServerDriver integ_server_driver;

#endif /* INTEG_INGRESS_DRIVER_H */
