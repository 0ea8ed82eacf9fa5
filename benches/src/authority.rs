//! A test certificate authority, and how a program comes to trust it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::string::PrintableString;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, DnValue, IsCa, Issuer, KeyPair,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::NoServerSessionStorage;
use tokio_rustls::TlsAcceptor;

/// A root that Mozilla trusts and that no AWS server needs at present; the test root has its name and key type (P-256).
pub const STAND_IN: &str = "Amazon Root CA 3";

/// The authority: a root and an intermediate that certifies `localhost`, like AWS's chains.
pub struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
    /// The server's certificate chain and key for `localhost`.
    pub acceptor: TlsAcceptor,
}

impl Authority {
    /// Creates an authority.
    pub fn new() -> Self {
        let key = || KeyPair::generate().expect("ring has a source of randomness");
        let root = CertifiedIssuer::self_signed(issuer(STAND_IN), key()).expect("it is complete");
        let middle_key = key();
        let middle_params = issuer("Bench CA 1");
        let middle = middle_params
            .signed_by(&middle_key, &root)
            .expect("it is complete");
        let middle_issuer = Issuer::new(middle_params, middle_key);
        let leaf_key = key();
        let leaf = CertificateParams::new(["localhost".to_owned()])
            .and_then(|leaf| leaf.signed_by(&leaf_key, &middle_issuer))
            .expect("it is complete");
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::try_from(leaf_key.serialize_der()).expect("rcgen wrote it");
        let mut config = ServerConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .expect("ring does every version")
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone(), middle.der().clone()], key)
            .expect("the key is the certificate's");
        // On AWS the services are two hosts: a session with the one is not resumed with the other. Here it would be, or would not,
        // depending on which connection is first, and a cold start would have a sixth fewer instructions.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Self {
            root,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        }
    }

    /// Returns the root as a file for `AWS_CA_BUNDLE`.
    pub fn root_pem(&self) -> String {
        self.root.pem()
    }

    /// Copies `executable` with the key of that root replaced: all of Mozilla's roots are loaded as on AWS, and one is
    /// the test root.
    pub fn believed_by(&self, executable: &Path, copy: &Path) -> PathBuf {
        let anchor = webpki_roots::TLS_SERVER_ROOTS
            .iter()
            .find(|anchor| contains(&anchor.subject, STAND_IN.as_bytes()).is_some())
            .expect("Mozilla trusts Amazon's roots");
        let (theirs, ours) = (
            &anchor.subject_public_key_info,
            self.root.key().public_key_raw(),
        );
        let mut program = fs::read(executable).expect("the program is built");
        let at = contains(&program, theirs)
            .unwrap_or_else(|| panic!("{} has no roots compiled in", executable.display()));
        // The key is at the end of its algorithm identifier.
        let end = at + theirs.len();
        program[end - ours.len()..end].copy_from_slice(ours);
        fs::write(copy, program).expect("there is room");
        fs::set_permissions(copy, fs::Permissions::from_mode(0o755)).expect("it is our file");
        copy.to_owned()
    }
}

fn issuer(name: &str) -> CertificateParams {
    let text = |text: &str| {
        DnValue::PrintableString(PrintableString::try_from(text).expect("it is plain text"))
    };
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CountryName, text("US"));
    params
        .distinguished_name
        .push(DnType::OrganizationName, text("Amazon"));
    params
        .distinguished_name
        .push(DnType::CommonName, text(name));
    params
}

fn contains(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
