//! The dashboards, one for each who looks: a cluster, all clusters, the operator.
