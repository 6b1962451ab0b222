//! Where the genesis comes from: the ConfigMap that is published, else the document that the federation
//! agreed on, else the keys that the validators made. Whatever it comes from, it has to be the chain that
//! the status, the spec and the volumes know.

use cairn_ledger::{
    genesis::{Genesis, Validator},
    ids::PublicKey,
};
use kube::ResourceExt;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Refusal, volumes};
use crate::{
    crd::BlockchainCluster,
    manifest::Kind,
    names::{ClusterName, GENESIS_KEY},
    observe::{NodeReport, Observed},
};

/// What there is of a genesis.
pub(super) struct Found {
    /// The genesis, published or ready to be.
    pub(super) genesis: Option<Genesis>,
    /// Whether it is out: published now, or known to have been.
    pub(super) founded: bool,
    /// Whom it waits for.
    pub(super) waiting_for: String,
}

/// Finds the genesis.
pub(super) fn find(
    cluster: &BlockchainCluster,
    name: &ClusterName,
    observed: &Observed,
) -> Result<Found, Vec<Refusal>> {
    let pinned = cluster.status.as_ref().and_then(|status| status.chain_id.clone());
    let published = observed.objects.get(&(Kind::ConfigMap, name.genesis()));
    let (genesis, waiting_for) = match published {
        Some(live) => (Some(read_published(name, live)?), String::new()),
        None => match make(cluster, observed)? {
            Ok(genesis) => (Some(genesis), String::new()),
            Err(waiting_for) => (None, waiting_for),
        },
    };
    let chain = genesis.as_ref().map(|genesis| genesis.chain().to_string());
    let source = if published.is_some() {
        format!("the ConfigMap {}", name.genesis())
    } else {
        "the document".into()
    };
    if let Some(chain) = &chain {
        let wanted = cluster.spec.chain.chain_id.as_ref();
        for (field, wanted) in [("status.chainId", pinned.as_ref()), ("spec.chain.chainId", wanted)]
        {
            if let Some(wanted) = wanted.filter(|wanted| *wanted != chain) {
                return Err(vec![mismatch(
                    field,
                    format!(
                        "{source} is the genesis of chain {chain}, this is {wanted}: put the document of {wanted} back"
                    ),
                )]);
            }
        }
    }
    // A chain without its document: making another one would be founding another chain.
    if published.is_none() {
        let known = pinned.clone().or_else(|| known_to_volumes(cluster, name, observed));
        if let Some(known) = known
            && !chain.as_ref().is_some_and(|chain| chain.starts_with(&known))
        {
            return Err(vec![missing(name, &known)]);
        }
    }
    Ok(Found { genesis, founded: published.is_some() || pinned.is_some(), waiting_for })
}

/// The published document. It was written once, immutable; anything else is somebody's doing.
fn read_published(name: &ClusterName, live: &Value) -> Result<Genesis, Vec<Refusal>> {
    let config_map = name.genesis();
    let field = format!("ConfigMap {config_map}");
    let text = live.pointer(&format!("/data/{GENESIS_KEY}")).and_then(Value::as_str);
    let text = text.ok_or_else(|| vec![mismatch(&field, format!("it has no {GENESIS_KEY}"))])?;
    let genesis =
        Genesis::from_json(text).map_err(|error| vec![mismatch(&field, error.to_string())])?;
    if live.get("immutable") != Some(&Value::Bool(true)) {
        return Err(vec![mismatch(
            &field,
            "it is not immutable, so it is not the one that was published: set immutable: true if its document is right, or put the right one back".into(),
        )]);
    }
    Ok(genesis)
}

/// The chain that a validator's volume or the validator itself knows.
fn known_to_volumes(
    cluster: &BlockchainCluster,
    name: &ClusterName,
    observed: &Observed,
) -> Option<String> {
    let of = |validator: &str| {
        let claim = volumes::claim(name, validator, observed).and_then(volumes::label);
        let said = observed.nodes.get(validator).and_then(|said| said.as_ref().ok());
        let said = said.map(|report| report.chain_id.as_str()).filter(|chain| !chain.is_empty());
        claim.or(said).map(str::to_owned)
    };
    cluster.spec.validators.iter().find_map(|validator| of(&validator.name))
}

/// A genesis that can be published, or whom it waits for.
fn make(
    cluster: &BlockchainCluster,
    observed: &Observed,
) -> Result<Result<Genesis, String>, Vec<Refusal>> {
    if let Some(reference) = &cluster.spec.bootstrap.genesis_ref {
        let Some(text) = &observed.genesis_reference else {
            return Ok(Err(format!(
                "the ConfigMap {} with the federation's genesis in {}",
                reference.name, reference.key
            )));
        };
        let genesis = Genesis::from_json(text).map_err(|error| {
            let message = format!("ConfigMap {}, {}: {error}", reference.name, reference.key);
            vec![mismatch("spec.bootstrap.genesisRef", message)]
        })?;
        return agree(cluster, observed, &genesis)
            .map(|waiting_for| waiting_for.map_or(Ok(genesis), Err));
    }
    collect(cluster, observed)
}

/// Makes the genesis of the keys that the validators show.
fn collect(
    cluster: &BlockchainCluster,
    observed: &Observed,
) -> Result<Result<Genesis, String>, Vec<Refusal>> {
    let mut validators = Vec::new();
    let mut silent = Vec::new();
    for spec in &cluster.spec.validators {
        let Some((consensus_key, member_key)) = shown(observed, &spec.name).and_then(keys) else {
            silent.push(spec.name.as_str());
            continue;
        };
        let (name, power) = (spec.name.clone(), u64::from(spec.power));
        validators.push(Validator { name, consensus_key, member_key, power });
    }
    for member in cluster.spec.federation.iter().flat_map(|federation| &federation.members) {
        let field = format!("spec.federation.members[{}]", member.name);
        let key = |text: &str| {
            text.parse::<PublicKey>().map_err(|error| vec![invalid(&field, error.to_string())])
        };
        validators.push(Validator {
            name: member.name.clone(),
            consensus_key: key(&member.consensus_key)?,
            member_key: key(&member.member_key)?,
            power: u64::from(member.power),
        });
    }
    if !silent.is_empty() {
        return Ok(Err(format!("the public keys of {}", silent.join(", "))));
    }
    let name = cluster.spec.chain.name.clone().unwrap_or_else(|| cluster.name_any());
    // The same object makes the same document: dying between making and publishing it loses nothing.
    let uid = cluster.uid().unwrap_or_default();
    let hash = Sha256::digest([b"cairn/salt".as_slice(), uid.as_bytes()].concat());
    let mut salt = [0; 16];
    salt.copy_from_slice(&hash[..16]);
    let genesis = Genesis::new(name, salt, validators)
        .map_err(|error| vec![invalid("spec.validators", error.to_string())])?;
    Ok(Ok(genesis))
}

/// Whether the federation's document is about these validators. Some: whose keys are not known yet.
fn agree(
    cluster: &BlockchainCluster,
    observed: &Observed,
    genesis: &Genesis,
) -> Result<Option<String>, Vec<Refusal>> {
    let mut refusals = Vec::new();
    let mut silent = Vec::new();
    let mut named = Vec::new();
    let founder = |name: &str| genesis.validators().iter().find(|v| v.name == name);
    let spec = &cluster.spec;
    for validator in &spec.validators {
        let (name, field) = (&validator.name, format!("spec.validators[{}]", validator.name));
        named.push(name);
        let Some(founder) = founder(name) else {
            refusals.push(mismatch(&field, format!("the agreed genesis does not name {name}")));
            continue;
        };
        refusals.extend(power_differs(&field, founder, validator.power));
        match shown(observed, name) {
            Some(report) => refusals.extend(keys_differ(
                &field,
                founder,
                &report.consensus_key,
                &report.member_key,
            )),
            None => silent.push(name.as_str()),
        }
    }
    for member in spec.federation.iter().flat_map(|federation| &federation.members) {
        let (name, field) = (&member.name, format!("spec.federation.members[{}]", member.name));
        named.push(name);
        let Some(founder) = founder(name) else {
            refusals.push(mismatch(&field, format!("the agreed genesis does not name {name}")));
            continue;
        };
        refusals.extend(power_differs(&field, founder, member.power));
        refusals.extend(keys_differ(&field, founder, &member.consensus_key, &member.member_key));
    }
    for founder in genesis.validators().iter().filter(|v| !named.contains(&&v.name)) {
        let message = format!(
            "the agreed genesis names {}, which is neither in spec.validators nor in spec.federation.members",
            founder.name
        );
        refusals.push(mismatch("spec.federation.members", message));
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    Ok((!silent.is_empty()).then(|| format!("the public keys of {}", silent.join(", "))))
}

fn power_differs(field: &str, founder: &Validator, power: u32) -> Option<Refusal> {
    (founder.power != u64::from(power)).then(|| {
        let message = format!("power is {power}, the agreed genesis gives {}", founder.power);
        mismatch(&format!("{field}.power"), message)
    })
}

/// C11: a key that is not the registered one, expected and got.
fn keys_differ(field: &str, founder: &Validator, consensus: &str, member: &str) -> Vec<Refusal> {
    let differs = |what: &str, expected: PublicKey, got: &str| {
        (expected.to_string() != got).then(|| Refusal {
            reason: "KeyMismatch",
            condition: "KeysAvailable",
            field: field.to_owned(),
            message: format!(
                "the agreed genesis expects the {what} {expected} of {}, got {got}",
                founder.name
            ),
        })
    };
    [
        differs("consensus key", founder.consensus_key, consensus),
        differs("member key", founder.member_key, member),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What a validator says once it has made its keys.
fn shown<'a>(observed: &'a Observed, validator: &str) -> Option<&'a NodeReport> {
    let report = observed.nodes.get(validator)?.as_ref().ok()?;
    (!report.consensus_key.is_empty() && !report.member_key.is_empty()).then_some(report)
}

fn keys(report: &NodeReport) -> Option<(PublicKey, PublicKey)> {
    Some((report.consensus_key.parse().ok()?, report.member_key.parse().ok()?))
}

fn mismatch(field: &str, message: String) -> Refusal {
    Refusal {
        reason: "GenesisMismatch",
        condition: "Initialized",
        field: field.to_owned(),
        message,
    }
}

fn invalid(field: &str, message: String) -> Refusal {
    Refusal { reason: "SpecInvalid", condition: "SpecValid", field: field.to_owned(), message }
}

fn missing(name: &ClusterName, chain: &str) -> Refusal {
    Refusal {
        reason: "GenesisMissing",
        condition: "Initialized",
        field: "spec.bootstrap".into(),
        message: format!(
            "the ConfigMap {} with the genesis of chain {chain} is gone: put it back, with immutable: true; each validator of the chain shows the document at /genesis of its admin port",
            name.genesis()
        ),
    }
}
