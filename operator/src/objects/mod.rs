//! The manifests of a checked cluster. Pure, and the same for the same spec: nothing here depends on the
//! operator's version, the time, or what is there already. A field that is not set is not written, so that
//! its owner is whoever sets it.

use crate::{check::Checked, manifest::Manifest};

/// Everything but validators' StatefulSets and volumes and the genesis: what can change at any time
/// without anybody noticing.
#[must_use]
pub fn surroundings(checked: &Checked) -> Vec<Manifest> {
    let _ = checked;
    vec![]
}
