//! Where TiKV is, how long to wait for it, and how much may be under way at a time.

use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};

use tikv_client::Config;

use crate::Trouble;

/// How many calls may be under way at a time; the others wait for their turn, as part of their time.
pub(crate) const CALLS_MAX: usize = 64;
/// How many KiB of values may be on their way to TiKV at a time.
pub(crate) const KIB_UNDER_WAY_MAX: usize = 64 << 10;
/// What one answer may hold. Pages and groups of keys are chosen much smaller.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The files that TLS to PD and TiKV needs; TiKV checks its clients' certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Whom to trust.
    pub authority: PathBuf,
    /// This client's certificate.
    pub certificate: PathBuf,
    /// And its key.
    pub key: PathBuf,
}

/// Where TiKV is, and how long to wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// PD's client endpoints, as host:port; one is enough to find the others.
    pub pd: Vec<String>,
    /// Plain text without.
    pub tls: Option<TlsFiles>,
    /// How long a call may take in all, its retries included.
    pub within: Duration,
    /// How long one attempt may take.
    pub attempt_within: Duration,
}

impl Settings {
    /// The defaults for a PD.
    pub fn of(pd: Vec<String>) -> Self {
        Self {
            pd,
            tls: None,
            within: Duration::from_secs(10),
            attempt_within: Duration::from_secs(3),
        }
    }

    /// The same with endpoints as `tikv-client` wants them, once all of it could work.
    pub(crate) fn checked(mut self) -> Result<Self, Trouble> {
        if self.within.is_zero() || self.attempt_within.is_zero() {
            return Err(refused("a time limit of nothing; 10 s in all and 3 s each would be fine"));
        }
        let mut endpoints = BTreeSet::new();
        for endpoint in &self.pd {
            endpoints.insert(endpoint_of(endpoint)?);
        }
        if endpoints.is_empty() {
            return Err(refused("no PD endpoint was given; host:2379 would be fine"));
        }
        self.pd = endpoints.into_iter().collect();
        if let Some(tls) = &self.tls {
            for path in [&tls.authority, &tls.certificate, &tls.key] {
                let held = fs::read(path).map_err(|error| {
                    Trouble::Refused(format!("the TLS file {}: {error}", path.display()))
                })?;
                if !held.windows(11).any(|window| window == b"-----BEGIN ") {
                    let path = path.display();
                    return Err(Trouble::Refused(format!(
                        "the TLS file {path} is not PEM; one that has a line -----BEGIN … would be fine"
                    )));
                }
            }
        }
        Ok(self)
    }

    /// How long a request or a connection may take: less than an attempt, so that `tikv-client` can
    /// ask the next leader within it.
    pub(crate) fn request_within(&self) -> Duration {
        self.attempt_within * 2 / 3
    }

    pub(crate) fn config(&self) -> Config {
        let config = Config::default()
            .with_timeout(self.request_within())
            .with_grpc_max_decoding_message_size(ANSWER_BYTES_MAX);
        match &self.tls {
            Some(tls) => config.with_security(&tls.authority, &tls.certificate, &tls.key),
            None => config,
        }
    }
}

fn refused(why: &str) -> Trouble {
    Trouble::Refused(why.to_owned())
}

fn endpoint_of(given: &str) -> Result<String, Trouble> {
    let plain = given.trim();
    let plain = ["http://", "https://"]
        .iter()
        .find_map(|scheme| plain.strip_prefix(scheme))
        .unwrap_or(plain)
        .trim_end_matches('/');
    let sound = plain.rsplit_once(':').is_some_and(|(host, port)| {
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let named = !host.is_empty() && (bracketed || !host.contains(':'));
        named
            && !host.contains(|letter: char| letter.is_whitespace() || "/@?#".contains(letter))
            && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    if sound {
        Ok(plain.to_owned())
    } else {
        Err(Trouble::Refused(format!("{given:?} is no PD endpoint; host:2379 would be fine")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_hosts_with_ports() {
        #[rustfmt::skip]
        let table = [
            ("pd:2379",                Some("pd:2379"),        "as it should be"),
            (" http://pd:2379/ ",      Some("pd:2379"),        "as PD prints it"),
            ("https://pd.ns.svc:2379", Some("pd.ns.svc:2379"), "as TLS setups write it"),
            ("[::1]:2379",             Some("[::1]:2379"),     "an address of the new kind"),
            ("::1:2379",               None,                   "no telling where the port begins"),
            ("pd",                     None,                   "no port"),
            ("pd:0",                   None,                   "nobody listens on port 0"),
            ("pd:123456",              None,                   "no port is that high"),
            (":2379",                  None,                   "no host"),
            ("user@pd:2379",           None,                   "PD knows no users"),
            ("ftp://pd:2379",          None,                   "another protocol"),
        ];
        for (given, expected, why) in table {
            let checked = Settings::of(vec![given.to_owned()]).checked();
            match expected {
                Some(endpoint) => assert_eq!(checked.unwrap().pd, [endpoint], "{why}"),
                None => assert!(matches!(checked, Err(Trouble::Refused(_))), "{why}"),
            }
        }
    }

    #[test]
    fn an_endpoint_given_twice_is_one() {
        let twice = Settings::of(vec!["pd:2379".to_owned(), "http://pd:2379".to_owned()]);
        assert_eq!(twice.checked().unwrap().pd, ["pd:2379"]);
        assert!(matches!(Settings::of(vec![]).checked(), Err(Trouble::Refused(_))));
    }

    #[test]
    fn tls_files_are_read_before_they_are_needed() {
        let folder = std::env::temp_dir().join(format!("cairn-tikv-tls-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = |name: &str| folder.join(name);
        let mut settings = Settings::of(vec!["pd:2379".to_owned()]);
        settings.tls = Some(TlsFiles {
            authority: path("ca"),
            certificate: path("certificate"),
            key: path("key"),
        });
        for name in ["ca", "certificate"] {
            fs::write(path(name), "-----BEGIN CERTIFICATE-----\n").unwrap();
        }
        let words = settings.clone().checked().unwrap_err().to_string();
        assert!(words.contains("key"), "{words}");
        fs::write(path("key"), "password").unwrap();
        let words = settings.clone().checked().unwrap_err().to_string();
        assert!(words.contains("not PEM"), "{words}");
        fs::write(path("key"), "-----BEGIN PRIVATE KEY-----\n").unwrap();
        settings.checked().unwrap();
        fs::remove_dir_all(folder).unwrap();
    }
}
