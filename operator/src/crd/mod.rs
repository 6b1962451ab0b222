//! The custom resource, `BlockchainCluster`: what people write ([`spec`]) and what they are told
//! ([`status`]). The CRD in `crds/` is generated from these types by `cairn-operator crds`; what a single
//! object can get wrong is refused by its schema and CEL rules, so that it never reaches the controller.

#![expect(unreachable_pub, reason = "KubeSchema's derive repeats each type within a function")]

pub mod spec;
pub mod status;

pub use spec::*;
pub use status::*;
