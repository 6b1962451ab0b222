//! Who is on the other end of a TCP connection: TLS 1.3 in which both sides show a raw
//! ed25519 public key (RFC 7250) and prove that they hold its private half.
//!
//! There is no certificate, hence no authority, no name and no date in it: a key is known
//! because the genesis record names it, or it is refused.

use std::sync::Arc;

use cairn_ledger::{ids::PublicKey, signature::SigningKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature_with_raw_key,
    },
    pki_types::{
        CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
    },
    server::{
        AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    version::TLS13,
};

use super::{Peer, counters::Tally};

/// The DER of an ed25519 SubjectPublicKeyInfo, up to the 32 bytes of the key (RFC 8410, 4).
const SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The DER of an ed25519 PKCS #8 private key, up to the 32 bytes of the seed (RFC 8410, 7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// This member's side of every handshake.
pub(super) struct Identity {
    provider: Arc<CryptoProvider>,
    certified: Arc<CertifiedKey>,
    tally: Arc<Tally>,
}

impl Identity {
    pub(super) fn new(member_key: &SigningKey, tally: Arc<Tally>) -> Self {
        let mut pkcs8 = PKCS8_PREFIX.to_vec();
        pkcs8.extend_from_slice(&member_key.seed());
        let private = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8))
            .expect("every 32-byte seed is an ed25519 key");
        let mut spki = SPKI_PREFIX.to_vec();
        spki.extend_from_slice(&member_key.public().0);
        let certified = CertifiedKey::new(vec![CertificateDer::from(spki)], private);
        Self { provider: Arc::new(ring::default_provider()), certified: Arc::new(certified), tally }
    }

    /// For accepting connections: any of `expected` may be on the other end.
    pub(super) fn server(&self, expected: Vec<PublicKey>) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .expect("ring speaks TLS 1.3")
            .with_client_cert_verifier(self.pins(expected))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::clone(
                &self.certified,
            ))));
        // A connection lives for days: resuming would save nothing, and every handshake
        // proves the key anew.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Arc::new(config)
    }

    /// For connecting to the one validator whose key is `expected`.
    pub(super) fn client(&self, expected: PublicKey) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .expect("ring speaks TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(self.pins(vec![expected]))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
                Arc::clone(&self.certified),
            )));
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Arc::new(config)
    }

    fn pins(&self, expected: Vec<PublicKey>) -> Arc<Pins> {
        Arc::new(Pins {
            expected,
            algorithms: self.provider.signature_verification_algorithms,
            tally: Arc::clone(&self.tally),
        })
    }
}

/// The server name that the handshake's API asks for; it is neither sent nor checked.
pub(super) fn any_name() -> ServerName<'static> {
    ServerName::try_from("validator").expect("one label is a name")
}

/// Which of the members the other side proved to be.
pub(super) fn peer_of(connection: &rustls::CommonState, members: &[PublicKey]) -> Option<Peer> {
    let [spki] = connection.peer_certificates()? else { return None };
    let key = key_in(spki)?;
    Peer::try_from(members.iter().position(|member| *member == key)?).ok()
}

fn key_in(spki: &[u8]) -> Option<PublicKey> {
    let key = spki.strip_prefix(&SPKI_PREFIX)?;
    Some(PublicKey(key.try_into().ok()?))
}

/// Accepts the pinned keys and no other; everything else about the handshake is rustls's.
#[derive(Debug)]
struct Pins {
    expected: Vec<PublicKey>,
    algorithms: WebPkiSupportedAlgorithms,
    tally: Arc<Tally>,
}

impl Pins {
    fn check(&self, spki: &CertificateDer<'_>) -> Result<(), Error> {
        match key_in(spki) {
            Some(key) if self.expected.contains(&key) => Ok(()),
            Some(key) => {
                self.tally.unauthenticated(&key.to_string());
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            None => {
                self.tally.unauthenticated("not an ed25519 key");
                Err(Error::InvalidCertificate(CertificateError::BadEncoding))
            }
        }
    }

    fn proof(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let spki = SubjectPublicKeyInfoDer::from(spki.as_ref());
        verify_tls13_signature_with_raw_key(message, &spki, signed, &self.algorithms)
    }
}

fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::General("the mesh speaks TLS 1.3 only".to_owned()))
}

impl ServerCertVerifier for Pins {
    fn verify_server_cert(
        &self,
        spki: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(spki).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _spki: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.proof(message, spki, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Pins {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        spki: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(spki).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _spki: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.proof(message, spki, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
