//! The API's certificate: missing, renewed under load, about to end, ended.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, ensure};
use serde_json::json;

use crate::{
    client::Client,
    federation::Federation,
    rollout::Rollout,
    stage::{PATIENCE, Stage, run},
};

/// The Secret with the certificate.
const SECRET: &str = "ledger-certificate";

/// `CairnCertificateExpiring` reads this metric, and speaks up when it ends within 14 days.
const METRIC: &str = "cairn_tls_certificate_expiry_seconds";
const ALERT_DAYS: i64 = 14;

const DAY: i64 = 86400;

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<()> {
    let authority = Authority::new(stage)?;
    let federation = Federation::apply_four(
        stage,
        json!({
            "api": { "tls": { "secretName": SECRET } },
            // As for a Prometheus outside: this story reads what it would read.
            "networkPolicy": { "metricsFrom": [{ "ipBlock": { "cidr": "0.0.0.0/0" } }] },
        }),
    )?;
    let url = stage.until("the Service has an address", || federation.service(stage))?;
    it_says_that_pods_wait_for_the_secret(stage, &federation)?;
    authority.issue(stage, &federation, 30)?;
    federation.is(stage, "Ready", "True")?;
    let client = Client::trusting(&url, 4, &authority.certificate()?)?;
    client.further(20, PATIENCE)?;
    let rollout = Rollout::begin(stage, &federation)?;

    authority.issue(stage, &federation, 60)?;
    shown_by_all(stage, &federation, 60)?;
    client.further(50, PATIENCE)?;

    authority.issue(stage, &federation, 2)?;
    shown_by_all(stage, &federation, 2)?;
    reason_is(stage, &federation, "True", "ExpiresSoon")?;
    warned(stage, "ExpiresSoon")?;
    client.further(50, PATIENCE)?;
    stage.check(&federation, client)?;

    authority.issue(stage, &federation, -1)?;
    shown_by_all(stage, &federation, -1)?;
    reason_is(stage, &federation, "False", "Expired")?;
    let ready = federation.condition(stage, "Ready")?;
    ensure!(ready["status"] == "False" && ready["reason"] == "Expired", "{ready}");

    authority.issue(stage, &federation, 90)?;
    shown_by_all(stage, &federation, 90)?;
    reason_is(stage, &federation, "True", "Valid")?;
    rollout.nobody_restarted(stage, &federation)?;
    let client = Client::trusting(&url, 2, &authority.certificate()?)?;
    client.further(20, PATIENCE)?;
    stage.check(&federation, client)
}

/// Pods wait for a Secret that is not there; whoever looks at the federation is told so.
fn it_says_that_pods_wait_for_the_secret(
    stage: &Stage,
    federation: &Federation,
) -> anyhow::Result<()> {
    let said = stage.until("it says that pods wait for the Secret", || {
        let said = federation.condition(stage, "CertificatesValid")?;
        ensure!(said["status"] == "Unknown", "{said}");
        Ok(said["message"].as_str().unwrap_or_default().to_owned())
    })?;
    ensure!(said.contains(SECRET), "it does not name the Secret: {said}");
    Ok(())
}

/// Waits until every validator has loaded the certificate that ends in so many days.
fn shown_by_all(stage: &Stage, federation: &Federation, days: i64) -> anyhow::Result<()> {
    stage.until(&format!("all show the certificate that ends in {days} days"), || {
        for validator in &federation.validators {
            let left = seconds_left(stage, federation, validator)?;
            ensure!((left - days * DAY).abs() < DAY / 2, "{validator}: {left} s");
        }
        Ok(())
    })?;
    for validator in &federation.validators {
        let fires = seconds_left(stage, federation, validator)? < ALERT_DAYS * DAY;
        ensure!(fires == (days < ALERT_DAYS), "the alert for {validator}: {fires}");
    }
    Ok(())
}

/// What the alert computes, of the metrics that Prometheus would read.
fn seconds_left(stage: &Stage, federation: &Federation, validator: &str) -> anyhow::Result<i64> {
    let metrics = ureq::get(federation.metrics(stage, validator)?)
        .config()
        .timeout_global(Some(Duration::from_secs(5)))
        .build()
        .call()?
        .body_mut()
        .read_to_string()?;
    let ends = metrics.lines().find_map(|line| line.strip_prefix(METRIC)?.strip_prefix(' '));
    let ends: i64 = ends.with_context(|| format!("no {METRIC}"))?.trim().parse()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    Ok(ends - i64::try_from(now)?)
}

fn reason_is(
    stage: &Stage,
    federation: &Federation,
    status: &str,
    reason: &str,
) -> anyhow::Result<()> {
    let said = stage.until(&format!("CertificatesValid is {status}, {reason}"), || {
        let said = federation.condition(stage, "CertificatesValid")?;
        ensure!(said["status"] == status && said["reason"] == reason, "{said}");
        Ok(said["message"].as_str().unwrap_or_default().to_owned())
    })?;
    stage.say(format!("it says: {said}"));
    Ok(())
}

/// Waits for a warning among the Events: people see those first.
fn warned(stage: &Stage, reason: &str) -> anyhow::Result<()> {
    let of = format!("reason={reason},type=Warning");
    stage.until(&format!("an Event warns: {reason}"), || {
        let events = stage.quietly(&["get", "events", "--field-selector", &of, "-o", "name"])?;
        ensure!(!events.is_empty(), "no such Event");
        Ok(())
    })
}

/// Who vouches for certificates, with a folder for them that goes with it.
struct Authority {
    folder: PathBuf,
}

impl Authority {
    fn new(stage: &Stage) -> anyhow::Result<Self> {
        let name = format!("cairn-{}-{}", stage.namespace, std::process::id());
        let authority = Self { folder: std::env::temp_dir().join(name) };
        fs::create_dir_all(&authority.folder)?;
        authority.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=authority \
             -keyout authority.key -out authority.crt",
        )?;
        Ok(authority)
    }

    /// Its own certificate, which clients trust.
    fn certificate(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.folder.join("authority.crt"))?)
    }

    /// Puts a new key and its certificate into the Secret: for the Service's address and name.
    fn issue(&self, stage: &Stage, federation: &Federation, days: i64) -> anyhow::Result<()> {
        let service = stage.object("service", &format!("{}-api", federation.name))?;
        let address = service["spec"]["clusterIP"].as_str().context("no address")?;
        let name = format!("{}-api.{}.svc", federation.name, stage.namespace);
        let names = format!("subjectAltName=DNS:{name},IP:{address}\n");
        fs::write(self.folder.join("names"), names)?;
        self.openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ledger -keyout api.key -out api.csr",
        )?;
        self.openssl(&format!(
            "x509 -req -in api.csr -CA authority.crt -CAkey authority.key -CAcreateserial -extfile names \
             -days {days} -out api.crt"
        ))?;
        let read = |file: &str| fs::read_to_string(self.folder.join(file));
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": { "name": SECRET },
            "stringData": { "tls.crt": read("api.crt")?, "tls.key": read("api.key")? },
        });
        stage.apply(&format!("the Secret, with a certificate that ends in {days} days"), &secret)
    }

    fn openssl(&self, arguments: &str) -> anyhow::Result<()> {
        let mut openssl = Command::new("openssl");
        openssl.args(arguments.split_whitespace()).current_dir(&self.folder);
        run(&mut openssl, None).map(drop)
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
