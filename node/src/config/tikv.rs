//! `[tikv]`: where log and state are when they are in TiKV.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A TiKV cluster, and which of its keys are this federation's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TikvConfig {
    /// PD's client endpoints, as host:port.
    pub pd: Vec<String>,
    /// All keys begin with it and a slash. Two clusters on one TiKV have different ones.
    pub prefix: String,
    /// Plain text without.
    pub tls: Option<TikvTls>,
    /// Whether the validators move TiKV's safe point, so that old versions of keys go. False where TiDB, or
    /// somebody else, does it for this TiKV already.
    pub collect_garbage: bool,
}

/// The files that TiKV's TLS needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TikvTls {
    /// Whom to trust.
    pub ca_file: PathBuf,
    /// This validator's certificate.
    pub certificate_file: PathBuf,
    /// And its key.
    pub key_file: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pd: Vec<String>,
    #[serde(default)]
    prefix: Option<String>,
    #[serde(default)]
    tls: Option<WrittenTls>,
    #[serde(default)]
    collect_garbage: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTls {
    ca_file: PathBuf,
    certificate_file: PathBuf,
    key_file: PathBuf,
}

impl Written {
    pub(super) fn checked(self, base: &Path) -> Result<TikvConfig, String> {
        if self.pd.is_empty() {
            return Err("tikv.pd: no endpoint; [\"127.0.0.1:2379\"] is fine".to_owned());
        }
        for (at, endpoint) in self.pd.iter().enumerate() {
            super::check_host_port(&format!("tikv.pd[{at}]"), endpoint)?;
        }
        let prefix = self.prefix.unwrap_or_else(|| "cairn".to_owned());
        super::check_name("tikv.prefix", &prefix)?;
        let tls = self.tls.map(|tls| TikvTls {
            ca_file: base.join(tls.ca_file),
            certificate_file: base.join(tls.certificate_file),
            key_file: base.join(tls.key_file),
        });
        let collect_garbage = self.collect_garbage.unwrap_or(true);
        Ok(TikvConfig { pd: self.pd, prefix, tls, collect_garbage })
    }
}
