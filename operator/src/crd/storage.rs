//! The validators' volumes.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{rules, schemas};

/// The validators' volumes.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageSpec {
    /// Keys, signing state, blocks and log of a validator.
    #[serde(default)]
    pub data: VolumeSpec,
    /// What becomes of the volumes.
    #[serde(default)]
    pub retention: RetentionSpec,
}

/// A volume.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSpec {
    /// Its size, such as 20Gi. It can grow, never shrink. 20Gi by default.
    #[serde(default = "data_size")]
    #[schemars(schema_with = "schemas::quantity")]
    #[x_kube(validation = rules::volume_size())]
    pub size: Quantity,
    /// StorageClass. The cluster's default by default. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = rules::class_name())]
    pub storage_class_name: Option<String>,
    /// Access mode: ReadWriteOnce, or ReadWriteOncePod, which keeps a second pod out where the class can do it.
    /// ReadWriteOnce by default. Cannot be changed.
    #[serde(default)]
    pub access_mode: AccessMode,
}

fn data_size() -> Quantity {
    Quantity("20Gi".into())
}

impl Default for VolumeSpec {
    fn default() -> Self {
        Self { size: data_size(), storage_class_name: None, access_mode: AccessMode::default() }
    }
}

/// Who may mount a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AccessMode {
    /// One node.
    #[default]
    ReadWriteOnce,
    /// One pod.
    ReadWriteOncePod,
}

/// What becomes of the volumes.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionSpec {
    /// When this object is deleted: Retain keeps volumes and genesis, so that an object of the same name goes on with them; Delete removes them for ever. Retain by default.
    #[serde(default)]
    pub when_deleted: Retention,
}

/// Keep or remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Retention {
    /// Keep.
    #[default]
    Retain,
    /// Remove.
    Delete,
}
