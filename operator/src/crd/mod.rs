//! The custom resource, `BlockchainCluster`: what people write ([`spec`]) and what they are told
//! ([`status`]). [`definition`] makes the CRD of these types, which `cairn-operator crds` writes into
//! `crds/`. What a single object can get wrong is refused by its schema and the CEL of `rules`, so that it
//! never reaches the controller.

#![expect(unreachable_pub, reason = "KubeSchema's derive repeats each type within a function")]

pub mod spec;

pub mod api;
pub mod backend;
pub mod running;
pub mod storage;

pub mod status;

mod rules;
mod schemas;

pub mod definition;

pub use api::*;
pub use backend::*;
pub use definition::{ANNOTATION_SCHEMA, crd, schema_hash};
pub use running::*;
pub use spec::*;
pub use status::*;
pub use storage::*;
