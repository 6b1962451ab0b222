//! TLS for ports that clients use: certificates as every client knows them, replaced while
//! connections go on.

use std::{fmt, path::PathBuf, sync::Arc};

use parking_lot::RwLock;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

use super::{super::files::Watcher, certificate};
use crate::{clock, metrics::Metrics};

/// A certificate that ends sooner than this is worth a warning.
const SOON_S: i64 = 14 * 24 * 60 * 60;

/// Where a certificate and its key are, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate first, then those that vouch for it.
    pub certificates: PathBuf,
    /// Its private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// TLS 1.2 and 1.3 with whatever certificate the files held when they were last fine.
pub struct Tls {
    files: TlsFiles,
    shown: Arc<Shown>,
    config: Arc<ServerConfig>,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files, and again whenever they change. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// A sentence about what is wrong with them.
    pub fn open(files: TlsFiles, metrics: Arc<Metrics>) -> Result<Arc<Self>, String> {
        let watcher = Watcher::of(vec![files.certificates.clone(), files.key.clone()]);
        let provider = Arc::new(ring::default_provider());
        let (certified, ends) = load(&files, &provider)?;
        let shown = Arc::new(Shown(RwLock::new(Arc::new(certified))));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS12, &TLS13])
            .expect("ring speaks both")
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tls = Arc::new(Self { files, shown, config: Arc::new(config), metrics });
        tls.tell(ends);
        watcher.follow(&tls, Self::reload);
        Ok(tls)
    }

    /// For handshakes from now on.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// What is wrong now may be fine soon: files are replaced one after the other.
    pub(super) fn reload(&self) {
        match load(&self.files, self.config.crypto_provider()) {
            Ok((certified, ends)) => {
                *self.shown.0.write() = Arc::new(certified);
                tracing::info!(file = %self.files.certificates.display(), "the certificate was replaced");
                self.tell(ends);
            }
            Err(why) => tracing::warn!(why, "the certificate stays as it was"),
        }
    }

    fn tell(&self, ends: i64) {
        self.metrics.tls_certificate_expiry.set(ends);
        let now = i64::try_from(clock::unix_ms() / 1000).unwrap_or(i64::MAX);
        let file = self.files.certificates.display();
        if ends <= now {
            tracing::warn!(%file, "the certificate has expired: clients will refuse it");
        } else if ends - now < SOON_S {
            let days = (ends - now) / (24 * 60 * 60);
            tracing::warn!(%file, days, "the certificate expires soon");
        }
    }
}

/// The certificate that clients are shown.
struct Shown(RwLock<Arc<CertifiedKey>>);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

/// Certificates and key, known to belong together, and when the first one ends.
fn load(files: &TlsFiles, provider: &CryptoProvider) -> Result<(CertifiedKey, i64), String> {
    let TlsFiles { certificates, key } = files;
    let unreadable = |file: &PathBuf, why: &dyn fmt::Display| format!("{}: {why}", file.display());
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificates)
        .map_err(|why| unreadable(certificates, &why))?
        .collect();
    let chain = chain.map_err(|why| unreadable(certificates, &why))?;
    let Some(first) = chain.first() else {
        return Err(unreadable(certificates, &"holds no certificate; PEM would be fine"));
    };
    let ends = certificate::not_after(first)
        .ok_or_else(|| unreadable(certificates, &"the first certificate cannot be read"))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|why| unreadable(key, &why))?;
    let certified = CertifiedKey::from_der(chain, private, provider).map_err(|why| {
        format!("{} and {} do not fit: {why}", certificates.display(), key.display())
    })?;
    Ok((certified, ends))
}
