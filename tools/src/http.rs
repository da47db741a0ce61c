// SPDX-License-Identifier: AGPL-3.0-or-later
//! Requests over the network, for `bho models pull`.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use bho_models::store::{Link, Response, Transport, TransportError};
use rustls::crypto::CryptoProvider;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Error};

/// HTTP/1.1, over TLS where the address says so.
pub(crate) struct Http {
    patience: Duration,
    plain: OnceCell<Agent>,
    secure: OnceCell<Result<Agent, String>>,
}

impl Http {
    /// Nothing is opened yet. `patience` bounds each phase of a request, and each wait for bytes.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, plain: OnceCell::new(), secure: OnceCell::new() }
    }

    fn agent(&self, tls: Option<TlsConfig>) -> Agent {
        let patience = Some(self.patience);
        let mut config = Agent::config_builder()
            .user_agent(concat!("bho/", env!("CARGO_PKG_VERSION")))
            // The store follows redirects itself: it has rules for them.
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_resolve(patience)
            .timeout_connect(patience)
            .timeout_send_request(patience)
            .timeout_recv_response(patience)
            .timeout_per_read(patience)
            .timeout_per_write(patience);
        if let Some(tls) = tls {
            config = config.https_only(true).tls_config(tls);
        }
        config.build().new_agent()
    }

    fn secure(&self) -> Result<Agent, String> {
        let provider = provider()?;
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            let reasons: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
            return Err(format!(
                "this system has no root certificates to check servers with; install them \
                 (ca-certificates), or name a file in SSL_CERT_FILE ({})",
                reasons.join("; ")
            ));
        }
        let roots = found.certs.iter().map(|cert| Certificate::from_der(cert).to_owned());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::from(roots))
            .unversioned_rustls_crypto_provider(provider);
        Ok(self.agent(Some(tls.build())))
    }
}

/// The cryptography, written in Rust without C, where this CPU has the instructions it needs.
fn provider() -> Result<Arc<CryptoProvider>, String> {
    #[cfg(target_arch = "x86_64")]
    let fits = is_x86_feature_detected!("aes")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("adx")
        && is_x86_feature_detected!("avx2");
    #[cfg(target_arch = "aarch64")]
    let fits = std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("sha2")
        && std::arch::is_aarch64_feature_detected!("pmull");
    match fits {
        true => Ok(Arc::new(rustls_graviola::default_provider())),
        false => Err("https needs a CPU with AES and carry-less products, AVX2 and ADX on x86; \
                      fetch the file by other means and pull it from this machine"
            .into()),
    }
}

impl Transport for Http {
    fn get(&self, link: &Link, headers: &[(&str, String)]) -> Result<Response, TransportError> {
        let agent = match link.is_secure() {
            true => self.secure.get_or_init(|| self.secure()).as_ref(),
            false => Ok(self.plain.get_or_init(|| self.agent(None))),
        };
        let agent =
            agent.map_err(|message| TransportError { message: message.clone(), retry: false })?;
        let mut request = agent.get(link.to_string());
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if link.is_loopback() {
            // A proxy is another machine.
            request = request.config().proxy(None).build();
        }
        let response = request.call().map_err(|error| refused(&error))?;
        let headers = response.headers().iter().filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        });
        Ok(Response {
            status: response.status().as_u16(),
            headers: headers.collect(),
            body: Box::new(response.into_body().into_reader()),
        })
    }
}

/// A failure to connect or to be answered; a certificate does not get better with time.
fn refused(error: &Error) -> TransportError {
    let retry = matches!(
        error,
        Error::Io(_)
            | Error::Timeout(_)
            | Error::HostNotFound
            | Error::ConnectionFailed
            | Error::Protocol(_)
    );
    // TLS reports through I/O as well.
    let tls = match error {
        Error::Io(inner) => inner.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()),
        _ => None,
    };
    TransportError { message: error.to_string(), retry: retry && tls.is_none() }
}
