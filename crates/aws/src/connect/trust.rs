//! Loads the trusted root certificates.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};

/// Largest accepted bundle, in bytes. The common root certificates take 250 KB as PEM.
const LARGEST_BUNDLE: u64 = 16 << 20;

/// The trusted root certificates. If `AWS_CA_BUNDLE` names a file of certificates, only those are trusted, as by every AWS
/// tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Mozilla's root certificates as of the build. Nothing is read at run time, which keeps a Lambda's cold start short; it
    /// is redeployed more often than root certificates change.
    #[default]
    Mozilla,
    /// The roots of the operating system, with those that its administrator added, such as the certificate of a proxy that
    /// inspects TLS. Reading them takes some 5 ms.
    #[cfg(feature = "system-roots")]
    OperatingSystem,
}

/// Why root certificates could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// `AWS_CA_BUNDLE` names a file that can't be read.
    #[error("the certificates in `{path}` (AWS_CA_BUNDLE) can't be read")]
    Unread {
        /// The file's path.
        path: String,
        /// The error of reading or parsing it.
        source: pem::Error,
    },
    /// `AWS_CA_BUNDLE` names a file without a certificate that could be a root.
    #[error("there is no usable certificate in `{path}` (AWS_CA_BUNDLE)")]
    Empty {
        /// The file's path.
        path: String,
    },
    /// The operating system has no root that could be read.
    #[error(
        "no root certificate of the operating system can be read; install `ca-certificates`, or set AWS_CA_BUNDLE"
    )]
    NoSystemRoots,
}

impl Trust {
    /// The roots in the file `bundle`, or without one those of this variant.
    pub(super) fn roots(self, bundle: Option<&str>) -> Result<RootCertStore, TrustError> {
        match (bundle, self) {
            (Some(path), _) => roots_in(path),
            (None, Self::Mozilla) => Ok(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()),
            #[cfg(feature = "system-roots")]
            (None, Self::OperatingSystem) => roots_of_the_system(),
        }
    }
}

fn roots_in(path: &str) -> Result<RootCertStore, TrustError> {
    let unread = |source| TrustError::Unread {
        path: path.to_owned(),
        source,
    };
    let text = curfew_files::read(Path::new(path), LARGEST_BUNDLE);
    let text = text.map_err(|error| unread(pem::Error::Io(error)))?;
    let certificates = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(unread)?;
    usable(certificates).ok_or_else(|| TrustError::Empty {
        path: path.to_owned(),
    })
}

#[cfg(feature = "system-roots")]
fn roots_of_the_system() -> Result<RootCertStore, TrustError> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "ignored an invalid root certificate of the operating system");
    }
    usable(found.certs).ok_or(TrustError::NoSystemRoots)
}

/// Skips certificates that can't be parsed, as collections of roots often contain some; fails only if none is usable.
fn usable(certificates: Vec<CertificateDer<'_>>) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let (used, _passed_over) = roots.add_parsable_certificates(certificates);
    (used > 0).then_some(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_replaces_all_roots_and_must_have_a_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let authority = rcgen::generate_simple_self_signed(["authority".to_owned()]).unwrap();
        let one = file("one.pem", &authority.cert.pem());
        assert_eq!(Trust::Mozilla.roots(Some(&one)).unwrap().len(), 1);

        let empty = file("empty.pem", "no certificate at all\n");
        let error = Trust::Mozilla.roots(Some(&empty)).unwrap_err();
        assert!(matches!(error, TrustError::Empty { .. }), "{error:?}");

        let absent = folder.path().join("absent.pem");
        let error = Trust::Mozilla.roots(absent.to_str()).unwrap_err();
        assert!(matches!(error, TrustError::Unread { .. }), "{error:?}");
    }

    #[test]
    fn amazons_own_roots_are_compiled_in() {
        let roots = Trust::Mozilla.roots(None).unwrap();
        let amazons = roots
            .subjects()
            .iter()
            .filter(|name| {
                name.as_ref()
                    .windows(14)
                    .any(|part| part == b"Amazon Root CA")
            })
            .count();
        assert_eq!(amazons, 4, "https://www.amazontrust.com/repository/");
    }
}
