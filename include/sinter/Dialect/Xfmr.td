//===- Xfmr.td - the whole dialect, for tablegen -----------*- tablegen -*-===//
#ifndef SINTER_DIALECT_XFMR_TD
#define SINTER_DIALECT_XFMR_TD

include "sinter/Dialect/XfmrDialect.td"
include "sinter/Dialect/XfmrTypes.td"
include "sinter/Dialect/XfmrInterfaces.td"
include "sinter/Dialect/XfmrOps.td"
include "sinter/Dialect/XfmrFusedOps.td"

#endif // SINTER_DIALECT_XFMR_TD
